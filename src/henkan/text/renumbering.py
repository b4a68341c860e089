"""Somebody else's vocabulary in our order: one bijection of ids, for the tokenizer and for the rows of all weights.

Searches and batches take for granted that ids 0 to 3 are padding, unknown, start and end, with a mask and sentinels
behind them (``text/tokenizer.py``). Another library's checkpoint has them anywhere. Instead of carrying its ids through
the whole toolkit, the checkpoint is renumbered once, when it is imported:

    0 PAD   1 UNKNOWN   2 START   3 END   [MASK]   [sentinels]   everything else, in the order it had

Every row of an embedding, of an output matrix and of its bias moves with its token, and so does every id in
tokenizer.json; logits are the same numbers in another order. What plays which part:

    PAD, UNKNOWN   the padding of config.json; the unknown token of the tokenizer's model, or what is called so
    START, END     of an encoder alone what its post-processor puts around a text: [CLS] and [SEP], <s> and </s>;
                   of a decoder what it begins with (``decoder_start``, else ``bos``), and ``eos``

A part without a token of its own gets a new row. START is then a copy of the row that the decoder begins with (T5 and
Marian begin with padding, BART with </s>, GPT-2 with its only special token), so a decoder computes what it did.
The other new rows are copies of END's: nothing reads them, and they are never produced. Logits of the tokens that were
there are untouched. Where the output has a bias (BART, Marian), that of new rows is ``NEVER``, and probabilities are
untouched as well; without one (GPT-2, T5), a new row takes as much probability as the row it copies.

Padding is 0 from then on, and RoBERTa counts places from its padding: ``importing.py`` cuts the rows of places off that
nothing reads. The two such rows of BART do not depend on an id, and stay.

Tokens get our names, so ``<mask>`` in a text to be filled means the same in every model. Rows without a token, which
some checkpoints have to fill up a round number, become entries that no text contains.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers

from henkan.errors import DataError, FolderError
from henkan.text.tokenizer import END, MASK, MAX_FILE_BYTES, PAD, SENTINEL, SPECIAL_TOKENS, START, UNKNOWN, Tokenizer

NEVER = -100.0
"""The bias of a new output row: a probability of e^-100 is nothing in float32, and no loss becomes infinite."""

_MASKS = ("[MASK]", "<mask>")
_SENTINELS = ("<extra_id_{}>", SENTINEL)  # T5's, and ours, where a model of ours comes back
_USUAL = {"pad": ("<pad>", "[PAD]"), "unknown": ("<unk>", "[UNK]"), "start": ("[CLS]", "<s>"), "end": ("[SEP]", "</s>")}
"""How a special token is called, where no file says which one it is."""


@dataclass(frozen=True)
class Parts:
    """Which of their ids plays which part; None: none does."""

    pad: int | None
    unknown: int | None
    start: int | None
    end: int
    mask: int | None
    sentinels: tuple[int, ...]


@dataclass(frozen=True)
class Renumbered:
    """A vocabulary of theirs as ours.

    Attributes:
        rows: for each id of ours, the id there whose numbers it has.
        new: those of our ids that had none there.
    """

    tokenizer: Tokenizer
    rows: tuple[int, ...]
    new: tuple[int, ...]


def read_library(path: Path) -> tokenizers.Tokenizer:
    """A tokenizer.json, whatever it holds.

    Raises:
        FolderError: it is too large, damaged, or of a kind that the installed ``tokenizers`` does not know.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise FolderError(f"{path}: over {MAX_FILE_BYTES >> 20} MiB, which is too large for a vocabulary")
        library = tokenizers.Tokenizer.from_str(content.decode("utf-8"))
        library.no_truncation()
        library.no_padding()
        library.encode("a", "a")
        return library
    except (KeyboardInterrupt, SystemExit, FolderError):
        raise
    except OSError as error:
        raise FolderError(
            f"{path}: cannot be read as a vocabulary ({error.strerror}); name a tokenizer.json"
        ) from error
    except BaseException as error:  # the library is Rust: its panics are BaseExceptions
        said = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise FolderError(f"{path}: not a vocabulary that `tokenizers` reads ({said}); copy it again") from error


