"""Scores, spreads and tests of systems, against the same things computed from the texts directly."""

from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pytest

from evaluated import SEGMENTS, write_run
from henkan.compare.findings import find, mean_of
from henkan.compare.systems import System, read_trained, systems_of
from henkan.errors import ConfigError, FolderError
from henkan.metrics import MEASURES, bleu, compare


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three runs, from good to bad."""
    place = tmp_path_factory.mktemp("runs")
    return [write_run(place / name, errors, preset=name) for name, errors in (("b", 0.3), ("a", 0.1), ("c", 0.6))]


def test_the_best_is_found_and_the_others_are_tested_against_it(folders: list[Path]):
    systems = systems_of(folders)
    found = find(systems, resamples=200)
    assert [finding.system.name for finding in found.systems] == ["b", "a", "c"], "the order is the user's"
    assert found.best.system.name == "a"
    assert found.best.test is None
    assert (found.metric, found.length_unit, found.best.score.count) == ("bleu", "words of the source", SEGMENTS)
    told = [system.runs[0].scored for system in systems]
    measured = [MEASURES["bleu"](each.outputs, each.references) for each in told]
    for place in (0, 2):
        assert found.systems[place].test == compare(measured[1], measured[place], 200)
        assert found.systems[place].score == measured[place].score(200)
        assert found.systems[place].spread is None


def test_an_error_rate_has_its_best_below(folders: list[Path]):
    found = find(systems_of(folders), "ter", resamples=50)
    assert found.best.system.name == "a"
    assert found.best.score.value == min(finding.score.value for finding in found.systems)
    with pytest.raises(ConfigError, match="metric 'blue': expected one of bleu"):
        find(systems_of(folders), "blue")


def test_seeds_give_a_mean_and_a_spread(tmp_path: Path):
    runs = tuple(read_trained(write_run(tmp_path / f"s{seed}", 0.3, seed=seed)) for seed in (1, 2, 3))
    other = read_trained(write_run(tmp_path / "other", 0.7))
    found = find([System("many", runs), System("one", (other,))], resamples=100)
    scores = [bleu(run.scored.outputs, run.scored.references, bootstrap=0).value for run in runs]
    many = found.systems[0]
    assert many.each == pytest.approx(scores)
    assert many.score.value == pytest.approx(mean(scores))
    assert many.spread == pytest.approx(stdev(scores))
    assert many.score.signature.endswith("|mean-of:3")
    assert found.systems[1].test is not None
    assert found.systems[1].test.difference == pytest.approx(found.systems[1].score.value - mean(scores))


def test_the_mean_is_resampled_with_the_same_segments_for_every_run(tmp_path: Path):
    runs = [read_trained(write_run(tmp_path / f"s{seed}", 0.3, seed=seed)).scored for seed in (1, 2)]
    measured = [MEASURES["bleu"](run.outputs, run.references) for run in runs]
    wanted = np.mean([each.resampled(50) for each in measured], axis=0)
    np.testing.assert_allclose(mean_of(measured).resampled(50), wanted, rtol=1e-12)
    assert mean_of(measured[:1]) is measured[0]


def test_errors_rise_with_length_where_outputs_get_worse(folders: list[Path]):
    bands = find(systems_of(folders), "ter", resamples=10).systems[2].bands
    assert [band.shortest for band in bands] == sorted({band.shortest for band in bands})
    assert sum(band.score.count for band in bands) == SEGMENTS
    assert bands[0].score.value < bands[-1].score.value


def test_what_the_folders_tell(folders: list[Path]):
    run = read_trained(folders[0])
    assert (run.preset, run.size, run.scores, run.vocabularies) == ("b", "small", ("bleu", "chrf"), (60, 60))
    assert (run.parameters, run.seed, run.updates, run.speed, run.seconds) == (1_234_567, 1, 100, 1055.0, 61.0)
    assert run.loss == pytest.approx(5 * 0.98**100 + 0.3)
    assert run.by_time("bleu")[-1] == pytest.approx((1.0, 28.0))


def test_runs_of_other_tests_are_refused(tmp_path: Path, folders: list[Path]):
    stranger = write_run(tmp_path / "stranger", 0.1, test_seed=10)
    with pytest.raises(FolderError, match=r"stranger: scored on another test set than .*sources differ at segment 1"):
        find(systems_of([folders[0], stranger]))
    file = stranger / "outputs.jsonl"
    file.write_text("".join(file.read_text(encoding="utf-8").splitlines(keepends=True)[:-1]), encoding="utf-8")
    with pytest.raises(FolderError, match=f"{SEGMENTS - 1} segments, not {SEGMENTS}"):
        find(systems_of([folders[0], stranger]))
    file.write_text('{"source": 1}\n', encoding="utf-8")
    with pytest.raises(FolderError, match=r"outputs.jsonl: damaged"):
        read_trained(stranger)
    file.unlink()
    with pytest.raises(FolderError, match=r"has no outputs.jsonl; score the run .* with `henkan evaluate"):
        read_trained(stranger)


def test_names_are_folders_or_paths_where_those_are_not_unique(tmp_path: Path, folders: list[Path]):
    twin = write_run(tmp_path / "a", 0.2)
    assert [system.name for system in systems_of([folders[1], twin])] == [str(folders[1]), str(twin)]
    with pytest.raises(ConfigError, match="there twice"):
        systems_of([twin, twin])
    with pytest.raises(FolderError, match="no such folder; expected a run folder"):
        systems_of([tmp_path / "nothing", twin])
