"""Writes the texts of this folder and what sacreBLEU's own command line says about them (goldens.json).

Run with the environment's Python after a change of sacreBLEU's major version: ``python tests/metrics/goldens/make.py``.
"""

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent

GERMAN = """Ein kleiner Hund läuft über die nasse Wiese.
Zwei Männer sitzen auf einer Bank und lesen "Die Zeit".
Klicken Sie auf „Speichern“, um die Änderungen zu übernehmen!
Das Gerät hat 3,5 GB Speicher (davon 1.024 MB frei).
Wie spät ist es – halb neun oder schon 20:45 Uhr?
Die Verbindung zu {host} wurde nach 30 s getrennt.
Eine Frau in einem roten Mantel wartet an der Haltestelle.
Fehler: Datei nicht gefunden; bitte prüfen Sie den Pfad & Namen.
Kinder spielen im Park, während ihre Eltern zusehen.
Temperatur: -5 °C bis +12 °C, Luftfeuchtigkeit 60 %.
Ja.
Der Wecker klingelt jeden Morgen um sechs, auch sonntags.""".splitlines()
CHINESE = """设置已保存。
请输入用户名和密码。
设备 {name} 已离线,请检查网络连接。
今天的温度是 25 度。
两个人坐在长椅上看书。
无法打开文件:权限不足!""".splitlines()


def damaged(text: str, generator: random.Random, by_character: bool) -> str:
    """The text with some tokens dropped, doubled or swapped, now and then empty."""
    tokens = list(text) if by_character else text.split(" ")
    if generator.random() < 0.04:
        return ""
    kept = []
    for token in tokens:
        chance = generator.random()
        kept += [] if chance < 0.12 else [token, token] if chance < 0.16 else [token]
    if len(kept) > 3 and generator.random() < 0.4:
        place = generator.randrange(len(kept) - 2)
        kept[place], kept[place + 1] = kept[place + 1], kept[place]
    return ("" if by_character else " ").join(kept)


def write(name: str, lines: list[str]) -> None:
    """One of the texts."""
    (HERE / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def sacrebleu(*arguments: str) -> str:
    """The output of sacreBLEU's command line on the texts of this folder."""
    command = [sys.executable, "-m", "sacrebleu", *arguments]
    environment = {**os.environ, "NO_COLOR": "1", "PYTHONUTF8": "1"}
    return subprocess.run(command, cwd=HERE, env=environment, check=True, capture_output=True, text=True).stdout


def main() -> None:
    """Texts first, then numbers."""
    generator = random.Random(2)
    german = GERMAN * 5
    write("reference.de", german)
    write("second.de", [damaged(line, generator, False) or line for line in german])
    first = [damaged(line, generator, False) for line in german]
    second = [damaged(line, generator, False) if place % 3 == 0 else first[place] for place, line in enumerate(german)]
    write("first-system.de", first)
    write("second-system.de", second)
    write("reference.zh", CHINESE * 4)
    write("system.zh", [damaged(line, generator, True) for line in CHINESE * 4])

    found: dict[str, object] = {}
    wide = ["--width", "6"]
    for name, references in {"one": ["reference.de"], "two": ["reference.de", "second.de"]}.items():
        report = sacrebleu(*references, "-i", "first-system.de", "-m", "bleu", "chrf", "ter", "--confidence", *wide)
        found[name] = json.loads(report)
    for cut in ("zh", "char"):
        found[cut] = json.loads(sacrebleu("reference.zh", "-i", "system.zh", "-m", "bleu", "--tokenize", cut, *wide))
    # Paired tests print a table; its JSON form fails under NumPy 2 (sacreBLEU 2.6).
    table = sacrebleu(
        "reference.de",
        "-i",
        "first-system.de",
        "second-system.de",
        "-m",
        "bleu",
        "chrf",
        "ter",
        "--paired-bs",
        "-f",
        "text",
        *wide,
    )
    found["paired p of BLEU, chrF2, TER"] = [float(p) for p in re.findall(r"\(p = ([0-9.]+)\)", table)]
    (HERE / "goldens.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