def find_parts(library: tokenizers.Tokenizer, special: Mapping[str, int], *, decodes: bool, place: Path) -> Parts:
    """Which of their tokens plays which part; see the head of this file.

    Args:
        special: of config.json: ``pad``, ``bos``, ``eos``, ``decoder_start``, where given.
        decodes: whether the model has a decoder.

    Raises:
        FolderError: nothing says where a text begins or ends.
    """
    special = {name: token for name, token in special.items() if token >= 0}  # -1 is how some say that there is none
    if decodes:
        start, end = special.get("decoder_start", special.get("bos")), special.get("eos")
        cure = "name it in config.json: eos_token_id, and decoder_start_token_id or bos_token_id"
    else:
        around = [token for token, of in _with_origin(library) if of is None]
        start, end = (around[0], around[-1]) if len(around) > 1 else (_named(library, "start"), _named(library, "end"))
        cure = "its post-processor puts nothing around a text, and it has neither [CLS] and [SEP] nor <s> and </s>"
    if start is None or end is None:
        raise FolderError(f"{place}: which token {'starts' if start is None else 'ends'} a text is not said; {cure}")
    sentinels = max((_counted(library, name) for name in _SENTINELS), key=len)
    model = json.loads(library.to_str())["model"]
    unknown = model.get("unk_id") if "unk_id" in model else library.token_to_id(model.get("unk_token") or "")
    if unknown is None:
        unknown = _named(library, "unknown")
    mask = next((found for name in _MASKS if (found := library.token_to_id(name)) is not None), None)
    return Parts(special.get("pad", _named(library, "pad")), unknown, start, end, mask, tuple(sentinels))


def renumber(library: tokenizers.Tokenizer, parts: Parts, rows: int, place: Path) -> Renumbered:
    """The vocabulary in our order.

    Args:
        rows: of the model's embedding.

    Raises:
        FolderError: the model has fewer rows than the tokenizer has tokens, or a part has an id beyond them.
    """
    names = {token: name for name, token in library.get_vocab().items()}
    most = max([*names, *(token for token in (parts.pad, parts.start, parts.end) if token is not None)])
    if most >= rows:
        raise FolderError(
            f"{place}: token {names.get(most, '?')!r} has id {most}, and the model has {rows} rows, 0 to {rows - 1}; "
            "save tokenizer and model together, after resize_token_embeddings"
        )
    order, new = _order(parts, rows)
    ours = [*SPECIAL_TOKENS, *[MASK] * (parts.mask is not None)]
    ours += [SENTINEL.format(number) for number in range(len(parts.sentinels))]
    named = list(ours)
    for token in order[len(ours) :]:
        named.append(_unlike(names.get(token, f"<unused-{token}>"), ours))
    try:
        tokenizer = Tokenizer(_rewritten(library, named, order, new, len(ours)))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # as in read_library
        said = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise FolderError(f"{place}: its tokens cannot be brought into our order ({said})") from error
    return Renumbered(tokenizer, tuple(order), tuple(new))


def _order(parts: Parts, rows: int) -> tuple[list[int], list[int]]:
    """For each id of ours, the id there; and our ids that are new. END keeps a token that it shares, START does not."""
    own: dict[int, int] = {}
    for ours, theirs in ((END, parts.end), (UNKNOWN, parts.unknown), (PAD, parts.pad), (START, parts.start)):
        if theirs is not None and theirs not in own.values():
            own[ours] = theirs
    first = [own.get(ours, parts.end) for ours in (PAD, UNKNOWN, START, END)]
    if START not in own and parts.start is not None:
        first[START] = parts.start
    more = [token for token in (parts.mask, *parts.sentinels) if token is not None]
    if len({*own.values(), *more}) < len(own) + len(more):
        raise DataError("a mask or a sentinel is the padding, unknown, start or end token as well")
    rest = sorted(set(range(rows)) - set(own.values()) - set(more))
    return [*first, *more, *rest], [ours for ours in (PAD, UNKNOWN, START, END) if ours not in own]


