"""A run: from a recipe to a trained model in a folder.

settings -> prepare pairs -> build -> train -> model folder -> report

runs/x/config.yaml      resolved settings          runs/x/events.jsonl   what happened
runs/x/prepared/        integers and tokenizers    runs/x/report.html    the same as a page
runs/x/checkpoints/     to go on from              runs/x/metrics.json   test scores, from `henkan evaluate`
runs/x/model/           the best model             runs/x/outputs.jsonl  what it gave for each test source
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from henkan.config import dump, origins, validate
from henkan.errors import ConfigError, FolderError
from henkan.folder import write_texts
from henkan.model import Model, load, save
from henkan.progress import LINE_SECONDS, Bar, Pace
from henkan.recipe import RunConfig, given_layers, resolved, with_preset
from henkan.report import write_report
from henkan.settings import Layer, read_layer
from henkan.tasks.preparation import Prepared, prepare
from henkan.tasks.survey import USUAL, survey
from henkan.tasks.translation import Translation
from henkan.training import distributed
from henkan.training.loop import Result
from henkan.training.loop import train as train_loop
from henkan.training.signals import raising
from henkan.training.team import Place, share_cores, team

SELFTEST_INPUTS = 8
"""Validation sources that go into a model's self-test."""

OF_THE_MACHINE = ("processes", "threads", "sharded")
"""Settings of training that a resumed run may change: the results are the same to rounding."""

Tell = Callable[[str], None]


def train(
    recipe: str | Path | Mapping[str, Any] | None = None,
    overrides: Sequence[str] = (),
    *,
    output: str | Path,
    resume: bool = False,
    started: float | None = None,
    console: Console | None = None,
) -> Model:
    """Train a model and return the best one; its folder is ``output``/model.

    Args:
        recipe: a YAML file or the same as a mapping, ``{"data": {"pairs": "a.tsv"}, "training": {"budget": "10m"}}``.
        overrides: ``key.path=value`` words that win over the recipe.
        output: the run folder, which must not hold a run yet unless ``resume``.
        resume: go on with the run in ``output``; settings that are given must be those of that run. Where a run was
            killed before its pairs were ready there is nothing to go on with: it starts again with what is given.
        started: ``time.monotonic()`` from which a budget counts; None: now.
        console: shows progress and the few lines that a user should see; None: standard output.

    Raises:
        ConfigError: everything that is wrong with the settings, at once.
        DataError: the pairs cannot be used.
        FolderError: ``output`` holds a run already, or none where one is to be resumed.
        Stopped: a signal asked to stop; all is saved.
    """
    started = time.monotonic() if started is None else started
    folder = Path(output)
    given = given_layers(Path(recipe) if isinstance(recipe, str) else recipe, overrides)
    resume = resume and ((folder / "config.yaml").is_file() or not given)
    with distributed.processes():
        if distributed.rank() > 0:
            _follow(folder)
        else:
            console = console or Console(highlight=False, markup=False, soft_wrap=True)
            _lead(folder, given, resume, started, console)
        distributed.barrier()
    return load(folder)


def _lead(folder: Path, given: list[Layer], resume: bool, started: float, console: Console) -> None:
    """All that is done once, whatever the number of processes; what is wrong with settings or pairs is found here."""
    speak: Tell = console.print
    config = resumed_settings(folder, given) if resume else _fresh(folder, given, speak)
    processes, threads = share_cores(config.training, _parameters(config))
    with team(processes, threads, [str(folder)]) as join:
        with raising("the pairs were not ready; nothing is kept, give the same command again"):
            _prepare(config, folder, resume, console)
        join()
        distributed.broadcast_object({"config": config.model_dump_json(), "resume": resume})
        try:
            model, prepared, result = _take_part(config, folder, resume, started, console)
        except ConfigError:  # such as too short a budget
            if not resume:
                _undo(folder)
            raise
        _finish(model, prepared, folder, result, speak)


def follow(folder: Path, place: Place) -> None:
    """What a process does that :func:`train` started in another: take part in the run, and write nothing."""
    torch.set_num_threads(place.threads)
    store = distributed.visit(place.port, place.processes)
    distributed.arrive(store, place.rank)
    with distributed.on_one_machine(store, place.rank, place.processes, place.memory):
        _follow(folder)


def _follow(folder: Path) -> None:
    """Take part when the first process says that all is ready."""
    said = distributed.broadcast_object(None)
    _take_part(RunConfig.model_validate_json(said["config"]), folder, said["resume"], None, Console(quiet=True))


def _fresh(folder: Path, given: list[Layer], tell: Tell) -> RunConfig:
    """The settings of a new run; wrong ones are found before any data is read."""
    draft = validate(RunConfig, with_preset(given, USUAL)[0])
    if folder.exists() and not folder.is_dir():
        raise FolderError(f"{folder}: is a file; --output names the folder of the run")
    if any((folder / name).exists() for name in ("config.yaml", "events.jsonl", "checkpoints", "model")):
        raise FolderError(
            f"{folder}: already holds a run; go on with it by --resume, name another folder, or remove this one"
        )
    layers, choice = with_preset(given, survey(draft.data.training()))
    config = validate(RunConfig, layers)
    tell(choice)
    return config


