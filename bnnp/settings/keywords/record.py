"""One keyword of input.nn is one record: parser, help, default echo and tests are loops over these.

A chapter of the table is a frozen dataclass (:class:`Section`), a keyword one of its fields, made by
:func:`keyword`: so the record also gives the type of ``settings.training.epochs``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

import ase.units

from bnnp.settings.arguments import Parser
from bnnp.units import Units

Tier = Literal["E", "R", "O", "X"]
BNNP, RUNNER, N2P2, BOTH = "bnnp", "RuNNer", "n2p2", "RuNNer n2p2"


@dataclass(frozen=True)
class Keyword:
    """A keyword.

    Parameters
    ----------
    name : str
        The spelling bnnp uses; a pattern such as ``ewald_*`` in the refused chapter.
    arguments : str
        The arguments as shown by the help, "" for a switch.
    parse : Parser
        Words of the line -> value, with a check of ranges and allowed words.
    default : Any
        Value without the keyword; quantities with a `unit` in atomic units. None: no value, or off.
    help : str
        What it does, in one line.
    title : str
        Chapter of the table.
    unit : str
        "length", "energy", "force", "energy/atom" or "": a default with a unit follows the keyword ``units``.
    modes : str
        Digits of the modes that use it.
    tier : str
        "E" and "R": has its meaning. "O": accepted, without effect. "X": refused.
    dialect : str
        Programs that have it: "RuNNer", "n2p2", "RuNNer n2p2" or "bnnp".
    aliases : tuple of str
        Other spellings with the same meaning.
    repeatable : bool
        May occur on several lines; its value is the tuple of their values.
    note : str
        Further explanation.
    """

    name: str
    arguments: str
    parse: Parser
    default: Any
    help: str
    title: str
    unit: str = ""
    modes: str = "123"
    tier: Tier = "E"
    dialect: str = BOTH
    aliases: tuple[str, ...] = ()
    repeatable: bool = False
    note: str = ""

    @property
    def accepted(self) -> bool:
        """Whether an input.nn may contain it."""
        return self.tier != "X"

    @property
    def is_pattern(self) -> bool:
        """Whether the name stands for a family."""
        return "*" in self.name

    @property
    def usage(self) -> str:
        """Name and arguments, as a line of input.nn."""
        return f"{self.name} {self.arguments}".strip()

    def default_in(self, units: Units) -> Any:
        """The default, converted from atomic units."""
        if self.default is None or not self.unit or units.name == "atomic":
            return self.default
        length, energy = ase.units.Bohr / units.angstrom, ase.units.Hartree / units.ev
        factors = {"length": length, "energy": energy, "energy/atom": energy, "force": energy / length}
        return self.default * factors[self.unit]


def keyword(arguments: str, parse: Parser, default: Any, help: str, **facts: Any) -> Any:
    """A field of a section: arguments of :class:`Keyword`; those a whole chapter shares are at its head."""
    record = {"arguments": arguments, "parse": parse, "default": default, "help": help, **facts}
    return field(default=default, metadata=record)


@dataclass(frozen=True)
class Section:
    """The keywords of one chapter and, as an instance, their values in one run.

    Class arguments: `title` of the chapter, `modes` and `dialect` of those keywords that give none.
    """

    shared: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls, **shared: Any) -> None:
        super().__init_subclass__()
        cls.shared = shared

    @classmethod
    def keywords(cls) -> tuple[Keyword, ...]:
        """The records of the chapter, in its order."""
        return tuple(Keyword(name=each.name, **{**cls.shared, **each.metadata}) for each in fields(cls))
