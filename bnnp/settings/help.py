"""The keyword table as text: ``bnnp --keywords`` and ``bnnp --keywords NAME``."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from bnnp.errors import InputError
from bnnp.settings.keywords import KEYWORDS, Keyword, lookup, nearest
from bnnp.settings.keywords.ignored import TITLE as IGNORED_TITLE

_USAGE, _DEFAULT, _UNIT, _HELP = 36, 8, 11, 60  # widths of the columns
_HEADER = f"  {'keyword':<{_USAGE}} {'default':<{_DEFAULT}} {'unit':<{_UNIT}} modes  meaning"
_TIERS = {
    "E": "E, essential",
    "R": "R, supported",
    "O": "O, accepted without effect",
    "X": "X, refused",
}
_FOOTER = """\
Units: length, energy, force are bohr, hartree, hartree/bohr; Angstrom, eV, eV/Angstrom with `units metal`.
`bnnp --keywords NAME` tells more about one keyword, by any of its spellings."""


def keyword_list() -> str:
    """All accepted keywords by chapter: line to write, default, modes, help; those without effect with their
    meaning in RuNNer and n2p2; the refused ones by name."""
    lines: list[str] = []
    groups: dict[str, list[Keyword]] = {}
    for keyword in KEYWORDS.values():
        groups.setdefault(keyword.title, []).append(keyword)
    refused = groups.pop("Refused")
    ignored = groups.pop(IGNORED_TITLE)
    for group, keywords in groups.items():
        lines += ["", group, _HEADER]
        lines += [line for keyword in keywords for line in _row(keyword)]
    lines += ["", f"{IGNORED_TITLE} (meaning in RuNNer and n2p2; what bnnp does or has instead)"]
    lines += [line for keyword in ignored for line in _ignored(keyword)]
    names = ", ".join(keyword.name for keyword in refused)
    wrapped = textwrap.wrap(names, 98, break_long_words=False, break_on_hyphens=False)
    lines += ["", "Refused, * stands for any text", *(f"  {line}" for line in wrapped)]
    return "\n".join([*lines[1:], "", _FOOTER])


def keyword_details(name: str) -> str:
    """Everything about one keyword.

    Raises
    ------
    InputError
        There is no such keyword.
    """
    keyword = lookup(name)
    if keyword is None:
        close = nearest(name)
        advice = f"did you mean `{close}`?" if close else "`bnnp --keywords` lists all."
        raise InputError(f"there is no keyword `{name}`; {advice}")
    lines = [keyword.usage, "", *textwrap.wrap(_sentence(keyword.help), 98), ""]
    lines += [f"  {label:<14} {text}" for label, text in _facts(keyword) if text]
    if keyword.note:
        lines += ["", *textwrap.wrap(keyword.note, 98)]
    return "\n".join(lines)


def _row(keyword: Keyword) -> Iterator[str]:
    usage = f"  {keyword.usage:<{_USAGE}}"
    if len(keyword.usage) > _USAGE:
        yield usage
        usage = " " * (_USAGE + 2)
    columns = f"{format_default(keyword):<{_DEFAULT}} {keyword.unit:<{_UNIT}} {' '.join(keyword.modes):<5}  "
    first, *more = textwrap.wrap(keyword.help, _HELP)
    yield f"{usage} {columns}{first}"
    yield from (" " * (_USAGE + len(columns) + 3) + line for line in more)


def _ignored(keyword: Keyword) -> list[str]:
    usage = f"  {keyword.usage:<{_USAGE}} "
    return textwrap.wrap(keyword.help, 98, initial_indent=usage, subsequent_indent=" " * len(usage))


def _facts(keyword: Keyword) -> Iterator[tuple[str, str]]:
    yield "tier", _TIERS[keyword.tier]
    if not keyword.accepted:
        return
    yield "arguments", keyword.arguments or "none"
    yield "default", format_default(keyword)
    yield "unit", keyword.unit
    yield "modes", " ".join(keyword.modes)
    yield "mandatory in", " ".join(keyword.required)
    yield "also spelled", ", ".join(keyword.aliases)
    yield "known to", keyword.dialect.replace(" ", ", ")
    yield "lines", "as many as needed" if keyword.repeatable else "at most one"
    yield "chapter", keyword.title


def format_default(keyword: Keyword) -> str:
    """The default in the form of input.nn."""
    if keyword.required:
        return "required"
    return format_value(keyword.default)


def format_value(value: Any) -> str:
    """A value in the form of input.nn; ``off`` for False and ``-`` for no value."""
    if value is None or value == ():
        return "-"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return " ".join(format_value(item) for item in value if item is not None)
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, int) and value >= 10**6 and value % 10**6 == 0:
        return f"{value // 10**6} MB" if value % 10**9 else f"{value // 10**9} GB"
    return str(value)


def _sentence(text: str) -> str:
    begin = text[:1] if text.startswith(("bnnp", "n2p2")) else text[:1].upper()
    return begin + text[1:] + "."
