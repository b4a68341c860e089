"""The pieces of HTML that several sections share."""

from collections.abc import Collection, Iterable, Sequence
from html import escape


def section(title: str, content: str, aside: str = "") -> str:
    """A heading with a remark beside it, and what stands under it (HTML)."""
    small = f" <small>{escape(aside)}</small>" if aside else ""
    return f"<section><h2>{escape(title)}{small}</h2>{content}</section>\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], texts: Collection[int] = ()) -> str:
    """Columns are numbers, set to the right, but for those whose place is in ``texts``."""

    def cells(tag: str, row: Sequence[str]) -> str:
        kinds = ["" if place in texts else ' class="number"' for place in range(len(row))]
        return "".join(f"<{tag}{kind}>{escape(cell)}</{tag}>" for kind, cell in zip(kinds, row, strict=True))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table><thead><tr>{cells('th', head)}</tr></thead><tbody>{body}</tbody></table>"


def folded(title: str, content: str) -> str:
    """Content (HTML) that opens on a click on its title."""
    return f"<details><summary>{escape(title)}</summary>{content}</details>"


def duration(seconds: float) -> str:
    """``58 s``, ``9 min 58 s``, ``3 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"
