"""The keyword table as text: ``bnnp --keywords`` and ``bnnp --keywords NAME``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bnnp.errors import InputError
from bnnp.messages import WIDTH, fold
from bnnp.settings.keywords import KEYWORDS, Keyword, lookup, nearest
from bnnp.settings.keywords.ignored import TITLE as IGNORED_TITLE

_USAGE, _DEFAULT, _UNIT = 44, 12, 11  # widths of the columns
_MEANING = " " * 6
_HEADER = f"  {'keyword':<{_USAGE}} {'default':<{_DEFAULT}} {'unit':<{_UNIT}} modes"
_TIERS = {
    "E": "E, essential",
    "R": "R, supported",
    "O": "O, accepted without effect",
    "X": "X, refused",
}
_FOOTER = """\
Units: length, energy, force are bohr, hartree, hartree/bohr; with `units metal`
Angstrom, eV, eV/Angstrom.
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
    lines += ["", f"{IGNORED_TITLE} (meaning in RuNNer and n2p2; what bnnp has instead)"]
    lines += [line for keyword in ignored for line in _ignored(keyword)]
    names = ", ".join(keyword.name for keyword in refused)
    lines += ["", "Refused, * stands for any text", fold(names, WIDTH, "  ")]
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
    lines = [keyword.usage, "", fold(_sentence(keyword.help), WIDTH), ""]
    lines += [fold(text, WIDTH, f"  {label:<14} ") for label, text in _facts(keyword) if text]
    if keyword.note:
        lines += ["", fold(keyword.note, WIDTH)]
    return "\n".join(lines)


def _row(keyword: Keyword) -> Iterator[str]:
    usage = f"  {keyword.usage:<{_USAGE}}"
    columns = f"{format_default(keyword):<{_DEFAULT}} {keyword.unit:<{_UNIT}} {' '.join(keyword.modes)}"
    if len(usage) + 1 + len(columns) > WIDTH:
        yield fold(keyword.usage, WIDTH, "  ", _MEANING)
        usage = " " * (_USAGE + 2)
    yield fold(f"{usage} {columns}", WIDTH)
    yield fold(keyword.help, WIDTH, _MEANING)


def _ignored(keyword: Keyword) -> list[str]:
    return [fold(keyword.usage, WIDTH, "  "), fold(keyword.help, WIDTH, _MEANING)]


def _facts(keyword: Keyword) -> Iterator[tuple[str, str]]:
    yield "tier", _TIERS[keyword.tier]
    if not keyword.accepted:
        return
    yield "arguments", keyword.arguments or "none"
    yield "default", format_default(keyword)
    yield "unit", keyword.unit
    yield "modes", " ".join(keyword.modes)
    yield "also spelled", ", ".join(keyword.aliases)
    yield "known to", keyword.dialect.replace(" ", ", ")
    yield "lines", "as many as needed" if keyword.repeatable else "at most one"
    yield "chapter", keyword.title


def format_default(keyword: Keyword) -> str:
    """The default in the form of input.nn."""
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