def _prepare(config: RunConfig, folder: Path, resume: bool, console: Console) -> None:
    """Make the data of a run, and then only its config.yaml: a run whose pairs are refused leaves nothing behind."""
    prepared = folder / "prepared"
    if not resume:
        shutil.rmtree(prepared, ignore_errors=True)  # of a run that ended before it began
    with Bar(console, quiet=LINE_SECONDS) as bar:
        prepare(config.data, config.vocabulary, prepared, console.print, Pace(bar, "pairs"))
    if not resume:
        write_texts({folder / "config.yaml": dump(config)})


def _undo(folder: Path) -> None:
    """Remove what a run wrote that could not begin, so that it can be started again; one with a checkpoint stays."""
    if not any((folder / "checkpoints").glob("step-*")):
        shutil.rmtree(folder / "prepared", ignore_errors=True)
        for name in ("events.jsonl", "config.yaml"):
            (folder / name).unlink(missing_ok=True)


def resumed_settings(folder: Path, given: Sequence[Layer]) -> RunConfig:
    """The settings of the run in the folder; given ones may repeat them, and change only what belongs to the machine.

    Raises:
        FolderError: there is no run.
        ConfigError: given settings are not those of the run; says which.
    """
    if not (folder / "config.yaml").is_file():
        raise FolderError(f"{folder}: holds no run to resume (no config.yaml); leave --resume out to start one")
    layer = read_layer(folder / "config.yaml")
    config = validate(RunConfig, [layer])
    changed = validate(RunConfig, [layer, *(resolved(said, config.size) for said in given)]) if given else config
    machine = {name: getattr(changed.training, name) for name in OF_THE_MACHINE}
    config = config.model_copy(update={"training": config.training.model_copy(update=machine)})
    if changed != config:
        before, after = ({path: value for path, value, _ in origins(found, [])} for found in (config, changed))
        different = [
            f"{path} is {before.get(path)}, not {value}" for path, value in after.items() if before.get(path) != value
        ]
        raise ConfigError(
            f"{folder}: a resumed run keeps its settings: {', '.join(different)}; leave them out, or start another run"
        )
    return config


def _take_part(
    config: RunConfig, folder: Path, resume: bool, started: float | None, console: Console
) -> tuple[Model, Prepared, Result]:
    """Train, as one of the processes of a run whose pairs are ready.

    Returns:
        The model with the best weights by validation, the pairs, and what is known of the weights.
    """
    prepared = prepare(config.data, config.vocabulary, folder / "prepared", lambda line: None)
    source, target = prepared.tokenizers
    torch.manual_seed(config.training.seed)
    network = config.model.build(source.size, target.size)
    task = Translation(
        prepared, config.objective.build(), config.decoding, config.data.reverse_source, validation_scores(config)
    )
    reserve = finishing_seconds(network)
    result = train_loop(
        task, network, config.training, folder, started=started, reserve=reserve, resume=resume, console=console
    )
    return Model(config, network.cpu().eval(), prepared.tokenizers), prepared, result


def _parameters(config: RunConfig) -> int:
    """About how many numbers a model has; its vocabularies may turn out smaller."""
    sizes = config.vocabulary.source.vocabulary, (config.vocabulary.target or config.vocabulary.source).vocabulary
    with torch.device("meta"):
        network = config.model.build(*sizes)
    return sum(parameter.numel() for parameter in network.parameters())


def validation_scores(config: RunConfig) -> list[str]:
    """Which scores a validation computes: those of the recipe that are cheap, and the one that chooses."""
    cheap = [name for name in ("bleu", "exact-match") if name in config.scores]
    chooser = config.training.validate_by
    return sorted({*cheap, *([chooser] if chooser != "loss" else [])})


def finishing_seconds(network: torch.nn.Module) -> float:
    """What writing the model folder, its self-test and the report may take after training."""
    return 3.0 + sum(parameter.numel() for parameter in network.parameters()) / 20e6


def _finish(model: Model, prepared: Prepared, folder: Path, result: Result, tell: Tell) -> None:
    examples = [pair[0] for pair in prepared.valid_pairs[:SELFTEST_INPUTS]]
    save(model, folder / "model", examples, _card(model.config, prepared, result))
    write_report(folder)
    tell(f"model: {folder / 'model'}   report: {folder / 'report.html'}")


def _card(config: RunConfig, prepared: Prepared, result: Result) -> str:
    """README.md of the model folder."""
    data = config.data
    files = data.pairs or f"{data.source} and {data.target}"
    scores = ", ".join(f"{name} {value:.2f}" for name, value in result.scores.items())
    return f"""# {config.preset} ({config.size})

Trained by Henkan on {prepared.report["kept"]:,} pairs from {files}.

| | |
| --- | --- |
| vocabulary | {prepared.tokenizers[0].size:,} source, {prepared.tokenizers[1].size:,} target |
| best update | {result.update:,} |
| validation loss | {result.loss:.4f} nats per token |
| validation scores (greedy) | {scores or "none"} |

Scores on test data, if any were computed, are in `metrics.json` with their signatures. The settings are in
`config.yaml`. Use it: `henkan predict FOLDER input.txt`; check it: `henkan verify FOLDER`.
"""
