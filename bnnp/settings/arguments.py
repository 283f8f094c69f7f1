"""Arguments of a keyword: from the words on its line to a typed value.

Each parser takes the words after the keyword and returns the value; it raises ValueError with a text that
continues "the keyword ...", for example "expects an integer, got `ten`". Numbers may have Fortran's exponent
(``0.1d0``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from bnnp.messages import count

Parser = Callable[[Sequence[str]], Any]
T = TypeVar("T")

_FORTRAN_EXPONENT = re.compile(r"(?<=[0-9.])[dD](?=[+-]?\d+$)")
_SIZE = re.compile(r"([0-9.]+)\s*([kKMGT]?)i?B?", re.ASCII)
FIT, AUTO = "fit", "auto"
QUANTITIES = ("energy", "forces", "extrapolations")
_LOGICAL = dict.fromkeys(("true", "t", "yes", "on"), True) | dict.fromkeys(("false", "f", "no", "off"), False)
_QUANTILE = re.compile(r"q(\d{1,2}(?:\.\d+)?)")
SMALLEST_BARE_SIZE = 10**6  # bytes: a smaller number without a unit is probably a mistake
_SIZE_FACTOR = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@dataclass(frozen=True)
class Every:
    """How often something is written: every `interval` epochs (0: never), and in each epoch up to `until`."""

    interval: int = 0
    until: int = 0

    def due(self, epoch: int) -> bool:
        """Whether `epoch` (0 = before training) is one of those."""
        return self.interval > 0 and (epoch % self.interval == 0 or epoch <= self.until)

    def __str__(self) -> str:
        if not self.interval:
            return "off"
        return f"{self.interval} {self.until}" if self.until else str(self.interval)


@dataclass(frozen=True)
class SelectionSchedule:
    """n2p2's ``selection_mode``.

    Parameters
    ----------
    steps : tuple of (int, int)
        An epoch and the mode from there on, ascending; the first is epoch 0.
    """

    steps: tuple[tuple[int, int], ...] = ((0, 2),)

    def __str__(self) -> str:
        (_, first), *later = self.steps
        return " ".join([str(first), *(f"{epoch} {mode}" for epoch, mode in later)])


@dataclass(frozen=True)
class Limit:
    """A threshold of the uncertainty in molecular dynamics.

    Parameters
    ----------
    quantity : str
        One of QUANTITIES.
    value : float or None
        In units of the file; None if it is a quantile.
    quantile : float or None
        In per cent, over the calibration set.
    raw : bool
        Whether it applies to the raw instead of the calibrated standard deviation.
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


def read_real(word: str) -> float:
    """A finite number, with e or Fortran's d exponent."""
    try:
        value = float(_FORTRAN_EXPONENT.sub("e", word))
    except ValueError:
        raise ValueError(f"expects a number, got `{word}`") from None
    if not math.isfinite(value):
        raise ValueError(f"expects a finite number, got `{word}`")
    return value


def read_integer(word: str) -> int:
    """An integer."""
    try:
        return int(word)
    except ValueError:
        raise ValueError(f"expects an integer, got `{word}`") from None


def anything(words: Sequence[str]) -> str:
    """Any words, for a keyword without effect."""
    return " ".join(words)


def flag(words: Sequence[str]) -> bool:
    """No argument: the presence of the keyword switches something on; or a logical value, as in Fortran."""
    if not words:
        return True
    value = _LOGICAL.get(words[0].lower().strip("."))
    if value is None or len(words) > 1:
        text = f"takes no argument but .true. or .false., got `{' '.join(words)}`"
        raise ValueError(f"{text}; a comment starts with # or !")
    return value


def integer(minimum: int | None = None, maximum: int | None = None) -> Parser:
    """One integer between `minimum` and `maximum`, both allowed."""

    def parse(words: Sequence[str]) -> int:
        value = read_integer(_single(words, "one integer"))
        _check_range(value, minimum, maximum)
        return value

    return parse


def real(
    minimum: float | None = None,
    maximum: float | None = None,
    *,
    above: float | None = None,
    below: float | None = None,
) -> Parser:
    """One number between `minimum` and `maximum` (allowed), or `above` and `below` (not allowed)."""

    def parse(words: Sequence[str]) -> float:
        value = read_real(_single(words, "one number"))
        _check_range(value, minimum, maximum, above, below)
        return value

    return parse


def reals(minimum: float | None = None, *, below: float | None = None) -> Parser:
    """One or more numbers."""
    return _several(read_real, "one or more numbers", partial(_check_range, minimum=minimum, below=below))


def integers(minimum: int | None = None) -> Parser:
    """One or more integers."""
    return _several(read_integer, "one or more integers", partial(_check_range, minimum=minimum))


def choice(*allowed: str) -> Parser:
    """One of a few words, in any case."""

    def parse(words: Sequence[str]) -> str:
        word = _single(words, "one of " + ", ".join(allowed))
        for value in allowed:
            if word.lower() == value.lower():
                return value
        raise ValueError(f"expects one of {', '.join(allowed)}, got `{word}`")

    return parse


