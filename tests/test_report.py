"""The page of a run, read back with an HTML parser: every number on it is one of the run folder's files."""

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from henkan.errors import FolderError, StorageError
from henkan.metrics import Score
from henkan.pages.charts import Series, line_chart
from henkan.report import write_report

NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?(?:[kMG]|e-?\d+)?")


class Page(HTMLParser):
    """What a reader sees, and where.

    Attributes:
        text: visible text in order, the text on the axes of charts apart.
        labels: of each chart, its axis labels as (axis, place in percent, text).
        curves: of each chart, its polylines as lists of (x, y) in percent.
        tags: every tag with its attributes.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.labels: list[list[tuple[str, float, str]]] = []
        self.curves: list[list[list[tuple[float, float]]]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.in_style = False
        self.label: tuple[str, float] | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        self.in_style |= tag == "style"
        kind = attributes.get("class") or ""
        if kind == "chart":
            self.labels.append([])
            self.curves.append([])
        if kind in {"x", "y"}:
            self.label = (kind, float(re.search(r"([\d.]+)%", attributes["style"]).group(1)))
        if tag == "path" and kind.startswith("line "):
            points = [tuple(map(float, point.split())) for point in attributes["d"].removeprefix("M").split("L")]
            self.curves[-1].append(points)

    def handle_endtag(self, tag):
        self.in_style &= tag != "style"
        self.label = None

    def handle_data(self, data):
        if self.in_style:
            return
        if self.label:
            self.labels[-1].append((*self.label, data))
        elif data.strip():
            self.text.append(data.strip())


EVENTS = [
    {"event": "start", "time": "2031-05-06", "parameters": 7654321, "precision": "bf16", "threads": 2, "seed": 17},
    {"event": "update", "update": 40, "loss": 6.5, "learning_rate": 0.0004, "gradient_norm": 3.5, "elapsed": 21.0},
    {"event": "validation", "update": 40, "loss": 5.25, "scores": {"bleu": 11.75}, "best": True, "elapsed": 23.0},
    {"event": "update", "update": 80, "loss": 4.5, "learning_rate": 0.0008, "gradient_norm": 1.5, "elapsed": 45.0},
    {"event": "validation", "update": 80, "loss": 4.25, "scores": {"bleu": 22.5}, "best": True, "elapsed": 47.0},
    {"event": "checkpoint", "update": 80, "path": "checkpoints/step-00000080"},
    {"event": "update", "update": 120, "loss": 3.5, "learning_rate": 0.0002, "gradient_norm": 0.5, "elapsed": 70.0},
    {"event": "validation", "update": 120, "loss": 4.75, "scores": {"bleu": 21.0}, "best": False, "elapsed": 74.0},
    {"event": "end", "reason": "no better for 19 validations", "update": 120, "elapsed": 75.2, "best_update": 80},
]
BLEU = Score("BLEU", 31.26, "nrefs:1|bs:1000|seed:12345|tok:13a|version:2.6.0", 29.94, 32.56, 1014)
RATE = Score("phoneme error rate", 5.455, "nrefs:var|unit:token", None, None, 1014, higher_is_better=False)
METRICS = {
    "scores": [BLEU.to_json(), RATE.to_json()],
    "by_length": [
        {"shortest": 3, "longest": 8, "score": Score("BLEU", 41.11, "", 39.0, 43.2, 506).to_json()},
        {"shortest": 9, "longest": 9, "score": Score("BLEU", 27.0, "", 24.0, 28.04, 508).to_json()},
    ],
    "length_unit": "words of the source",
    "samples": [{"source": "a < b", "reference": ["eins", "zwei"], "output": "<script>alert(1)</script>"}],
    "data": ["88 near-copies"],
}
FILTERED = {
    "kept": 28871,
    "dropped": {"empty source": 1203},
    "samples": {"empty source": [{"line": 612, "source": "", "target": "Ja & nein"}]},
}
CONFIG = "training:\n  budget: 13m\n"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "en-de"
    (folder / "prepared").mkdir(parents=True)
    write_events(folder, EVENTS)
    (folder / "metrics.json").write_text(json.dumps(METRICS), encoding="utf-8")
    (folder / "prepared" / "report.json").write_text(json.dumps(FILTERED), encoding="utf-8")
    (folder / "config.yaml").write_text(CONFIG, encoding="utf-8")
    return folder


def write_events(folder: Path, events: list[dict]) -> None:
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")


def read(folder: Path) -> Page:
    return Page(write_report(folder).read_text(encoding="utf-8"))


# What may stand on the page, and why: each number of the text, in the order of the sections.
TRACED = {
    "outcome": "120 1 15 80 19",
    "test scores": "1,014 31.3 29.9 32.6 95 1 1000 12345 13 2.6 0 2 5.46",
    "curves": "40 5.25 40 80 4.25 80 120 4.75 11.75 22.5 21 80",
    "validations": "3 40 5.25 11.75 23 80 4.25 22.5 47 120 4.75 21 1 14",
    "length": "95 3 8 41.1 39.0 43.2 506 9 27.0 24.0 28.0 508",
    "samples": "1",
    "data": "88 28,871 1,203 1,203 612",
    "settings": "2031 05 06 7,654,321 16 2 17 13",
}


def test_every_number_is_one_of_the_files(run):
    page = read(run)
    allowed = set(" ".join(TRACED.values()).split())
    found = [number for piece in page.text for number in NUMBER.findall(piece)]
    assert set(found) <= allowed, f"numbers from nowhere: {sorted(set(found) - allowed)}"
    for section, numbers in TRACED.items():
        missing = set(numbers.split()) - set(found)
        assert not missing, f"{section}: not on the page: {sorted(missing)}"


def test_curves_and_axes_carry_the_logged_numbers(run):
    page = read(run)
    logged = [
        [[(40, 6.5), (80, 4.5), (120, 3.5)], [(40, 5.25), (80, 4.25), (120, 4.75)]],
        [[(40, 11.75), (80, 22.5), (120, 21.0)]],
        [[(40, 0.0004), (80, 0.0008), (120, 0.0002)]],
        [[(40, 3.5), (80, 1.5), (120, 0.5)]],
    ]
    assert len(page.curves) == len(logged)
    for labels, curves, expected in zip(page.labels, page.curves, logged, strict=True):
        x, y = (axis(labels, kind) for kind in "xy")
        read_back = [[(x(across), y(100 - down)) for across, down in curve] for curve in curves]
        for curve, points in zip(read_back, expected, strict=True):
            for point, truth in zip(curve, points, strict=True):
                assert point == pytest.approx(truth, rel=2e-3, abs=1e-6)


def axis(labels: list[tuple[str, float, str]], kind: str):
    """From percent to numbers, by the outer labels of an axis; all others must lie on the same line."""
    marks = [(place, float(text.replace("k", "e3"))) for axis_kind, place, text in labels if axis_kind == kind]
    (first, low), (last, high) = marks[0], marks[-1]

    def value(place: float) -> float:
        return low + (place - first) * (high - low) / (last - first)

    for place, number in marks:
        assert value(place) == pytest.approx(number, abs=1e-3 * (high - low)), "a label out of place"
    return value


def test_the_page_needs_nothing_else(run):
    page = read(run)
    assert not {"script", "link", "img", "iframe", "base"} & {tag for tag, _ in page.tags}
    asked = {name for _, attributes in page.tags for name in attributes} & {"src", "href", "xlink:href", "onclick"}
    assert not asked
    style = (run / "report.html").read_text(encoding="utf-8")
    assert "url(" not in style
    assert "@import" not in style
    assert "prefers-color-scheme: dark" in style
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in page.tags


def test_text_from_outside_stays_text(run):
    renamed = run.rename(run.with_name("<b>a&b"))
    page = read(renamed)
    assert "<b>a&b" in page.text
    assert "<script>alert(1)</script>" in page.text
    assert any("line 612:  → Ja & nein" in piece for piece in page.text)


def test_a_running_run_with_a_torn_line_is_shown_as_far_as_it_came(run):
    write_events(run, EVENTS[:5])
    with (run / "events.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"event": "update", "upd')
    text = " ".join(read(run).text)
    assert "80 updates in 45 s – best by validation at update 80. Not finished." in text
    assert "unreadable" not in text


def test_lines_that_are_no_events_are_counted(run):
    with (run / "events.jsonl").open("a", encoding="utf-8") as file:
        file.write("garbage\n[1]\n")
    assert "2 unreadable lines of events.jsonl are left out." in read(run).text


def test_a_resumed_run_tells_each_update_once(run):
    resumed = [*EVENTS[:7], {"event": "resume", "update": 80}, {**EVENTS[6], "loss": 3.75}, EVENTS[-1]]
    write_events(run, resumed)
    page = read(run)
    assert "Resumed once." in page.text
    y = axis(page.labels[0], "y")
    assert [round(y(100 - down), 2) for _, down in page.curves[0][0]] == [6.5, 4.5, 3.75]


def test_a_mean_of_checkpoints_that_is_no_better_leaves_the_best_as_it_was(run):
    end = next(place for place, event in enumerate(EVENTS) if event["event"] == "end")
    last = max((event for event in EVENTS if event["event"] == "validation"), key=lambda event: event["update"])
    write_events(run, [*EVENTS[:end], {**last, "best": True}, {**last, "best": False, "loss": 9.0}, EVENTS[end]])
    assert f"Best by validation: {last['loss']:.4g} at update {last['update']}" in " ".join(read(run).text)


def test_values_that_are_no_numbers_leave_a_gap(run):
    broken = [{**EVENTS[1], "loss": math.nan}, {**EVENTS[3], "loss": None}, {**EVENTS[6]}]
    write_events(run, [EVENTS[0], *broken, {**EVENTS[2], "scores": {"bleu": None}, "loss": math.inf}])
    text = (write_report(run)).read_text(encoding="utf-8")
    assert "nan" not in text.partition("</style>")[2].lower().replace("henkan", "")
    assert Page(text).curves[0] == [], "one point makes no curve"


def test_scores_alone_and_events_alone_make_a_page(run):
    (run / "events.jsonl").unlink()
    assert not read(run).curves
    write_events(run, EVENTS)
    (run / "metrics.json").unlink()
    assert "Test scores" not in read(run).text


def test_wrong_folders_and_files_are_named(run, tmp_path):
    with pytest.raises(FolderError, match=r"no events.jsonl and no metrics.json; expected a run folder"):
        write_report(tmp_path)
    for text in ("{", "[]", '{"scores": [{"name": "BLEU"}]}', '{"samples": [{"source": "a"}]}'):
        (run / "metrics.json").write_text(text, encoding="utf-8")
        with pytest.raises(FolderError, match=r"metrics.json: not what Henkan writes"):
            write_report(run)
    (run / "metrics.json").write_bytes(b"\xff")
    with pytest.raises(FolderError, match="not UTF-8"):
        write_report(run)


def test_a_failed_write_leaves_the_earlier_page(run, monkeypatch):
    before = write_report(run).read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(StorageError, match="No space left on device"):
        write_report(run)
    assert (run / "report.html").read_bytes() == before
    assert not list(run.glob(".*")), "a temporary file is left"


def test_what_is_above_the_ceiling_runs_out_of_the_picture():
    chart = Page(line_chart("Loss", "", [Series("a", [(1, 9.0), (2, 2.0), (4, 1.0)])], last=4, ceiling=2.0))
    assert chart.curves[0][0][0][1] < 0, "drawn above the top, where the inner drawing is cut off"
    assert [text for kind, _, text in chart.labels[0] if kind == "y"][-1] == "2"
