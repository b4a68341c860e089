"""Tiny random models of the reference library, one for each way in which a family differs, and what they compute.

`python tests/interop/checkpoints.py` writes `tests/interop/goldens/` with that library; the tests of this folder read
it without. Weights are drawn with a deviation of 0.5, so that a slip anywhere shows in the logits.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

GOLDENS = Path(__file__).parent / "goldens"
VOCABULARY = 23
SOURCE, TARGET = [6, 3, 1], [5, 2, 4]

_BERT = {
    "vocab_size": VOCABULARY,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 12,
    "pad_token_id": 0,
}
_ROBERTA = _BERT | {"max_position_embeddings": 14, "pad_token_id": 1, "type_vocab_size": 1}
_DEBERTA = _BERT | {
    "relative_attention": True,
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
    "position_biased_input": False,
    "position_buckets": 4,
    "pos_att_type": "p2c|c2p",
}
_GPT2 = {"vocab_size": VOCABULARY, "n_positions": 12, "n_embd": 8, "n_layer": 2, "n_head": 2}
_GPT2 |= {"bos_token_id": 0, "eos_token_id": 0}
_T5 = {
    "vocab_size": VOCABULARY,
    "d_model": 8,
    "d_kv": 3,
    "d_ff": 12,
    "num_layers": 1,
    "num_decoder_layers": 2,
    "num_heads": 2,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 6,
    "decoder_start_token_id": 0,
}
_BART = {
    "vocab_size": VOCABULARY,
    "d_model": 8,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 12,
    "decoder_ffn_dim": 10,
    "max_position_embeddings": 12,
    "pad_token_id": 1,
}
_MARIAN = _BART | {"pad_token_id": 0, "decoder_start_token_id": 0, "activation_function": "swish"}

MODELS: dict[str, tuple[str, str, dict[str, object]]] = {
    "bert": ("BertModel", "BertConfig", _BERT),
    "bert, masks": ("BertForMaskedLM", "BertConfig", _BERT),
    "bert, masks, untied": ("BertForMaskedLM", "BertConfig", _BERT | {"tie_word_embeddings": False}),
    "bert, pre-training": ("BertForPreTraining", "BertConfig", _BERT),
    "bert, classes": ("BertForSequenceClassification", "BertConfig", _BERT | {"num_labels": 3}),
    "bert, regression": ("BertForSequenceClassification", "BertConfig", _BERT | {"num_labels": 1}),
    "bert, labels": ("BertForTokenClassification", "BertConfig", _BERT | {"num_labels": 4}),
    "bert, spans": ("BertForQuestionAnswering", "BertConfig", _BERT),
    "roberta, masks": ("RobertaForMaskedLM", "RobertaConfig", _ROBERTA),
    "roberta, classes": ("RobertaForSequenceClassification", "RobertaConfig", _ROBERTA | {"num_labels": 3}),
    "deberta, masks": ("DebertaV2ForMaskedLM", "DebertaV2Config", _DEBERTA),
    "deberta, classes": ("DebertaV2ForSequenceClassification", "DebertaV2Config", _DEBERTA | {"num_labels": 3}),
    "deberta, no buckets, one term, places": (
        "DebertaV2ForMaskedLM",
        "DebertaV2Config",
        _DEBERTA
        | {
            "position_buckets": -1,
            "max_relative_positions": 3,
            "pos_att_type": "p2c",
            "norm_rel_ebd": "none",
            "position_biased_input": True,
            "type_vocab_size": 2,
        },
    ),
    "gpt2": ("GPT2LMHeadModel", "GPT2Config", _GPT2),
    "gpt2, untied": ("GPT2LMHeadModel", "GPT2Config", _GPT2 | {"tie_word_embeddings": False, "n_inner": 10}),
    "t5": ("T5ForConditionalGeneration", "T5Config", _T5),
    "t5 1.1": (
        "T5ForConditionalGeneration",
        "T5Config",
        _T5 | {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    ),
    "bart": ("BartForConditionalGeneration", "BartConfig", _BART | {"scale_embedding": True}),
    "marian": ("MarianMTModel", "MarianConfig", _MARIAN | {"scale_embedding": True}),
    "marian, two vocabularies": (
        "MarianMTModel",
        "MarianConfig",
        _MARIAN | {"decoder_vocab_size": VOCABULARY - 2, "share_encoder_decoder_embeddings": False},
    ),
}


def tokens(lengths: list[int], seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids (N, T) of both vocabularies, none of them special, and what is real of them."""
    draw = torch.Generator().manual_seed(seed)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return torch.randint(3, VOCABULARY - 2, mask.shape, generator=draw), mask