def text(words: Sequence[str]) -> tuple[str, ...]:
    """One or more words, taken as they are."""
    return tuple(_some(words, "at least one word"))


def element_and_real(words: Sequence[str]) -> tuple[str, float]:
    """An element symbol and a number."""
    if len(words) != 2:
        raise ValueError(f"expects an element and a number, got {_count(words)}")
    return words[0], read_real(words[1])


def generation(words: Sequence[str]) -> int:
    """2, 3 or 4, also as ``4G`` or ``4G-HDNNP``."""
    number = _single(words, "one generation").removesuffix("-HDNNP").removesuffix("G")
    if number not in ("2", "3", "4"):
        raise ValueError(f"expects 2, 3 or 4, as `4` or `4G-HDNNP`, got `{words[0]}`")
    return int(number)


def element_and_positive(words: Sequence[str]) -> tuple[str, float]:
    """An element and a number above 0."""
    element, value = element_and_real(words)
    _check_range(value, above=0.0)
    return element, value


def screening(words: Sequence[str]) -> tuple[float, float, str]:
    """Two radii, and perhaps the name of a function; by default the cosine, ``c``."""
    if len(words) not in (2, 3):
        raise ValueError(f"expects two radii, and perhaps a function, got {_count(words)}")
    return read_real(words[0]), read_real(words[1]), words[2] if len(words) == 3 else "c"


def ewald_precision(words: Sequence[str]) -> tuple[float, ...]:
    """One to three numbers above 0, the first below 1."""
    values = tuple(map(read_real, words))
    if not 1 <= len(values) <= 3:
        raise ValueError(f"expects one to three numbers, got {_count(words)}")
    for value in values:
        _check_range(value, above=0.0)
    _check_range(values[0], below=1.0)
    return values


def atom_energy(words: Sequence[str]) -> tuple[str, float]:
    """An element symbol and a number, or the word ``fit``."""
    if [word.lower() for word in words] == [FIT]:
        return FIT, 0.0
    return element_and_real(words)


def group_weight(words: Sequence[str]) -> tuple[str, float, float, float]:
    """A label and one weight, or one each of energy, forces and stress; none negative."""
    if len(words) not in (2, 4):
        raise ValueError(f"expects a label and one or three weights, got {_count(words)}")
    numbers = [read_real(word) for word in words[1:]]
    for number in numbers:
        _check_range(number, 0.0)
    energy, force, stress = numbers if len(numbers) == 3 else numbers * 3
    return words[0], energy, force, stress


def auto_or(parser: Parser) -> Parser:
    """The word ``auto``, or what `parser` reads."""

    def parse(words: Sequence[str]) -> Any:
        return AUTO if [word.lower() for word in words] == [AUTO] else parser(words)

    return parse


def automatic(words: Sequence[str]) -> int | str:
    """The positive integer behind the word ``auto``, or ``auto`` where there is none."""
    if [word.lower() for word in words[:1]] != [AUTO] or len(words) > 2:
        raise ValueError(f"expects `auto` and perhaps a number, got `{' '.join(words)}`")
    if len(words) == 1:
        return AUTO
    number = read_integer(words[1])
    _check_range(number, 1)
    return number


def pair(words: Sequence[str]) -> tuple[float, float]:
    """Two numbers."""
    if len(words) != 2:
        raise ValueError(f"expects two numbers, got {_count(words)}")
    return read_real(words[0]), read_real(words[1])


def cutoff_type(words: Sequence[str]) -> tuple[int, float | None]:
    """Number of the cutoff function and, if given, the inner radius as a fraction of the cutoff radius."""
    if len(words) not in (1, 2):
        raise ValueError(f"expects a number from 0 to 8 and perhaps alpha, got {_count(words)}")
    number = read_integer(words[0])
    _check_range(number, 0, 8)
    return number, read_real(words[1]) if len(words) == 2 else None


def every(words: Sequence[str]) -> Every:
    """``n [always]``: every n epochs and each epoch up to `always`; RuNNer's form without number is n = 1."""
    if len(words) > 2:
        raise ValueError(f"expects at most two integers, got {_count(words)}")
    numbers = [read_integer(word) for word in words]
    for number in numbers:
        _check_range(number, 0)
    return Every(*numbers) if numbers else Every(1)


def selection(words: Sequence[str]) -> SelectionSchedule:
    """``mode [epoch mode ...]`` with modes 0, 1 and 2."""
    if len(words) % 2 == 0:
        raise ValueError(f"expects a mode and perhaps pairs of an epoch and a mode, got {_count(words)}")
    numbers = [0, *map(read_integer, words)]
    for epoch, mode in zip(numbers[2::2], numbers[3::2], strict=True):
        _check_range(epoch, 1)
        _check_range(mode, 0, 2)
    _check_range(numbers[1], 0, 2)
    return SelectionSchedule(tuple(sorted(dict(zip(numbers[::2], numbers[1::2], strict=True)).items())))


