"""The page around the sections."""

import re
from collections.abc import Iterable
from html import escape
from importlib.resources import files

from henkan.pages.charts import TONES


def document(title: str, remarks: Iterable[str], sections: Iterable[str]) -> str:
    """The whole HTML document.

    Args:
        title: of the window and the heading.
        remarks: sentences under the heading.
        sections: HTML, see :func:`henkan.pages.markup.section`; empty ones are left out.
    """
    told = "".join(f"<p>{escape(line)}</p>" for line in remarks if line)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{escape(title)} – Henkan</title>
<style>
{style()}</style>
</head>
<body>
<main>
<header><p class="mark">変換 HENKAN</p><h1>{escape(title)}</h1>{told}</header>
{"".join(section for section in sections if section)}</main>
</body>
</html>
"""


def style() -> str:
    """The style sheet of every page."""
    return (files("henkan.pages") / "style.css").read_text(encoding="utf-8")


def light_colours() -> list[str]:
    """``#rrggbb`` of each tone on a light page, in the order of ``TONES``, for pictures that are no pages."""
    found: dict[str, str] = {}
    for name, colour in re.findall(r"--(\w+): (#[0-9a-f]{6})", style()):
        found.setdefault(name, colour)  # light comes first
    return [found[tone] for tone in TONES]