def build(name: str) -> torch.nn.Module:
    """Their model, with large random weights."""
    import transformers

    kind, config, settings = MODELS[name]
    torch.manual_seed(sum(map(ord, name)))
    model = getattr(transformers, kind)(getattr(transformers, config)(attn_implementation="eager", **settings)).eval()
    with torch.no_grad():
        for place, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if tensor.is_floating_point() and not (kind.startswith("Marian") and "embed_positions" in place):
                tensor.normal_(std=0.5)
    model.tie_weights()
    if name == "t5 1.1":  # this library ties what the published checkpoints do not
        model.lm_head.weight = torch.nn.Parameter(torch.randn(VOCABULARY, 8) * 0.5)
    return model


@torch.no_grad()
def outputs(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """What their model says of both texts, padded; zeros where there is padding."""
    ids, mask = tokens(SOURCE, 1)
    kind = type(model).__name__
    given = {"input_ids": ids.masked_fill(~mask, model.config.pad_token_id or 0), "attention_mask": mask.long()}
    if model.config.model_type in ("t5", "bart", "marian"):
        read, real = tokens(TARGET, 2)
        found = model(**given, decoder_input_ids=read, decoder_attention_mask=real.long())
        return {"tokens": found.logits * real[..., None], "states": found.encoder_last_hidden_state * mask[..., None]}
    if model.config.model_type == "gpt2":
        return {"tokens": model(**given).logits * mask[..., None]}
    if getattr(model.config, "type_vocab_size", 0) == 2:
        given["token_type_ids"] = ids % 2
    found = model(**given, output_hidden_states=True)
    named = {"states": found.hidden_states[-1] * mask[..., None]}
    if kind == "BertModel":
        named["pooled"] = found.pooler_output
    if kind == "BertForPreTraining":
        named |= {"tokens": found.prediction_logits * mask[..., None], "next": found.seq_relationship_logits}
    if "Masked" in kind:
        named["tokens"] = found.logits * mask[..., None]
    if "Token" in kind:
        named["labels"] = found.logits * mask[..., None]
    if "Sequence" in kind:
        named["values" if model.config.num_labels == 1 else "class"] = found.logits
    if "Question" in kind:
        named["span"] = torch.stack([found.start_logits, found.end_logits], -1) * mask[..., None]
    return named


def save(model: torch.nn.Module, folder: Path) -> None:
    """As their users do, without what is not read."""
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)


def folder_of(name: str) -> Path:
    """Where a golden lies."""
    return GOLDENS / name.replace(", ", "-").replace(" ", "-")


def main() -> None:
    import transformers

    shutil.rmtree(GOLDENS, ignore_errors=True)
    for name in MODELS:
        model, folder = build(name), folder_of(name)
        save(model, folder)
        save_file({key: value.contiguous() for key, value in outputs(model).items()}, folder / "expected.safetensors")
    made = {
        "script": "tests/interop/checkpoints.py",
        "transformers": transformers.__version__,
        "torch": torch.__version__,
    }
    (GOLDENS / "made.json").write_text(json.dumps(made, indent=1) + "\n")
    size = sum(path.stat().st_size for path in GOLDENS.rglob("*") if path.is_file())
    print(f"{size} bytes in {GOLDENS}", file=sys.stderr)
    assert size < 300_000, "goldens are kept small"


if __name__ == "__main__":
    main()
