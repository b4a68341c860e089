"""A run: from a recipe to a trained model in a folder.

settings -> prepare pairs -> build -> train -> model folder -> report

runs/x/config.yaml      resolved settings          runs/x/events.jsonl   what happened
runs/x/prepared/        integers and tokenizers    runs/x/report.html    the same as a page
runs/x/checkpoints/     to go on from              runs/x/metrics.json   test scores, from `henkan evaluate`
runs/x/model/           the best model             runs/x/outputs.jsonl  what it gave for each test source
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

from henkan.config import dump, origins
from henkan.errors import ConfigError, FolderError
from henkan.folder import write_texts
from henkan.model import TrainedModel, assemble, load_any, save
from henkan.progress import LINE_SECONDS, Bar, Pace
from henkan.recipe import Material, Recipe, Tuned, given_layers, kind, read_recipe, resolved, settle
from henkan.report import write_report
from henkan.settings import Layer, read_layer
from henkan.tasks.base import Cutting
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
) -> TrainedModel:
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
    begun = (folder / "config.yaml").is_file()
    anew, resume = resume and given and not begun, resume and (begun or not given)
    with distributed.processes():
        if distributed.rank() > 0:
            _follow(folder)
        else:
            console = console or Console(highlight=False, markup=False, soft_wrap=True)
            if anew:
                console.print(f"{folder}: there is no run to go on with, so one begins")
            _lead(folder, given, resume, started, console)
        distributed.barrier()
    model = load_any(folder)
    assert isinstance(model, TrainedModel)
    return model


def _lead(folder: Path, given: list[Layer], resume: bool, started: float, console: Console) -> None:
    """All that is done once, whatever the number of processes; what is wrong with settings or pairs is found here."""
    speak: Tell = console.print
    config = resumed_settings(folder, given) if resume else _fresh(folder, given, speak)
    processes, threads = share_cores(config.training, config.parameters())
    with team(processes, threads, [str(folder)]) as join:
        with raising("the pairs were not ready; nothing is kept, give the same command again"):
            _prepare(config, folder, resume, console)
        join()
        distributed.broadcast_object({"config": config.model_dump_json(), "resume": resume})
        try:
            material, network, result = _take_part(config, folder, resume, started, console)
        except ConfigError:  # such as too short a budget
            if not resume:
                _undo(folder)
            raise
        _finish(config, material, network, folder, result, speak)


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
    config = kind(json.loads(said["config"])).model_validate_json(said["config"])
    _take_part(config, folder, said["resume"], None, Console(quiet=True))


def _fresh(folder: Path, given: list[Layer], tell: Tell) -> Recipe:
    """The settings of a new run; wrong ones are found before any data is read."""
    if folder.exists() and not folder.is_dir():
        raise FolderError(f"{folder}: is a file; --output names the folder of the run")
    if any((folder / name).exists() for name in ("config.yaml", "events.jsonl", "checkpoints", "model")):
        raise FolderError(
            f"{folder}: already holds a run; go on with it by --resume, name another folder, or remove this one"
        )
    layers, choice = settle(given)
    config = read_recipe(layers)
    config.check_places()
    tell(choice)
    return config


def _prepare(config: Recipe, folder: Path, resume: bool, console: Console) -> None:
    """Make the data of a run, and then only its config.yaml: a run whose pairs are refused leaves nothing behind."""
    prepared = folder / "prepared"
    if not resume:
        shutil.rmtree(prepared, ignore_errors=True)  # of a run that ended before it began
    with Bar(console, quiet=LINE_SECONDS) as bar:
        config.prepare(prepared, console.print, Pace(bar, "pairs"))
    if not resume:
        write_texts({folder / "config.yaml": dump(config)})


def _undo(folder: Path) -> None:
    """Remove what a run wrote that could not begin, so that it can be started again; one with a checkpoint stays."""
    if not any((folder / "checkpoints").glob("step-*")):
        shutil.rmtree(folder / "prepared", ignore_errors=True)
        for name in ("events.jsonl", "config.yaml"):
            (folder / name).unlink(missing_ok=True)


def resumed_settings(folder: Path, given: Sequence[Layer]) -> Recipe:
    """The settings of the run in the folder; given ones may repeat them, and change only what belongs to the machine.

    Raises:
        FolderError: there is no run.
        ConfigError: given settings are not those of the run; says which.
    """
    if not (folder / "config.yaml").is_file():
        raise FolderError(f"{folder}: holds no run to resume (no config.yaml); leave --resume out to start one")
    layer = read_layer(folder / "config.yaml")
    config = read_recipe([layer])
    changed = read_recipe([layer, *(resolved(said, config.size) for said in given)]) if given else config
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
    config: Recipe, folder: Path, resume: bool, started: float | None, console: Console
) -> tuple[Material, nn.Module, Result]:
    """Train, as one of the processes of a run whose data is ready.

    Returns:
        The data, the network with the best weights by validation, and what is known of those.
    """
    material = config.prepare(folder / "prepared", lambda line: None, _silent)
    torch.manual_seed(config.training.seed)
    network = material.network(console.print)
    reserve = finishing_seconds(network)
    task = material.task()
    if isinstance(task, Cutting) and (said := task.cut.sentence()):
        console.print(said)
    result = train_loop(
        task,
        network,
        config.training,
        folder,
        started=started,
        reserve=reserve,
        resume=resume,
        console=console,
    )
    return material, network.cpu().eval(), result


def _silent(doing: str, done: int, total: int) -> None:
    pass


def finishing_seconds(network: torch.nn.Module) -> float:
    """What writing the model folder, its self-test and the report may take after training."""
    return 3.0 + sum(parameter.numel() for parameter in network.parameters()) / 20e6


def _finish(config: Recipe, material: Material, network: nn.Module, folder: Path, result: Result, tell: Tell) -> None:
    config = material.tuned(result.scores) if isinstance(material, Tuned) else config
    model = assemble(config, network, material.tokenizers)
    save(model, folder / "model", material.examples()[:SELFTEST_INPUTS], _card(config, material, result))
    write_report(folder)
    tell(f"model: {folder / 'model'}   report: {folder / 'report.html'}")


def _card(config: Recipe, material: Material, result: Result) -> str:
    """README.md of the model folder."""
    source, target = material.tokenizers
    sizes = f"{source.size:,}" if source is target else f"{source.size:,} source, {target.size:,} target"
    scores = ", ".join(f"{name} {value:.2f}" for name, value in result.scores.items())
    return f"""# {config.preset} ({config.size})

Trained by Henkan on {material.origin()}.

| | |
| --- | --- |
| task | {config.task.replace("_", " ")} |
| vocabulary | {sizes} |
| best update | {result.update:,} |
| validation loss | {result.loss:.4f} nats |
| validation scores | {scores or "none"} |

Scores on test data, if any were computed, are in `metrics.json` with their signatures. The settings are in
`config.yaml`. Use it: `henkan predict FOLDER input.txt`; check it: `henkan verify FOLDER`.
"""
