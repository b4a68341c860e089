"""``henkan data``: the corpora of the catalogue, and dialogues as pairs."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from henkan.data.catalogue import Entry

data = typer.Typer(help="Corpora by name: what there is, where it is, what is in it.", no_args_is_help=True)

Sides = tuple[str, str]


@data.command("list")
def list_corpora() -> None:
    """Every corpus of the catalogue, and whether it is here."""
    from henkan.data.catalogue import ENTRIES, present

    console = _console()
    for corpus in ENTRIES:
        console.print(f"{corpus.name}  ({corpus.task})", style="bold")
        console.print(f"  {corpus.summary}")
        console.print(f"  {corpus.version}; licence: {corpus.licence}; {corpus.credit}")
        if folder := present(corpus):
            console.print(f"  here: {folder}")
        elif corpus.package:
            console.print(f"  not here; `henkan data get {corpus.name}` fetches {corpus.package.megabytes:g} MB")
        else:
            console.print(f"  not here; used where $HENKAN_DATA has a folder {corpus.name}")


@data.command("get")
def get(name: Annotated[str, typer.Argument(help="A name from `henkan data list`.")]) -> None:
    """Fetch a corpus if it is not here yet; prints its folder."""
    from henkan.data.catalogue import find

    typer.echo(find(name, lambda message: typer.echo(message, err=True)))


@data.command("stats")
def stats(
    name: Annotated[str, typer.Argument(help="A name from `henkan data list`.")],
    to: Annotated[str, typer.Option(help="The other language, for corpora that have several.")] = "de",
) -> None:
    """Pairs, lengths, repetitions and copies of each part of a corpus."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from henkan.data.catalogue import entry, find

    corpus = entry(name)
    folder = find(name, lambda message: typer.echo(message, err=True))
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("part")
    for title in ("pairs", "sources", "words", "words", "longest", "equal sides"):
        table.add_column(title, justify="right")
    for part, pairs in _parts(corpus, folder, to):
        table.add_row(part, *_row(pairs))
    console = _console()
    console.print(table)
    console.print("sources: distinct ones; words: mean per source and per target; longest: words of either side")


@data.command("replies")
def replies_of(
    file: Annotated[Path, typer.Argument(help="Dialogues, one a line as JSON: a list of turns; .gz too.")],
    output: Annotated[Path, typer.Option(help="The .tsv of contexts and replies to write.")],
    context: Annotated[int, typer.Option(help="Turns before a reply, at most.", min=1, max=1000)] = 4,
    speaker: Annotated[str | None, typer.Option(help="Only replies of this speaker.", show_default="all")] = None,
    keys: Annotated[str, typer.Option(help="What turns, speaker and text are called.")] = "turns,speaker,text",
) -> None:
    """Write dialogues as pairs: the turns before, each with its speaker, and the reply."""
    from henkan.data.dialogues import Keys, read_dialogues, replies
    from henkan.errors import ConfigError, DataError, StorageError

    names = keys.split(",")
    if len(names) != 3 or not all(names):
        raise ConfigError(f"--keys {keys!r}: expected three names with commas between, such as turns,s,u")
    if output.suffix != ".tsv":
        raise ConfigError(f"--output {output}: expected a name that ends in .tsv")
    count = 0
    building = output.with_name(f".{output.name}.partial")
    try:
        with building.open("w", encoding="utf-8", newline="\n") as lines:
            for pair in replies(read_dialogues(file, Keys(*names)), context, speaker):
                lines.write(f"{pair.source}\t{pair.target}\n")
                count += 1
        if not count:
            who = "" if speaker is None else f" of speaker {speaker!r}"
            raise DataError(f"{file}: no reply{who} to anything said before; {output} is not written")
        building.replace(output)  # whole or not at all: a file of that name may be there, and a dialogue wrong
    except OSError as error:
        raise StorageError(f"{output}: cannot be written ({error.strerror or error})") from error
    finally:
        building.unlink(missing_ok=True)
    typer.echo(f"{count:,} pairs in {output}")


def _parts(corpus: "Entry", folder: Path, language: str) -> Iterator[tuple[str, Iterable[Sides]]]:
    """The pairs of each part."""
    from henkan.data.pronunciations import read_pronunciations
    from henkan.data.readers import ParallelText, read_references
    from henkan.data.uistrings import read_strings

    for part, files in corpus.parts.items():
        paths = [folder / file for file in files]
        if corpus.name == "homeassistant-ui":
            strings = read_strings(paths[0], language)
            yield f"{part}, en-{strings.language}", ((pair.source, pair.target) for pair in strings.pairs)
        elif corpus.name == "cmudict":
            words = read_pronunciations(paths[0])
            yield part, ((word, phones) for word, alternatives in words.items() for phones in alternatives)
        elif len(paths) == 2:
            yield part, ((pair.source, pair.target) for pair in ParallelText(*paths))
        else:
            yield part, ((source, target) for source, targets in read_references(paths[0]) for target in targets)


def _row(pairs: Iterable[Sides]) -> list[str]:
    count = source_words = target_words = longest = equal = 0
    sources = set()
    for source, target in pairs:
        lengths = len(source.split()), len(target.split())
        count += 1
        source_words += lengths[0]
        target_words += lengths[1]
        longest = max(longest, *lengths)
        equal += source == target
        sources.add(source)
    mean = max(count, 1)
    figures = [f"{count:,}", f"{len(sources):,}", f"{source_words / mean:.1f}", f"{target_words / mean:.1f}"]
    return [*figures, f"{longest:,}", f"{equal:,}"]


def _console() -> "Console":
    """Soft wrap: a pipe gets each sentence as one line."""
    from rich.console import Console

    return Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