def size(words: Sequence[str]) -> int:
    """A number of bytes: ``4 GB``, ``500MB``; k, M, G, T are powers of 1000. Without a unit 1 MB at least."""
    joined = "".join(_some(words, "a size such as 4 GB"))
    match = _SIZE.fullmatch(joined)
    if match is None:
        raise ValueError(f"expects a size such as `4 GB`, got `{' '.join(words)}`")
    value = int(read_real(match[1]) * _SIZE_FACTOR[match[2].upper()])
    if value < SMALLEST_BARE_SIZE and joined == match[1]:
        raise ValueError(f"is {joined} bytes, expects a unit: did you mean `{joined} GB`?")
    _check_range(value, 1)
    return value


def choices(*allowed: str) -> Parser:
    """One or more of a few words, in any case."""
    single = choice(*allowed)
    return _several(lambda word: single([word]), f"one or more of {', '.join(allowed)}")


def times(words: Sequence[str]) -> tuple[float, ...]:
    """One or more positive numbers."""
    values = tuple(read_real(word) for word in _some(words, "one or more numbers"))
    for value in values:
        if value <= 0.0:
            raise ValueError(f"is {value:g} but must be larger than 0")
    return values


def ramps(words: Sequence[str]) -> tuple[Ramp, ...]:
    """One or more numbers ``x``, or ramps ``x:y`` from x to y.

    >>> [str(ramp) for ramp in ramps(["300:1200", "1200"])]
    ['300:1200', '1200']
    """
    return tuple(_ramp(word) for word in _some(words, "one or more numbers or ramps such as 300:1200"))


def _ramp(word: str) -> Ramp:
    ends = word.split(":")
    if len(ends) > 2 or not all(ends):
        raise ValueError(f"expects a number or a ramp such as 300:1200, got `{word}`")
    return Ramp(read_real(ends[0]), read_real(ends[-1]))


def structure(words: Sequence[str]) -> int | str:
    """Number of a structure from 1, or the name of a file."""
    if len(words) != 1:
        raise ValueError(f"expects the number of a structure or a file, got {count(len(words), 'word')}")
    (word,) = words
    if not re.fullmatch(r"[+-]?\d+", word):
        return word
    if int(word) < 1:
        raise ValueError(f"is {word} but must be at least 1, the first structure")
    return int(word)


def structures(words: Sequence[str]) -> tuple[int | str, ...]:
    """Numbers of structures from 1, or the name of one file."""
    found = tuple(structure([word]) for word in _some(words, "numbers of structures, or a file"))
    if len(found) > 1 and any(isinstance(each, str) for each in found):
        raise ValueError(f"expects numbers of structures or one file, got `{' '.join(words)}`")
    return found


def force_level(words: Sequence[str]) -> Limit:
    """A sigma of forces: a number, or a quantile such as ``q95``; the word ``forces`` may be in front."""
    rest = words[words[:1] == ["forces"] :]
    return _limit("forces", _single(rest, "a number or a quantile such as q95"), raw=False)


def assignments(words: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """``NAME=VALUE ...``, no name twice.

    >>> assignments(["ALGO=All", "NELM=200"])
    (('ALGO', 'All'), ('NELM', '200'))
    """
    pairs = tuple(word.partition("=")[::2] for word in _some(words, "NAME=VALUE"))
    for word, (name, value) in zip(words, pairs, strict=True):
        if not name or not value:
            raise ValueError(f"expects NAME=VALUE, got `{word}`")
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError(f"names something twice: {' '.join(words)}")
    return pairs


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
            text = f"has `raw` with {word}, but a quantile is one of the calibration set: leave out raw"
            raise ValueError(text)
        return Limit(quantity, None, float(match[1]))
    value = read_real(word)
    if value <= 0.0:
        raise ValueError(f"{quantity} is {word} but must be larger than 0")
    return Limit(quantity, value, raw=raw and quantity != "extrapolations")


def _several(read: Callable[[str], T], expected: str, check: Callable[[T], None] | None = None) -> Parser:
    """A parser of one or more words with a check of each value."""

    def parse(words: Sequence[str]) -> tuple[T, ...]:
        values = tuple(read(word) for word in _some(words, expected))
        if check is not None:
            for value in values:
                check(value)
        return values

    return parse


def _single(words: Sequence[str], expected: str) -> str:
    if len(words) != 1:
        raise ValueError(f"expects {expected}, got {_count(words)}; a comment starts with # or !")
    return words[0]


def _some(words: Sequence[str], expected: str) -> Sequence[str]:
    if not words:
        raise ValueError(f"expects {expected}, got nothing")
    return words


def _count(words: Sequence[str]) -> str:
    if not words:
        return "nothing"
    return f"{count(len(words), 'word')} (`{' '.join(words)}`)"


def _check_range(
    value: float,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> None:
    if minimum is not None and value < minimum:
        raise ValueError(f"is {value} but must be at least {minimum}")
    if maximum is not None and value > maximum:
        raise ValueError(f"is {value} but must be at most {maximum}")
    if above is not None and value <= above:
        raise ValueError(f"is {value} but must be larger than {above}")
    if below is not None and value >= below:
        raise ValueError(f"is {value} but must be smaller than {below}")
