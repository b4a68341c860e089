"""From the words of ``henkan inspect gradients`` to models, sequences and measured gradients."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn

from henkan import presets
from henkan.config import validate
from henkan.data.collate import collate_pairs
from henkan.data.example import Example
from henkan.data.readers import PairsFile
from henkan.errors import ConfigError, DataError
from henkan.inspection.cells import CELLS, build_cell
from henkan.inspection.gradients import (
    Losses,
    Measured,
    Subject,
    long_range_losses,
    measure,
    train,
    watch,
)
from henkan.inspection.long_range import Adding, Copying, LongRangeNetwork, LongRangeTask
from henkan.model import Model, load
from henkan.models.encoder_decoder import EncoderDecoder
from henkan.nn.cells import Cell
from henkan.recipe import RunConfig, with_preset
from henkan.settings import Layer
from henkan.tasks.preparation import prepare
from henkan.tasks.survey import USUAL, survey
from henkan.tensors import Batch
from henkan.text.normalise import normalise

HELD_OUT = 10_000
"""Seed of the first batch that is measured: far from those of the updates."""


def long_range_task(name: str, length: int) -> LongRangeTask:
    """ConfigError if there is no such task."""
    if name == "adding":
        return Adding(length)
    if name == "copy":
        return Copying(length)
    raise ConfigError(f"--task {name!r}: expected adding or copy")


def on_task(
    names: Sequence[str],
    task: LongRangeTask,
    size: int,
    updates: int,
    rate: float,
    rows: int,
    batches: int,
    clip: float,
    seed: int,
) -> list[Subject]:
    """Cells and presets by name on a long-range task, all with the same sequences."""
    cells = [_cell(name, task.inputs, size, seed) for name in names]  # wrong names before anything takes time
    subjects = []
    for name, cell in zip(names, cells, strict=True):
        torch.manual_seed(seed)
        network = LongRangeNetwork(cell, task).double()
        trained = {}
        for limit in (None, clip):
            own = copy.deepcopy(network)
            norms = train(own, task, updates, rows, rate, limit)
            works = [(long_range_losses(own, task, rows, HELD_OUT + number), rows) for number in range(batches)]
            trained[limit] = measure(own, watch(own), works, clip), norms
        (off, _), unclipped_norms = trained[None]
        (_, on), clipped_norms = trained[clip]
        if updates:
            off, on = Measured(off.flows, unclipped_norms), Measured(on.flows, clipped_norms)
        subjects.append(Subject(name, off, on))
    return subjects


def _cell(word: str, inputs: int, size: int, seed: int) -> Cell:
    """``gru``, ``rnn@2``, or the cell of a preset's encoder, at this size."""
    name, at, factor = word.partition("@")
    torch.manual_seed(seed)
    if name in CELLS:
        cell = build_cell(name, inputs, size)
    elif Path(name).exists():
        raise ConfigError(f"{name}: a trained model reads text; give --pairs with a .tsv or .jsonl of pairs")
    elif name in [preset.name for preset in presets.PRESETS]:
        encoder = _settings(name, None).model.encoder
        if encoder.kind != "recurrent":
            raise ConfigError(f"preset {name} has no recurrent encoder: nothing goes back through time")
        cell = encoder.cell.model_copy(update={"size": size}).build(inputs)
    else:
        raise ConfigError(f"{name!r} is no cell ({', '.join(CELLS)}), no preset and no folder")
    if at:
        _scale(cell, word, factor)
    return cell


def _scale(cell: Cell, word: str, factor: str) -> None:
    weight = getattr(cell, "hidden_weight", None)
    if not isinstance(weight, Tensor):
        raise ConfigError(f"{word!r}: this cell has no recurrent weights")
    try:
        number = float(factor)
    except ValueError:
        raise ConfigError(f"{word!r}: expected CELL@NUMBER, such as rnn@1.5") from None
    with torch.no_grad():
        weight.mul_(number)


def on_pairs(names: Sequence[str], pairs: Path, rows: int, batches: int, clip: float, seed: int) -> list[Subject]:
    """Trained models, and presets with fresh weights, on the first pairs of a file."""
    texts = [(pair.source, pair.target) for pair in PairsFile(pairs) if pair.source.strip() and pair.target.strip()]
    if not texts:
        raise DataError(f"{pairs}: no pair has two sides")
    subjects = []
    for name in names:
        model = _model(name, pairs, seed)
        network = model.network.double().eval()
        watched = watch(_encoder(network))
        if not watched:
            raise ConfigError(f"{name} has no recurrent encoder: nothing goes back through time")
        works = _works(network, model, texts[: rows * batches], rows)
        subjects.append(Subject(run_name(Path(name)), *measure(network, watched, works, clip)))
    return subjects


def _encoder(network: EncoderDecoder) -> nn.Module:
    assert isinstance(network.encoder, nn.Module)
    return network.encoder


def run_name(model: Path) -> str:
    """What to call a model: its run's name rather than that of the folder ``model`` in it."""
    place = model.resolve() if model.exists() else model
    return place.parent.name if place.name == "model" else place.name


def _model(name: str, pairs: Path, seed: int) -> Model:
    """A folder's; or a preset's with fresh weights and a vocabulary learnt from the pairs."""
    if Path(name).exists():
        return load(name)
    if name not in [preset.name for preset in presets.PRESETS]:
        raise ConfigError(
            f"{name!r} is no model folder and no preset of `henkan presets`; cells read no pairs: leave --pairs out"
        )
    config = _settings(name, pairs)
    with tempfile.TemporaryDirectory() as folder:
        prepared = prepare(config.data, config.vocabulary, Path(folder) / "prepared", lambda line: None)
        torch.manual_seed(seed)
        network = config.model.build(*(tokenizer.size for tokenizer in prepared.tokenizers))
        return Model(config, network, prepared.tokenizers)


def _settings(preset: str, pairs: Path | None) -> RunConfig:
    """A preset's settings for these pairs, or for middling ones."""
    values = {"preset": preset, "data": {"pairs": "none.tsv" if pairs is None else str(pairs)}}
    facts = USUAL if pairs is None else survey(PairsFile(pairs))
    return validate(RunConfig, with_preset([Layer(values, "henkan inspect")], facts)[0])


def _works(
    network: EncoderDecoder, model: Model, texts: Sequence[tuple[str, str]], rows: int
) -> Iterator[tuple[Losses, int]]:
    """Batches of so many pairs, each in parts whose sources have one length: no row is padded."""
    sources, targets = (
        tokenizer.encode([normalise(text[side]) for text in texts]) for side, tokenizer in enumerate(model.tokenizers)
    )
    examples = iter(map(Example.of, range(len(texts)), sources, targets))
    while chosen := list(islice(examples, rows)):
        lengths = sorted({len(example.source) for example in chosen})
        parts = [[example for example in chosen if len(example.source) == length] for length in lengths]
        collated = [collate_pairs(part, model.config.data.reverse_source) for part in parts]
        yield [_loss(network, batch) for batch in collated], sum(batch.units["tokens"] for batch in collated)


def _loss(network: EncoderDecoder, batch: Batch) -> Callable[[], Tensor]:
    """-log p(target | source), added up over the rows."""

    def loss() -> Tensor:
        scores = network(batch).heads["tokens"]
        assert not isinstance(scores, Tensor)
        return scores.loss(batch.labels["tokens"])[0]

    return loss
