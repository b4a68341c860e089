"""From pairs to a folder: what is held out, what is read, what is told."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import pytest

from henkan.data.example import Pair
from henkan.data.readers import PairsFile
from henkan.data.split import choose_holdout
from henkan.tasks import preparation
from henkan.tasks.preparation import DataConfig, VocabularyConfig, prepare

COUNT = 500
VOCABULARY = VocabularyConfig.model_validate({"source": {"kind": "character"}})


@pytest.fixture
def pairs_file(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.tsv"
    texts = [f"{chr(97 + n % 26)}{chr(97 + n // 26)} und so" for n in range(COUNT)]
    path.write_text("".join(f"{text}\t{text[::-1]}\n" for text in texts), encoding="utf-8")
    return path


def test_each_pair_is_on_one_side(tmp_path: Path, pairs_file: Path):
    told: list[str] = []
    prepared = prepare(DataConfig(pairs=pairs_file, held_out=40), VOCABULARY, tmp_path / "prepared", told.append)
    out = choose_holdout([pair.source for pair in PairsFile(pairs_file)], 40)
    held = [pair for pair in PairsFile(pairs_file) if out(pair.source)]
    assert prepared.valid_pairs == [(pair.source, pair.target) for pair in held]
    assert [prepared.valid.line(index) for index in range(len(prepared.valid))] == [pair.line for pair in held]
    trained = [prepared.train.line(index) for index in range(len(prepared.train))]
    assert sorted([*trained, *(pair.line for pair in held)]) == list(range(1, COUNT + 1))
    assert told[0] == f"held out for validation: {len(held)} of {COUNT} pairs, chosen by a hash of the source"


@pytest.mark.parametrize("joint", [True, False])
@pytest.mark.parametrize("given", [True, False])
def test_progress_of_every_stage(
    tmp_path: Path, pairs_file: Path, monkeypatch: pytest.MonkeyPatch, given: bool, joint: bool
):
    monkeypatch.setattr(preparation, "_TOLD_EVERY", 100)
    stages: dict[str, list[tuple[int, int]]] = defaultdict(list)
    data = DataConfig(pairs=pairs_file, held_out=None if given else 40, valid_pairs=pairs_file if given else None)
    vocabulary = VOCABULARY.model_copy(update={"joint": joint})
    prepared = prepare(
        data,
        vocabulary,
        tmp_path / "prepared",
        lambda line: None,
        lambda doing, done, total: stages[doing].append((done, total)),
    )
    holding = [] if given else ["counting", "choosing validation pairs", "taking validation pairs"]
    assert list(stages) == [*holding, "reading for the vocabulary", "encoding"]
    encoded = len(prepared.train)
    assert stages["encoding"] == [(done, encoded) for done in range(0, encoded, 100)]
    once = list(range(0, encoded, 100))
    assert [done for done, _ in stages["reading for the vocabulary"]] == (once if joint else once * 2)
    if not given:
        assert stages["counting"] == [(done, 0) for done in range(0, COUNT, 100)]


def test_memory_holds_no_pairs_but_those_held_out(tmp_path: Path, pairs_file: Path, monkeypatch: pytest.MonkeyPatch):
    """Pairs that are alive at the same time, for a corpus that is read in chunks of 10."""
    alive = {"now": 0, "most": 0}

    class Counted(Pair):
        def __init__(self, *fields: object) -> None:
            super().__init__(*fields)  # type: ignore[arg-type]
            alive["now"] += 1
            alive["most"] = max(alive["most"], alive["now"])

        def __del__(self) -> None:
            alive["now"] -= 1

    monkeypatch.setattr(preparation, "Pair", Counted)
    monkeypatch.setattr("henkan.data.corpus._CHUNK", 10)
    prepared = prepare(DataConfig(pairs=pairs_file, held_out=20), VOCABULARY, tmp_path / "prepared", lambda line: None)
    assert json.loads((tmp_path / "prepared" / "train" / "corpus.json").read_text())["pairs"] == len(prepared.train)
    assert alive["most"] <= 20 + 2 * 10 + 5, f"{alive['most']} of {COUNT} pairs were in memory"


def test_a_prefix_is_read_before_every_source_and_changes_no_split(tmp_path: Path, pairs_file: Path):
    plain = prepare(DataConfig(pairs=pairs_file, held_out=40), VOCABULARY, tmp_path / "plain", lambda line: None)
    told = DataConfig(pairs=pairs_file, held_out=40, prefix="do: ")
    prepared = prepare(told, VOCABULARY, tmp_path / "told", lambda line: None)
    assert prepared.valid_pairs == plain.valid_pairs
    for part in ("train", "valid"):
        ids = [getattr(prepared, part).example(index) for index in range(5)]
        lines = [getattr(plain, part).example(index) for index in range(5)]
        sources = prepared.tokenizers[0].decode([example.source.tolist() for example in ids])
        assert sources == ["do: " + text for text in plain.tokenizers[0].decode([one.source.tolist() for one in lines])]


def test_blank_sources_are_left_out_under_a_prefix_too(tmp_path: Path):
    path = tmp_path / "pairs.tsv"
    path.write_text("".join(f"{line}\tx y\n" for line in ["a", "b", " ", "c", ""]))
    data = DataConfig(pairs=path, valid_pairs=path, prefix="do: ")
    assert prepare(data, VOCABULARY, tmp_path / "prepared", lambda line: None).report["kept"] == 3


def test_fields_need_a_file_of_pairs(tmp_path: Path):
    with pytest.raises(ValueError, match="fields are of a file of pairs"):
        DataConfig(source=tmp_path / "a", target=tmp_path / "b", fields={"source": 0, "target": 1})
