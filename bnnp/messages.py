"""Text for people: lines no wider than the screen, numbers with their nouns."""

from __future__ import annotations

import math
import os
import re
import shutil
import textwrap
from collections.abc import Iterable
from typing import TextIO

SHOWN = 60  # characters of a value in a message
WIDTH = 80  # where nobody says how wide the screen is
NARROWEST = 40
_TO_COPY = re.compile(r"`[^`]*`")


def columns(stream: TextIO) -> int:
    """Columns of the terminal behind `stream`, or of the variable COLUMNS; WIDTH for a file or a pipe."""
    known = stream.isatty() or os.environ.get("COLUMNS", "").isdigit()
    return max(NARROWEST, shutil.get_terminal_size((WIDTH, 24)).columns if known else WIDTH)


def fold(text: str, width: int, prefix: str = "", indent: str | None = None) -> str:
    """Break lines at blanks; those that fit stay as they are.

    Parameters
    ----------
    text : str
        One line or several. What stands between backticks, and words such as paths, are not broken.
    width : int
    prefix : str
        Before the first line.
    indent : str, optional
        Before the lines that a break makes; by default blanks under `prefix` or as before the line itself.
    """
    first, *others = text.split("\n")
    lines = _fold(first, width, prefix, " " * len(prefix) if indent is None else indent)
    return "\n".join(lines + [piece for line in others for piece in _fold(line, width, "", indent or "")])


def _fold(line: str, width: int, prefix: str, indent: str) -> list[str]:
    """The pieces of one line."""
    if len(prefix) + len(line) <= width:
        return [(prefix + line).rstrip()]
    words = line.lstrip()
    blanks = line[: len(line) - len(words)]
    pieces = textwrap.wrap(
        _TO_COPY.sub(lambda quoted: quoted[0].replace(" ", "\0"), words),
        width,
        initial_indent=prefix + blanks,
        subsequent_indent=indent + blanks,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [piece.replace("\0", " ") for piece in pieces]


def count(number: int, noun: str, plural: str = "") -> str:
    """A number and its noun.

    >>> count(1, "structure"), count(2, "frequency"), count(3, "day"), count(4, "leaf", "leaves")
    ('1 structure', '2 frequencies', '3 days', '4 leaves')
    """
    plural = plural or re.sub("(?<=[^aeiou])y$", "ie", noun) + "s"
    return f"{number} {noun if number == 1 else plural}"


def percent(share: float) -> str:
    """A share of 1 in percent, with two digits and no exponent.

    >>> percent(0.0123), percent(0.996), percent(2.5), percent(1e-5)
    ('1.2 %', '100 %', '250 %', '0.001 %')
    """
    value = 100.0 * share
    places = max(0, 1 - math.floor(math.log10(value))) if math.isfinite(value) and value > 0.0 else 0
    text = f"{value:.{places}f}"
    return f"{text.rstrip('0').rstrip('.') if places else text} %"


def ranges(numbers: Iterable[int]) -> str:
    """Numbers in ascending order, neighboring ones as a range.

    >>> ranges([7, 3, 8, 9])
    '3, 7-9'
    """
    found = sorted(set(numbers))
    known = set(found)
    starts = [number for number in found if number - 1 not in known]
    ends = [number for number in found if number + 1 not in known]
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True))


def contrast(former: object, present: object) -> tuple[str, str]:
    """Both values as text; of long ones the part from where they begin to differ."""
    texts = (_text(former), _text(present))
    same = len(os.path.commonprefix(texts))
    start = max(0, same - SHOWN // 3) if max(map(len, texts)) > SHOWN else 0
    first, second = (
        "..." * (start > 0) + text[start : start + SHOWN] + "..." * (len(text) > start + SHOWN)
        for text in texts
    )
    return first, second


def _text(value: object) -> str:
    """A value as input.nn would have it: ``on`` and ``off``, numbers in a row, ``name value`` pairs."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return " ".join(map(_text, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(item)}" for name, item in value.items())
    return str(value)
