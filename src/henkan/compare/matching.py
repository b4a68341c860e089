"""Models of one size: all widths of a model's settings times one factor, so that it has as many parameters as another.

A width is rounded to a multiple of 8 (to an even number below 64). Factors for which the parts no longer fit each
other, because heads do not divide a width or a decoder cannot start from its encoder, are passed over: the schema of
the settings decides. Depth, heads and everything else stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from henkan.errors import ConfigError
from henkan.models.encoder_decoder import EncoderDecoderConfig
from henkan.models.outline import outline

Settings = dict[str, Any]

WIDTHS = frozenset({"embedding", "size", "width", "feed_forward", "maxout", "context"})
"""Names of the settings that are widths of a model."""

SMALLEST, LARGEST = 2.0**-6, 2.0**6
"""The factors that are tried."""

CLOSE = 0.02
"""A model that is off by no more than this share of the parameters stays as it is."""

STEP = 1.0025
"""Ratio of neighbouring factors."""


@dataclass(frozen=True)
class Matched:
    """A model with other widths.

    Attributes:
        model: its settings.
        factor: of the widths, before rounding; 1 where nothing was changed.
        parameters: how many it has.
    """

    model: EncoderDecoderConfig
    factor: float
    parameters: int

    def changes(self, before: EncoderDecoderConfig) -> list[str]:
        """``["embedding 256 → 304", "decoder.cell.size 512 → 608", …]``: the widths that are not as before."""
        old, new = (dict(_widths(model.model_dump(mode="json"))) for model in (before, self.model))
        return [f"{path} {old[path]} → {width}" for path, width in new.items() if old[path] != width]


def count_parameters(model: EncoderDecoderConfig, vocabularies: tuple[int, int]) -> int:
    """Of the model over vocabularies of these sizes, source and target; no memory is taken for them."""
    return sum(parameter.numel() for parameter in outline(model, *vocabularies).parameters())


def match(model: EncoderDecoderConfig, wanted: int, vocabularies: tuple[int, int]) -> Matched:
    """The model with its widths scaled so that its number of parameters is the nearest to ``wanted``.

    Raises:
        ConfigError: not even a sixty-fourth or sixty-four times of its widths comes near.
    """
    own = count_parameters(model, vocabularies)
    if abs(own / wanted - 1) < CLOSE:
        return Matched(model, 1.0, own)
    family = _Family(model, vocabularies)
    low, high = SMALLEST, LARGEST
    while high / low > STEP**4:
        middle = (low * high) ** 0.5
        found = family.at_or_above(middle)
        if found is None or found.parameters >= wanted:
            high = middle
        else:
            low = middle
    near = [family.at(low * STEP**step) for step in range(-14, 19)]
    best = min(filter(None, near), key=lambda found: abs(found.parameters - wanted), default=None)
    if best is None or not 0.8 < best.parameters / wanted < 1.25:
        raise ConfigError(
            f"a model of {own:,} parameters cannot be brought to {wanted:,} by its widths alone; "
            "choose another preset or size, or compare unmatched"
        )
    return best


class _Family:
    """One model at all factors. Many factors round to the same widths, so what was built is kept."""

    def __init__(self, model: EncoderDecoderConfig, vocabularies: tuple[int, int]) -> None:
        self._settings = model.model_dump(mode="json")
        self._vocabularies = vocabularies
        self._known: dict[tuple[int, ...], Matched | None] = {}

    def at(self, factor: float) -> Matched | None:
        """The model with widths times ``factor``; None if its parts do not fit."""
        settings = scaled(self._settings, factor)
        key = tuple(width for _, width in _widths(settings))
        if key not in self._known:
            self._known[key] = self._build(settings, factor)
        return self._known[key]

    def at_or_above(self, factor: float) -> Matched | None:
        """The model at the first factor that fits; None if none within a tenth does."""
        return next(filter(None, (self.at(factor * STEP**step) for step in range(40))), None)

    def _build(self, settings: Settings, factor: float) -> Matched | None:
        try:
            model = EncoderDecoderConfig.model_validate(settings, strict=False)  # lists stand for tuples
        except ValidationError:
            return None
        return Matched(model, factor, count_parameters(model, self._vocabularies))


def scaled(settings: Settings, factor: float) -> Settings:
    """Model settings with every width times ``factor``, rounded."""

    def scale(name: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {inner: scale(inner, held) for inner, held in value.items()}
        return _rounded(value * factor) if name in WIDTHS and isinstance(value, int) else value

    return {name: scale(name, value) for name, value in settings.items()}


def _rounded(width: float) -> int:
    multiple = 8 if width >= 64 else 2
    return max(multiple, round(width / multiple) * multiple)


def _widths(settings: Settings, path: str = "") -> Iterator[tuple[str, int]]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _widths(value, f"{path}{name}.")
        elif name in WIDTHS and isinstance(value, int):
            yield f"{path}{name}", value
