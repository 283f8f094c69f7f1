"""The keywords of one input.nn, each found in the table, allowed there, and read into a typed value.

All mistakes of spelling are reported together, each with file, line, the offending line and the nearest
keyword; what the values mean together is the matter of :mod:`bnnp.settings`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bnnp.errors import InputError
from bnnp.io.input_nn import Entry, read_input_nn
from bnnp.keyword_table.refused import RUNNER_2
from bnnp.keywords import KEYWORDS, Keyword, lookup, nearest

MOST_MISTAKES = 10  # shown at once


class Entries:
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
        self.file = str(path)
        entries = read_input_nn(path)
        _refuse_runner_2(entries)
        self._entries: dict[str, list[Entry]] = {}
        self._values: dict[str, list[Any]] = {}
        mistakes = [mistake for entry in entries if (mistake := self._add(entry))]
        if mistakes:
            hidden = len(mistakes) - MOST_MISTAKES
            more = [f"... and {hidden} more mistakes"] if hidden > 0 else []
            advice = "`bnnp --keywords` lists all keywords, `bnnp --keywords NAME` explains one."
            raise InputError("\n".join([*mistakes[:MOST_MISTAKES], *more, advice]))

    def given(self, name: str) -> bool:
        """Whether the file has the keyword (by its canonical name)."""
        return name in self._entries

    def names(self) -> tuple[str, ...]:
        """Canonical names of all keywords in the file, in file order."""
        return tuple(self._entries)

    def of(self, name: str) -> list[Entry]:
        """The lines of a keyword, in file order; none if it is not there."""
        return self._entries.get(name, [])

    def items(self, name: str) -> list[tuple[Entry, Any]]:
        """Lines and values of a repeatable keyword."""
        return list(zip(self.of(name), self._values.get(name, []), strict=True))

    def value(self, name: str) -> Any:
        """Value of a keyword that occurs once; its default (in atomic units) if it is not there."""
        return self._values[name][0] if name in self._values else KEYWORDS[name].default

    def where(self, name: str) -> str:
        """File and line of the keyword's first line."""
        return self._entries[name][0].where

    def mistake(self, name: str, text: str) -> InputError:
        """An error at the line of a keyword that is in the file."""
        return mistake(self._entries[name][0], text)

    def missing(self, mode: int) -> tuple[Keyword, ...]:
        """Keywords without which `mode` cannot run and that the file does not have."""
        return tuple(k for k in KEYWORDS.values() if str(mode) in k.required and not self.given(k.name))

    def _add(self, entry: Entry) -> str | None:
        """Take an entry in, or say what is wrong with it."""
        keyword = lookup(entry.name)
        if keyword is None:
            close = nearest(entry.name)
            return _describe(entry, "is not a keyword" + (f"; did you mean `{close}`?" if close else ""))
        if not keyword.accepted:
            return _describe(entry, f"is refused: {keyword.help}")
        if keyword.name in self._entries and not keyword.repeatable:
            first = self._entries[keyword.name][0]
            synonym = f" as `{first.name}`" if first.name != entry.name else ""
            return _describe(entry, f"is there already, in line {first.line}{synonym}; remove one of the two")
        try:
            value = keyword.parse(entry.words)
        except ValueError as error:
            note = f". {keyword.note}" if keyword.note else ""
            return _describe(entry, f"{error}. Usage: {keyword.usage}{note}")
        self._entries.setdefault(keyword.name, []).append(entry)
        self._values.setdefault(keyword.name, []).append(value)
        return None


def mistake(entry: Entry, text: str) -> InputError:
    """The error for one line of the file."""
    return InputError(_describe(entry, text))


def _describe(entry: Entry, text: str) -> str:
    return f"{entry.where}: `{entry.name}` {text}\n    {entry.text.strip()}"


def _refuse_runner_2(entries: Iterable[Entry]) -> None:
    """Stop at a keyword of RuNNer 2: others mean something else there, and are not worth a message."""
    for entry in entries:
        keyword = lookup(entry.name)
        named_mode = entry.name == "runner_mode" and entry.words[:1] and entry.words[0].isalpha()
        quoted = entry.name == "optimizer" and entry.words[:1] and entry.words[0].startswith(('"', "'", "1"))
        if named_mode or quoted or (keyword is not None and keyword.help == RUNNER_2):
            raise mistake(entry, f"is refused: {RUNNER_2}")
