"""Arguments of the keywords of molecular dynamics; rules as in :mod:`bnnp.keyword_table.arguments`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bnnp.keyword_table.arguments import Parser, choice, read_real

QUANTITIES = ("energy", "forces", "extrapolations")
_QUANTILE = re.compile(r"q(\d{1,2}(?:\.\d+)?)")


@dataclass(frozen=True)
class Limit:
    """A threshold of the uncertainty.

    Parameters
    ----------
    quantity : str
        One of QUANTITIES.
    value : float or None
        In units of the file; None if it is a quantile.
    quantile : float or None
        In per cent, of the calibration set.
    raw : bool
        Of the raw instead of the calibrated standard deviation.
    """

    quantity: str
    value: float | None
    quantile: float | None = None
    raw: bool = False

    def __str__(self) -> str:
        shown = f"{self.value:g}" if self.value is not None else f"q{self.quantile:g}"
        return f"{'raw ' * self.raw}{self.quantity} {shown}"


@dataclass(frozen=True)
class Ramp:
    """From `start` to `end`, linearly over a stage; a constant if they are equal."""

    start: float
    end: float

    @property
    def constant(self) -> bool:
        """Whether nothing changes."""
        return self.start == self.end

    def __str__(self) -> str:
        return f"{self.start:g}" if self.constant else f"{self.start:g}:{self.end:g}"


def choices(*allowed: str) -> Parser:
    """One or more of a few words, in any case."""
    single = choice(*allowed)

    def parse(words: Sequence[str]) -> tuple[str, ...]:
        if not words:
            raise ValueError(f"expects one or more of {', '.join(allowed)}, got nothing")
        return tuple(single([word]) for word in words)

    return parse


def times(words: Sequence[str]) -> tuple[float, ...]:
    """One or more positive numbers."""
    if not words:
        raise ValueError("expects one or more numbers, got nothing")
    values = tuple(read_real(word) for word in words)
    for value in values:
        if value <= 0.0:
            raise ValueError(f"is {value:g} but must be larger than 0")
    return values


def ramps(words: Sequence[str]) -> tuple[Ramp, ...]:
    """One or more numbers ``x``, or ramps ``x:y`` from x to y.

    >>> [str(ramp) for ramp in ramps(["300:1200", "1200"])]
    ['300:1200', '1200']
    """
    if not words:
        raise ValueError("expects one or more numbers or ramps such as 300:1200, got nothing")
    return tuple(_ramp(word) for word in words)


def _ramp(word: str) -> Ramp:
    ends = word.split(":")
    if len(ends) > 2 or not all(ends):
        raise ValueError(f"expects a number or a ramp such as 300:1200, got `{word}`")
    return Ramp(read_real(ends[0]), read_real(ends[-1]))


def structure(words: Sequence[str]) -> int | str:
    """Number of a structure from 1, or the name of a file."""
    if len(words) != 1:
        raise ValueError(f"expects the number of a structure or a file, got {len(words)} words")
    (word,) = words
    if not re.fullmatch(r"[+-]?\d+", word):
        return word
    if int(word) < 1:
        raise ValueError(f"is {word} but must be at least 1, the first structure")
    return int(word)


def thresholds(words: Sequence[str]) -> tuple[Limit, ...]:
    """``[raw] quantity value [quantity value ...]``.

    >>> [str(limit) for limit in thresholds("energy q99 extrapolations 20".split())]
    ['energy q99', 'extrapolations 20']
    """
    raw = bool(words) and words[0].lower() == "raw"
    rest = words[1:] if raw else words
    if not rest or len(rest) % 2:
        raise ValueError(f"expects pairs such as `forces 0.5` or `energy q99`, got `{' '.join(words)}`")
    limits = tuple(_limit(name, value, raw) for name, value in zip(rest[::2], rest[1::2], strict=True))
    names = [limit.quantity for limit in limits]
    if len(set(names)) < len(names):
        raise ValueError(f"names a quantity twice: {' '.join(names)}")
    return limits


def _limit(name: str, word: str, raw: bool) -> Limit:
    quantity = choice(*QUANTITIES)([name])
    match = _QUANTILE.fullmatch(word.lower())
    if match is not None:
        if raw:
            raise ValueError(
                f"has `raw` with {word}, but a quantile is one of the calibration set: leave out raw"
            )
        return Limit(quantity, None, float(match[1]))
    value = read_real(word)
    if value <= 0.0:
        raise ValueError(f"{quantity} is {word} but must be larger than 0")
    return Limit(quantity, value, raw=raw and quantity != "extrapolations")
