"""BLEU, chrF and TER against the numbers of sacreBLEU's own command line (tests/metrics/goldens/make.py)."""

import json
from pathlib import Path

import pytest

from henkan.errors import InputError
from henkan.metrics import bleu, chrf, paired, ter
from henkan.metrics.bleu import measure_bleu, measure_chrf, measure_ter, tokenizer_for

GOLDENS = Path(__file__).parent / "goldens"
OFFICIAL = json.loads((GOLDENS / "goldens.json").read_text(encoding="utf-8"))


def lines(name: str) -> list[str]:
    return (GOLDENS / name).read_text(encoding="utf-8").splitlines()


def references(*names: str) -> list[list[str]]:
    return [list(answers) for answers in zip(*map(lines, names), strict=True)]


@pytest.mark.parametrize("number_of_references", ["one", "two"])
@pytest.mark.parametrize(("place", "metric"), [(0, bleu), (1, chrf), (2, ter)])
def test_score_interval_and_signature_are_those_of_the_command_line(number_of_references, place, metric):
    names = ["reference.de", "second.de"][: 1 if number_of_references == "one" else 2]
    official = OFFICIAL[number_of_references][place]
    score = metric(lines("first-system.de"), references(*names))
    assert score.name == official["name"]
    assert score.value == pytest.approx(official["score"], abs=1e-6)
    assert (score.high - score.low) / 2 == pytest.approx(official["confidence_var"], abs=1e-4), "other resamples drawn"
    assert score.signature.split("version")[0] == official["signature"].split("version")[0]
    assert score.count == len(lines("first-system.de"))
    assert score.higher_is_better == (metric is not ter)


def test_details_of_bleu_are_those_of_the_command_line():
    details = bleu(lines("first-system.de"), references("reference.de"), bootstrap=0).details
    shown = "/".join(f"{precision:.1f}" for precision in details["precisions"])
    shown += f" (BP = {details['brevity_penalty']:.3f} "
    shown += f"ratio = {details['hypothesis_length'] / details['reference_length']:.3f} "
    shown += f"hyp_len = {details['hypothesis_length']} ref_len = {details['reference_length']})"
    assert shown == OFFICIAL["one"][0]["verbose_score"]


@pytest.mark.parametrize("tokenize", ["zh", "char"])
def test_chinese_is_cut_as_asked(tokenize):
    score = bleu(lines("system.zh"), references("reference.zh"), tokenize=tokenize, bootstrap=0)
    assert score.value == pytest.approx(OFFICIAL[tokenize]["score"], abs=1e-6)
    assert score.signature.split("version")[0] == OFFICIAL[tokenize]["signature"].split("version")[0]
    assert (score.low, score.high) == (None, None), "an interval nobody asked for"


def test_one_tailed_p_is_that_of_the_command_line():
    answers = references("reference.de")
    measures = [measure_bleu, measure_chrf, measure_ter]
    systems = [lines("first-system.de"), lines("second-system.de")]
    found = [paired([measure(system, answers) for system in systems])[0] for measure in measures]
    official = OFFICIAL["paired p of BLEU, chrF2, TER"]
    assert [test.p_sacrebleu for test in found] == pytest.approx(official, abs=2.1e-3), "more than a rounding apart"


def test_references_may_vary_in_number():
    answers = [["Ja.", "Jawohl."], ["Der Hund läuft über die nasse Wiese."]]
    score = bleu(["Jawohl.", "Der Hund läuft über die nasse Wiese."], answers, bootstrap=0)
    assert score.value == pytest.approx(100)
    assert score.signature.startswith("nrefs:var|")


def test_empty_hypotheses_count_as_nothing_said():
    answers = [["Ja."], ["Der Hund läuft."]]
    for metric, worst in ((bleu, 0), (chrf, 0), (ter, 100)):
        assert metric(["", ""], answers, bootstrap=10).value == worst, metric.__name__


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["Der Hund läuft.", "20 °C"], "13a"),
        (["设置已保存。", "请输入 Wi-Fi 密码。"], "zh"),
        (["設定を保存する", "キャンセル"], "char"),
        (["私 は 学生 で す 。", "犬 が 走 る 。"], "13a"),
        (["บันทึกการตั้งค่า"], "char"),
        (["설정이 저장되었습니다."], "13a"),
        (["", "123"], "13a"),
    ],
)
def test_how_words_are_cut_follows_the_script_of_the_references(texts, expected):
    assert tokenizer_for([[text] for text in texts]) == expected


def test_wrong_input_is_refused_with_its_counts():
    with pytest.raises(InputError, match="2 hypotheses for 1 segments"):
        bleu(["a", "b"], [["a"]])
    with pytest.raises(InputError, match="no segments"):
        bleu([], [])
    with pytest.raises(InputError, match="references of segment 2: none"):
        chrf(["a", "b"], [["a"], []])
    with pytest.raises(InputError, match="segment 1: a string"):
        ter(["a"], ["a"])
    with pytest.raises(InputError, match="tokenize '14a': expected one of 13a"):
        bleu(["a"], [["a"]], tokenize="14a")