def _rewritten(
    library: tokenizers.Tokenizer, named: Sequence[str], order: Sequence[int], new: Sequence[int], marks: int
) -> tokenizers.Tokenizer:
    """The library's tokenizer with these names in this order, of which the first ``marks`` are found in no text."""
    content: dict[str, Any] = json.loads(library.to_str())
    model = content["model"]
    of = {theirs: ours for ours, theirs in enumerate(order) if ours not in new}
    if isinstance(model["vocab"], list):
        least = min((score for _, score in model["vocab"]), default=0.0)
        scores = {number: score for number, (_, score) in enumerate(model["vocab"])}
        model["vocab"] = [
            [name, least if ours in new else scores.get(theirs, least)]
            for ours, (name, theirs) in enumerate(zip(named, order, strict=True))
        ]
        model["unk_id"] = UNKNOWN
    else:
        model["vocab"] = {name: ours for ours, name in enumerate(named)}
        if model.get("unk_token") is not None:
            model["unk_token"] = SPECIAL_TOKENS[UNKNOWN]
    added = []
    for entry in content["added_tokens"]:
        ours = of[entry["id"]]
        added.append({**entry, "id": ours, "content": named[ours], "special": entry["special"] or ours < marks})
    content["added_tokens"] = sorted(added, key=lambda entry: entry["id"])
    content["post_processor"] = _template(library, named, of)
    content["truncation"] = content["padding"] = None
    return tokenizers.Tokenizer.from_str(json.dumps(content, ensure_ascii=False))


def _template(library: tokenizers.Tokenizer, named: Sequence[str], of: Mapping[int, int]) -> dict[str, Any] | None:
    """What is put around texts, as a template: the same for all post-processors."""
    special: dict[str, Any] = {}

    def pieces(encoding: tokenizers.Encoding) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for token, origin, segment in zip(encoding.ids, encoding.sequence_ids, encoding.type_ids, strict=True):
            if origin is None:
                name = named[of[token]]
                special[name] = {"id": name, "ids": [of[token]], "tokens": [name]}
                found.append({"SpecialToken": {"id": name, "type_id": segment}})
            elif (piece := {"Sequence": {"id": "AB"[origin], "type_id": segment}}) not in found:
                found.append(piece)
        return found

    single, pair = pieces(library.encode("a")), pieces(library.encode("a", "a"))
    if not special:
        return None
    if not library.encode("a", add_special_tokens=False).ids:  # a template without a place for texts would lose them
        raise DataError("it has no token for the letter 'a' and none for what is unknown")
    return {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": special}


def _with_origin(library: tokenizers.Tokenizer) -> list[tuple[int, int | None]]:
    """The ids of a text, and to which of the texts each belongs: None for what was put around."""
    encoding = library.encode("a")
    return list(zip(encoding.ids, encoding.sequence_ids, strict=True))


def _counted(library: tokenizers.Tokenizer, name: str) -> list[int]:
    """The ids of tokens that are numbered from 0 on."""
    found: list[int] = []
    while (token := library.token_to_id(name.format(len(found)))) is not None:
        found.append(token)
    return found


def _named(library: tokenizers.Tokenizer, part: str) -> int | None:
    return next((found for name in _USUAL[part] if (found := library.token_to_id(name)) is not None), None)


def _unlike(name: str, taken: Sequence[str]) -> str:
    """The name, or where it is one of ours for something else, such as the <s> of BART, another one."""
    return f"{name[:-1]}-2>" if name in taken else name
