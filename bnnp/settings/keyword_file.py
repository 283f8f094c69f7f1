"""The keywords of one input.nn, each found in the table, allowed there, and read into a typed value.

All mistakes of spelling are reported together, each with file, line, the offending line and the nearest
keyword; whether the values fit together is checked in :mod:`bnnp.settings.settings`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bnnp.errors import InputError
from bnnp.io.input_nn import KeywordLine, read_input_nn
from bnnp.settings.keywords import KEYWORDS, Section, lookup, nearest
from bnnp.settings.keywords.refused import RUNNER_2
from bnnp.units import Units

MOST_MISTAKES = 10  # shown at once


class KeywordFile:
    """The checked keywords of a file.

    Parameters
    ----------
    path : str or Path
        The file.

    Raises
    ------
    InputError
        A keyword is unknown, refused, repeated or has wrong arguments; or the file cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self._lines: dict[str, list[KeywordLine]] = {}
        self._values: dict[str, list[Any]] = {}
        self._off: dict[str, KeywordLine] = {}  # switches that are off, as without them
        self.add(path)

    def add(self, path: str | Path) -> None:
        """Add the keywords of a file, as if they stood in this one.

        Raises
        ------
        InputError
            As the class.
        """
        lines = read_input_nn(path)
        _refuse_runner_2(lines)
        mistakes = [mistake for line in lines if (mistake := self._add(line))]
        if mistakes:
            hidden = len(mistakes) - MOST_MISTAKES
            more = [f"... and {hidden} more mistakes"] if hidden > 0 else []
            advice = "`bnnp --keywords` lists all keywords, `bnnp --keywords NAME` explains one."
            raise InputError("\n".join([*mistakes[:MOST_MISTAKES], *more, advice]))

    def given(self, name: str) -> bool:
        """Whether the file has the keyword (by its canonical name)."""
        return name in self._lines

    def switched_off(self, name: str) -> bool:
        """Whether the file has the switch with `.false.`, where it is off without a word, too."""
        return name in self._off

    def names(self) -> tuple[str, ...]:
        """Canonical names of all keywords in the file, in file order."""
        return tuple(self._lines)

    def of(self, name: str) -> list[KeywordLine]:
        """The lines of a keyword, in file order; none if it is not there."""
        return self._lines.get(name, [])

    def items(self, name: str) -> list[tuple[KeywordLine, Any]]:
        """Lines and values of a repeatable keyword."""
        return list(zip(self.of(name), self._values.get(name, []), strict=True))

    def value(self, name: str) -> Any:
        """Value of a keyword that occurs once; its default (in atomic units) if it is not there."""
        return self._values[name][0] if name in self._values else KEYWORDS[name].default

    def values(self, section: type[Section], units: Units) -> dict[str, Any]:
        """Value of every keyword of a chapter; defaults in `units`, all lines of a repeatable keyword."""
        found: dict[str, Any] = {}
        for keyword in section.keywords():
            values = self._values.get(keyword.name)
            if keyword.repeatable:
                found[keyword.name] = tuple(values or ())
            else:
                found[keyword.name] = values[0] if values else keyword.default_in(units)
        return found

    def where(self, name: str) -> str:
        """File and line of the keyword's first line."""
        return self._off[name].where if name in self._off else self._lines[name][0].where

    def mistake(self, name: str, text: str) -> InputError:
        """An error at the line of a keyword that is in the file."""
        return mistake(self._lines[name][0], text)

    def _add(self, line: KeywordLine) -> str | None:
        """Add a line, or return what is wrong with it."""
        keyword = lookup(line.name)
        if keyword is None:
            close = nearest(line.name)
            return _describe(line, "is not a keyword" + (f"; did you mean `{close}`?" if close else ""))
        if not keyword.accepted:
            return _describe(line, f"is refused: {keyword.help}")
        first = self._off.get(keyword.name) or next(iter(self.of(keyword.name)), None)
        if first is not None and not keyword.repeatable:
            synonym = f" as `{first.name}`" if first.name != line.name else ""
            text = f"is there already, in line {first.number}{synonym}; remove one of the two"
            return _describe(line, text)
        try:
            value = keyword.parse(line.words)
        except ValueError as error:
            note = f". {keyword.note}" if keyword.note else ""
            return _describe(line, f"{error}. Usage: {keyword.usage}{note}")
        if value is False and keyword.default is False:
            self._off[keyword.name] = line
            return None
        self._lines.setdefault(keyword.name, []).append(line)
        self._values.setdefault(keyword.name, []).append(value)
        return None


def mistake(line: KeywordLine, text: str) -> InputError:
    """The error for one line of the file."""
    return InputError(_describe(line, text))


def _describe(line: KeywordLine, text: str) -> str:
    return f"{line.where}: `{line.name}` {text}\n    {line.text.strip()}"


def _refuse_runner_2(lines: Iterable[KeywordLine]) -> None:
    """Raise InputError at a keyword of RuNNer 2, where other keywords have other meanings."""
    for line in lines:
        keyword = lookup(line.name)
        named_mode = line.name == "runner_mode" and line.words[:1] and line.words[0].isalpha()
        quoted = line.name == "optimizer" and line.words[:1] and line.words[0].startswith(('"', "'", "1"))
        if named_mode or quoted or (keyword is not None and keyword.help == RUNNER_2):
            raise mistake(line, f"is refused: {RUNNER_2}")
