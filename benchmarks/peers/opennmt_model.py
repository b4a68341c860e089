"""A Henkan model B as an OpenNMT-py checkpoint: the same weights, so the same outputs to rounding.

    python opennmt_model.py MODEL_FOLDER TEMPLATE.pt OUTPUT.pt

Runs where OpenNMT-py is installed. The template is a checkpoint that ``onmt_train`` itself wrote for this model and the
shared vocabulary; its weights are replaced, its settings stay. Only bidirectional LSTM, one layer each, general
attention with input feeding, last states handed on, nothing tied (preset luong-2015, size small).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor
from workload_pieces import without_spaces

SPECIAL = {"<blank>": "<pad>"}
"""Their names for our special tokens, where they differ."""


def main() -> None:
    parser = argparse.ArgumentParser(description="A Henkan model B as an OpenNMT-py checkpoint.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("template", type=Path)
    parser.add_argument("output", type=Path)
    given = parser.parse_args()
    checkpoint = torch.load(given.template, map_location="cpu", weights_only=False)
    weights = load_file(given.folder / "model.safetensors")
    settings = yaml.safe_load((given.folder / "config.yaml").read_text(encoding="utf-8"))["model"]
    scale = settings["embedding"] ** 0.5 if settings["scaled_embedding"] else 1.0
    ours = pieces(given.folder)
    rows = {side: [ours[SPECIAL.get(piece, piece)] for piece in checkpoint["vocab"][side]] for side in ("src", "tgt")}
    new = network(weights, rows["src"], rows["tgt"], scale)
    model = checkpoint["model"]
    generator = {"weight": weights["head.weight"][rows["tgt"]], "bias": torch.zeros(len(rows["tgt"]))}
    for old, found in ((model, new), (checkpoint["generator"], generator)):
        if {name: value.shape for name, value in old.items()} != {name: value.shape for name, value in found.items()}:
            raise ValueError(f"expected {shapes(old)}, made {shapes(found)}")
        old.update(found)
    torch.save(checkpoint, given.output)


def shapes(weights: dict[str, Tensor]) -> str:
    """For an error."""
    return ", ".join(f"{name} {tuple(value.shape)}" for name, value in sorted(weights.items()))


def network(weights: dict[str, Tensor], source: list[int], target: list[int], scale: float) -> dict[str, Tensor]:
    """All but the output matrix; ``source`` and ``target`` are our rows in the order of their vocabularies."""
    found = {
        "encoder.embeddings.make_embedding.emb_luts.0.weight": weights["encoder.embedding.weight"][source] * scale,
        "decoder.embeddings.make_embedding.emb_luts.0.weight": weights["decoder.embedding.weight"][target] * scale,
        # they turn the query, we turn the keys
        "decoder.attn.linear_in.weight": weights["decoder.source_attention.scorer.weight"].t().contiguous(),
        "decoder.attn.linear_out.weight": weights["decoder.attentional.mix.weight"],
    }
    found |= cell(weights, "encoder.layers.0.forward_cell", "encoder.rnn.{}_l0")
    found |= cell(weights, "encoder.layers.0.backward_cell", "encoder.rnn.{}_l0_reverse")
    found |= cell(weights, "decoder.layers.0.cell", "decoder.rnn.layers.0.{}")
    return found


def cell(weights: dict[str, Tensor], name: str, theirs: str) -> dict[str, Tensor]:
    """An LSTM; they add two biases, we have one. The gates stand in one order."""
    bias = weights[f"{name}.bias"]
    parts = {
        "weight_ih": weights[f"{name}.input_weight"],
        "weight_hh": weights[f"{name}.hidden_weight"],
        "bias_ih": bias,
        "bias_hh": torch.zeros_like(bias),
    }
    return {theirs.format(part): value for part, value in parts.items()}


def pieces(folder: Path) -> dict[str, int]:
    """Our id of each subword, written as in the files of the workload."""
    library = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    return {without_spaces(piece): place for piece, place in library["model"]["vocab"].items()}


if __name__ == "__main__":
    main()
