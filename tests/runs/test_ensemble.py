"""Several models as one: families mixed, on the command line and in Python."""

from pathlib import Path

import pytest
import torch

import henkan as library
from henkan.data.collate import collate_pairs
from henkan.data.example import Example
from henkan.errors import ConfigError
from henkan.model import Ensemble, Model
from henkan.models import inference
from henkan.run import train
from toys import TINY_LUONG, toy_pairs, write_pairs

SOURCES = [source for source, _ in toy_pairs(20, seed=3)]


@pytest.fixture(scope="session")
def luong_run(tmp_path_factory: pytest.TempPathFactory, pairs_file: Path) -> Path:
    """A recurrent model on the pairs of ``finished_run``; it reads its source backwards, the Transformer does not."""
    folder = tmp_path_factory.mktemp("runs") / "luong"
    settings = [*TINY_LUONG, "training.steps=20", "data.reverse_source=true"]
    train({"data": {"pairs": str(pairs_file)}}, settings, output=folder)
    return folder


@pytest.fixture(scope="session")
def both(finished_run: Path, luong_run: Path) -> Ensemble:
    return library.load(finished_run, luong_run)


@pytest.fixture(autouse=True)
def _exact(monkeypatch: pytest.MonkeyPatch):
    """Scores are compared to more digits than bf16 products have."""
    monkeypatch.setattr(inference, "fast_in_bf16", lambda: False)


def log_probs(model: Model, source: str, ids: list[int]) -> torch.Tensor:
    """(T, V) of one model by itself, by teacher forcing."""
    example = Example.of(0, model.tokenizers[0].encode([source])[0], ids)
    batch = collate_pairs([example], model.config.data.reverse_source)
    with torch.inference_mode():
        return model.network(batch).heads["tokens"].logits()[0].log_softmax(-1)


def test_scores_are_those_of_the_mean_of_probabilities(both: Ensemble):
    compared = 0
    for source, found in zip(SOURCES, both.explain(SOURCES, both.options(1)), strict=True):
        ids = both.tokenizers[1].encode([found[0].text])[0]
        if both.tokenizers[1].pieces(ids) != found[0].pieces or not found[0].finished:
            continue  # an untrained model does not write as the tokenizer would
        mean = torch.stack([log_probs(model, source, ids).exp() for model in both.models]).mean(0).log()
        written = torch.tensor([*ids, 3])
        expected = mean.gather(1, written[:, None]).sum().item()
        assert found[0].log_prob == pytest.approx(expected, abs=1e-3), source
        compared += 1
    assert compared


def test_twice_the_same_model_is_that_model(toy_model: Model):
    twice = Ensemble([toy_model, toy_model])
    assert twice.predict(SOURCES) == toy_model.predict(SOURCES)
    for one, other in zip(toy_model.explain(SOURCES), twice.explain(SOURCES), strict=True):
        assert other[0].score == pytest.approx(one[0].score, abs=1e-4)


def test_alignments_are_in_the_order_of_the_first_model(both: Ensemble, luong_run: Path):
    """The recurrent member alone, behind a first model that reads forwards."""
    luong = library.load(luong_run)
    for found in both.explain(["ka mo ri"], align=True)[0]:
        assert found.alignment is not None
        assert found.source_pieces[:-1] == both.tokenizers[0].pieces(both.tokenizers[0].encode(["ka mo ri"])[0])
    assert isinstance(luong, Model)


def test_predict_with_others(henkan, finished_run: Path, luong_run: Path, both: Ensemble, tmp_path: Path):
    file = tmp_path / "input.txt"
    file.write_text("".join(f"{line}\n" for line in SOURCES), encoding="utf-8")
    code, out, err = henkan("predict", finished_run, file, "--with", luong_run, "--with", luong_run)
    assert code == 0, err
    models = [both.models[0], both.models[1], both.models[1]]
    assert out.splitlines() == Ensemble(models).predict(SOURCES)


def test_evaluate_with_others_writes_nothing(henkan, finished_run: Path, luong_run: Path, pairs_file: Path):
    before = (finished_run / "model" / "metrics.json").read_bytes()
    code, out, err = henkan("evaluate", finished_run, "--with", luong_run, "--pairs", pairs_file, "--beam", 1)
    assert code == 0, err
    assert "BLEU" in out and "written to" not in out
    assert (finished_run / "model" / "metrics.json").read_bytes() == before
    assert not (finished_run / "metrics.json").exists()


def test_other_words_are_refused(henkan, finished_run: Path, tmp_path: Path):
    pairs = write_pairs(tmp_path / "pairs.tsv", [("xa " + a, "xa " + b) for a, b in toy_pairs(200, seed=5)])
    train({"data": {"pairs": str(pairs)}}, [*TINY_LUONG, "training.steps=1"], output=tmp_path / "run")
    with pytest.raises(ConfigError, match="model 2 of the ensemble has another source vocabulary than model 1"):
        library.load(finished_run, tmp_path / "run")
    code, _, err = henkan("predict", finished_run, pairs, "--with", tmp_path / "run")
    assert code == 2
    assert "train all of them on the same pairs" in err


def test_coverage_on_the_command_line(henkan, luong_run: Path, tmp_path: Path):
    file = tmp_path / "input.txt"
    file.write_text("ka mo ri\n", encoding="utf-8")
    scores = []
    for coverage in (0, 1):
        code, out, err = henkan("predict", luong_run, file, "--format", "tsv", "--coverage", coverage, "--beam", 1)
        assert code == 0, err
        scores.append(float(out.split("\t")[1]))
    assert scores[1] < scores[0]


def test_a_model_that_copies_may_be_a_member(both: Ensemble, pairs_file: Path, tmp_path: Path):
    settings = [*TINY_LUONG, "training.steps=5", "model.copying=true", "decoding.coverage=0.2"]
    copying = train({"data": {"pairs": str(pairs_file)}}, settings, output=tmp_path / "run")
    found = copying.explain(SOURCES)
    outputs = [predictions[0].text for predictions in found]
    forced = copying.log_probs(list(zip(SOURCES, outputs, strict=True)))
    compared = 0
    for (best, *_), expected in zip(found, forced, strict=True):
        if best.finished and copying.tokenizers[1].pieces(copying.tokenizers[1].encode([best.text])[0]) == best.pieces:
            assert best.log_prob == pytest.approx(expected, abs=1e-3)
            compared += 1
    assert compared
    members = Ensemble([*both.models, copying])
    assert len(members.predict(SOURCES, beam=3)) == len(SOURCES)
