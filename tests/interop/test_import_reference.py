"""`henkan import` and `henkan export` beside the reference library: the same ids, numbers and outputs."""

import pytest
import torch
import vocabularies

import henkan
from henkan.exporting import to_hf
from henkan.importing import import_checkpoint
from henkan.model import load_any, verify
from henkan.tasks.pretraining import paired
from henkan.tensors import Batch, Tokens
from henkan.text.tokenizer import END, PAD, START

transformers = pytest.importorskip("transformers", reason="needs the reference library: pip install henkan[hf]")

pytestmark = pytest.mark.filterwarnings("ignore")

_SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
_STACKS = {
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
}
_BERT = {**_SMALL, "max_position_embeddings": 64, "pad_token_id": 0}
_ROBERTA = {**_SMALL, "max_position_embeddings": 66, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
_ROBERTA["type_vocab_size"] = 1
_DEBERTA = {
    **_BERT,
    "relative_attention": True,
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
    "position_biased_input": False,
    "position_buckets": 8,
    "pos_att_type": "p2c|c2p",
    "type_vocab_size": 0,
}
_BART = {**_STACKS, "max_position_embeddings": 64, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
_BART |= {"decoder_start_token_id": 2, "forced_eos_token_id": None}
_T5 = {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0}
_T5 |= {"pad_token_id": 0, "eos_token_id": 1}

ENCODERS = {
    "bert": ("BertModel", "Bert", vocabularies.wordpiece, _BERT, "vectors"),
    "bert, masks": ("BertForMaskedLM", "Bert", vocabularies.wordpiece, _BERT, "pretraining"),
    "bert, pre-training": ("BertForPreTraining", "Bert", vocabularies.wordpiece, _BERT, "pretraining"),
    "bert, classes": ("BertForSequenceClassification", "Bert", vocabularies.wordpiece, _BERT, "classification"),
    "bert, a number": (
        "BertForSequenceClassification",
        "Bert",
        vocabularies.wordpiece,
        _BERT | {"num_labels": 1},
        "classification",
    ),
    "bert, spans": ("BertForQuestionAnswering", "Bert", vocabularies.wordpiece, _BERT, "question_answering"),
    "bert, words": ("BertForTokenClassification", "Bert", vocabularies.wordpiece, _BERT, "tagging"),
    "bert, choices": ("BertForMultipleChoice", "Bert", vocabularies.wordpiece, _BERT, "multiple_choice"),
    "roberta, masks": ("RobertaForMaskedLM", "Roberta", vocabularies.roberta, _ROBERTA, "pretraining"),
    "roberta, classes": (
        "RobertaForSequenceClassification",
        "Roberta",
        vocabularies.roberta,
        _ROBERTA,
        "classification",
    ),
    "deberta, masks": ("DebertaV2ForMaskedLM", "DebertaV2", vocabularies.deberta, _DEBERTA, "pretraining"),
    "deberta, classes": (
        "DebertaV2ForSequenceClassification",
        "DebertaV2",
        vocabularies.deberta,
        _DEBERTA,
        "classification",
    ),
}
DECODERS = {
    "t5": ("T5ForConditionalGeneration", "T5", vocabularies.t5, _T5, "pretraining"),
    "t5 1.1": (
        "T5ForConditionalGeneration",
        "T5",
        vocabularies.t5,
        _T5 | {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
        "pairs",
    ),
    "bart": ("BartForConditionalGeneration", "Bart", vocabularies.roberta, _BART, "pretraining"),
    "marian": (
        "MarianMTModel",
        "Marian",
        vocabularies.marian,
        {**_STACKS, "max_position_embeddings": 64, "scale_embedding": True, "activation_function": "swish"},
        "pairs",
    ),
}

LINES = [
    "A man is eating good food.",
    "Nobody knows it!  [SEP] </s> <pad> is text",
    "the rivér",
]
SECOND = ["The food is good.", "how many boats?", "dark"]
SURPLUS = 3


def theirs(name, model, family, vocabulary, values, folder):
    """Their model with large random weights, saved as their users do; with more rows than the tokenizer has tokens."""
    library = vocabulary()
    folder.mkdir()
    library.save(str(folder / "tokenizer.json"))
    size = library.get_vocab_size()
    if family == "Marian":
        pad = library.token_to_id("<pad>")
        values = {**values, "pad_token_id": pad, "decoder_start_token_id": pad, "eos_token_id": 0}
        values |= {"decoder_vocab_size": size + SURPLUS, "bos_token_id": None, "forced_eos_token_id": None}
    if family == "GPT2":
        end = library.token_to_id("<|endoftext|>")
        values = {**values, "bos_token_id": end, "eos_token_id": end}
    if model.endswith("ForSequenceClassification") and "num_labels" not in values:
        values = {**values, "id2label": {0: "no", 1: "perhaps", 2: "yes"}}
    config = getattr(transformers, f"{family}Config")(vocab_size=size + SURPLUS, attn_implementation="eager", **values)
    torch.manual_seed(sum(map(ord, name)))
    made = getattr(transformers, model)(config).eval()
    with torch.no_grad():
        for place, tensor in [*made.named_parameters(), *made.named_buffers()]:
            if tensor.is_floating_point() and not (family == "Marian" and "embed_positions" in place):
                tensor.normal_(std=0.4)
    made.tie_weights()
    if name == "t5 1.1":  # the library ties what the published checkpoints do not
        made.lm_head.weight = torch.nn.Parameter(torch.randn(size + SURPLUS, 16) * 0.4)
    made.save_pretrained(folder)
    return made, transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))


def rows_of(ours, there):
    """For each row of ours, the first of theirs with the same numbers."""
    equal = (ours[:, None] == there[None]).all(-1)
    assert equal.any(1).all(), "every row is one of theirs"
    return equal.int().argmax(1)


def table(network):
    return next(weight for name, weight in network.named_parameters() if name.endswith("embedding.weight"))


def padded(rows):
    mask = torch.arange(max(map(len, rows))) < torch.tensor([len(row) for row in rows])[:, None]
    ids = torch.full(mask.shape, PAD)
    ids[mask] = torch.tensor([one for row in rows for one in row])
    return ids, mask


@pytest.fixture(params=ENCODERS)
def encoder(request, tmp_path):
    model, family, vocabulary, values, task = ENCODERS[request.param]
    made, tokenizer = theirs(request.param, model, family, vocabulary, values, tmp_path / "theirs")
    return made, tokenizer, import_checkpoint(tmp_path / "theirs", tmp_path / "ours"), task, tmp_path


def outputs(model, encoded):
    """What their model says of encoded texts, by our names of heads."""
    if isinstance(model, transformers.BertForMultipleChoice):  # the texts are the choices of one question
        with torch.no_grad():
            return {"choice": model(**{name: value[None] for name, value in encoded.items()}).logits[0]}
    with torch.no_grad():
        found = model(**encoded)
    if hasattr(found, "start_logits"):
        return {"span": torch.stack([found.start_logits, found.end_logits], -1)}
    if hasattr(found, "prediction_logits"):
        return {"tokens": found.prediction_logits, "next": found.seq_relationship_logits}
    if not hasattr(found, "logits"):
        return {"states": found.last_hidden_state}
    name = type(model).__name__
    if "Masked" in name:
        return {"tokens": found.logits}
    if "Token" in name:
        return {"labels": found.logits}
    return {"values" if model.config.num_labels == 1 else "class": found.logits}


@pytest.mark.parametrize("pairs", [False, True])
def test_encoders(encoder, pairs):
    """The same ids once their rows are put back, padded texts and pairs, and the same logits of every head."""
    model, tokenizer, ours, task, _ = encoder
    assert ours.config.task == task
    marks = ours.tokenizers[0].marks
    expected = tokenizer(LINES, SECOND if pairs else None, return_token_type_ids=True)
    found = [ours.tokenizers[0].encode(texts) for texts in (LINES, SECOND)]
    both = [
        paired(torch.tensor(first).numpy(), torch.tensor(second).numpy() if pairs else None, marks)
        for first, second in zip(*found, strict=True)
    ]
    rows = rows_of(table(ours.network), model.get_input_embeddings().weight)
    # theirs finds [SEP] or </s> in a text, where ours is text
    same = [0, 2]
    assert [rows[both[line][0]].tolist() for line in same] == [expected["input_ids"][line] for line in same]
    ids, mask = padded([ids.tolist() for ids, _ in both])
    segments = padded([segments.tolist() for _, segments in both])[0]
    encoded = {"input_ids": rows[ids], "attention_mask": mask.long()}
    if model.config.type_vocab_size == 2:
        encoded["token_type_ids"] = segments
    with torch.no_grad():
        said = ours.network(Batch(torch.arange(3), Tokens(ids, mask, segments), None)).heads
        said = {name: head if isinstance(head, torch.Tensor) else head.logits() for name, head in said.items()}
        said["states"] = ours.network.encode(Tokens(ids, mask, segments)).states
    for name, numbers in outputs(model, encoded).items():
        if name == "tokens":
            numbers = numbers[..., rows]
        if numbers.dim() == 3:
            numbers, said[name] = numbers[mask], said[name][mask]
        torch.testing.assert_close(said[name].view_as(numbers), numbers, rtol=0.0, atol=1e-5)


def test_encoders_there_and_back(encoder):
    """The model folder verifies itself; exported, the reference library says the same of the same lines."""
    model, _, _, task, place = encoder
    assert "4 of 4" in verify(place / "ours")[-1] or task in ("question_answering", "multiple_choice")
    loaded = henkan.load(place / "ours")
    to_hf(loaded, place / "back")
    again, notes = type(model).from_pretrained(place / "back", output_loading_info=True, attn_implementation="eager")
    assert not notes["missing_keys"] and not notes["unexpected_keys"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(place / "back")
    encoded = tokenizer(LINES[::2], SECOND[::2], padding=True, return_tensors="pt")
    vectors = loaded.vectors(LINES[::2])
    one = tokenizer(LINES[::2], padding=True, return_tensors="pt")
    with torch.no_grad():
        states = again.eval()(**one, output_hidden_states=True) if task != "multiple_choice" else None
    if states is not None:
        real = one["attention_mask"][..., None]
        mean = (states.hidden_states[-1] * real).sum(1) / real.sum(1)
        torch.testing.assert_close(vectors, torch.nn.functional.normalize(mean, dim=-1), rtol=0.0, atol=1e-5)
    if task == "classification":
        assert ("token_type_ids" in encoded) == (model.config.type_vocab_size == 2)
        with torch.no_grad():
            logits = again(**encoded).logits
        lines = [f"{first}\t{second}" for first, second in zip(LINES[::2], SECOND[::2], strict=True)]
        if model.config.num_labels == 1:
            told = [float(number) for number in loaded.predict(lines)]
            assert told == pytest.approx(logits.flatten().tolist(), rel=0.0, abs=1e-5)
        else:
            expected = [again.config.id2label[number] for number in logits.argmax(-1).tolist()]
            assert set(expected) <= {"no", "perhaps", "yes"}
            assert loaded.predict(lines) == expected


def test_masks_are_filled_as_they_fill_them(tmp_path):
    model, _ = theirs("masks", "RobertaForMaskedLM", "Roberta", vocabularies.roberta, _ROBERTA, tmp_path / "a")
    ours = import_checkpoint(tmp_path / "a", tmp_path / "b")
    text = "A man is <mask> good food."
    mask = transformers.AddedToken("<mask>", lstrip=True, special=True)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(tmp_path / "a" / "tokenizer.json"), mask_token=mask
    )
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        best = model(input_ids=ids).logits.argmax(-1)
    filled = torch.where(ids == tokenizer.mask_token_id, best, ids)[0, 1:-1]
    assert ours.predict([text]) == [tokenizer.decode(filled)]


@pytest.mark.parametrize("name", DECODERS)
def test_encoder_decoders(name, tmp_path):
    """The same ids, teacher-forced logits with padding, greedy outputs; and all of it again after the way back."""
    model_name, family, vocabulary, values, task = DECODERS[name]
    model, tokenizer = theirs(name, model_name, family, vocabulary, values, tmp_path / "theirs")
    ours = import_checkpoint(tmp_path / "theirs", tmp_path / "ours")
    assert ours.config.task == task
    own = ours.tokenizers[0]
    rows = rows_of(table(ours.network), model.get_input_embeddings().weight)
    sources, targets = own.encode(LINES), own.encode(SECOND)
    ids, mask = padded([[*row, END] for row in sources])
    expected = tokenizer(LINES[::2])["input_ids"]
    assert [rows[torch.tensor([*sources[line], END])].tolist() for line in (0, 2)] == expected
    read, real = padded([[START, *row] for row in targets])
    start = model.config.decoder_start_token_id
    assert rows[START] == start
    with torch.no_grad():
        said = ours.network(Batch(torch.arange(3), Tokens(ids, mask), Tokens(read, real))).heads["tokens"].logits()
        there = model(
            input_ids=rows[ids],
            attention_mask=mask.long(),
            decoder_input_ids=rows[read],
            decoder_attention_mask=real.long(),
        ).logits
    own_rows = torch.tensor([number for number in range(own.size) if number != START])
    torch.testing.assert_close(said[real][:, own_rows], there[..., rows][real][:, own_rows], rtol=0.0, atol=1e-5)
    generate(model, ours, rows, ids, mask)
    assert "4 of 4" in verify(tmp_path / "ours")[-1]
    to_hf(henkan.load(tmp_path / "ours"), tmp_path / "back")
    again = type(model).from_pretrained(tmp_path / "back", attn_implementation="eager").eval()
    with torch.no_grad():
        back = again(
            input_ids=ids, attention_mask=mask.long(), decoder_input_ids=read, decoder_attention_mask=real.long()
        ).logits
    torch.testing.assert_close(back[real], said[real], rtol=0.0, atol=1e-5)
    generate(again, ours, torch.arange(own.size), ids, mask)


def generate(model, ours, rows, ids, mask):
    """Greedy search by both, 12 tokens; padding is never written."""
    from henkan.decode.greedy import greedy_search
    from henkan.decode.stepper import ModelStepper

    stepper = ModelStepper(ours.network, len(rows))
    prefix = Tokens(torch.full((3, 1), START), torch.ones(3, 1, dtype=torch.bool))
    state = stepper.start(Tokens(ids, mask), 3, 13)
    found = greedy_search(stepper, state, prefix, torch.full((3,), 12), None)
    never = [int(rows[PAD])] + ([int(rows[START])] if rows[START] != rows[END] else [])
    with torch.no_grad():
        there = model.generate(
            input_ids=rows[ids],
            attention_mask=mask.long(),
            do_sample=False,
            num_beams=1,
            max_new_tokens=12,
            suppress_tokens=never,
            forced_eos_token_id=None,
        )
    for hypothesis, expected in zip(found, there[:, 1:].tolist(), strict=True):
        tokens = [int(rows[token]) for token in hypothesis.tokens]
        assert tokens == expected[: len(tokens)]
        assert len(tokens) == 12 or expected[len(tokens)] == int(rows[END])


@pytest.mark.parametrize("tied", [True, False])
def test_gpt2(tied, tmp_path):
    values = {"n_positions": 64, "n_embd": 16, "n_layer": 2, "n_head": 2, "tie_word_embeddings": tied}
    model, tokenizer = theirs("gpt2", "GPT2LMHeadModel", "GPT2", vocabularies.gpt2, values, tmp_path / "theirs")
    ours = import_checkpoint(tmp_path / "theirs", tmp_path / "ours")
    assert ours.config.task == "pretraining"
    own = ours.tokenizers[0]
    rows = rows_of(table(ours.network), model.get_input_embeddings().weight)
    found = own.encode(LINES)
    assert [rows[torch.tensor(row)].tolist() for row in found] == tokenizer(LINES)["input_ids"]
    ids, mask = padded([[START, *row] for row in found])
    with torch.no_grad():
        said = ours.network(Batch(torch.arange(3), None, Tokens(ids, mask))).heads["tokens"].logits()
        there = model(input_ids=rows[ids], attention_mask=mask.long()).logits
    torch.testing.assert_close(said[mask], there[..., rows][mask], rtol=0.0, atol=1e-5)
    end = model.config.eos_token_id
    for line, text in zip(LINES, ours.predict(LINES), strict=True):
        read = torch.tensor([[end, *tokenizer(line)["input_ids"]]])
        with torch.no_grad():
            expected = model.generate(
                read, attention_mask=torch.ones_like(read), do_sample=False, max_length=64, pad_token_id=end
            )
        assert text == tokenizer.decode(expected[0, 1:], skip_special_tokens=True)
    to_hf(load_any(tmp_path / "ours"), tmp_path / "back")
    again = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "back", attn_implementation="eager").eval()
    with torch.no_grad():
        back = again(input_ids=ids, attention_mask=mask.long()).logits
    torch.testing.assert_close(back[mask], said[mask], rtol=0.0, atol=1e-5)
