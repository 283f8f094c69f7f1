"""One keyword of input.nn is one record: parser, help, default echo and tests are loops over these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from bnnp.keyword_table.arguments import Parser

Tier = Literal["E", "R", "O", "X"]


@dataclass(frozen=True)
class Keyword:
    """A keyword.

    Parameters
    ----------
    name : str
        The spelling bnnp uses; a pattern such as ``ewald_*`` in the refused chapter.
    arguments : str
        The arguments as a person writes them down, "" for a switch.
    parse : Parser
        Words to value; ranges and allowed words are its matter.
    default : Any
        Value without the keyword; quantities with a `unit` in atomic units. None: no value, or off.
    help : str
        What it does, in one line.
    group : str
        Chapter of the table.
    unit : str
        "length", "energy", "force", "energy/atom" or "": a default with a unit follows the keyword ``units``.
    modes : str
        Digits of the modes that use it.
    tier : str
        "E" and "R": has its meaning. "O": accepted, without effect. "X": refused.
    dialect : str
        Who knows it: "RuNNer", "n2p2", "RuNNer n2p2" or "bnnp".
    aliases : tuple of str
        Other spellings with the same meaning.
    repeatable : bool
        May occur on several lines.
    required : str
        Digits of the modes that stop without it.
    note : str
        Why it is ignored or refused, or what is special about it.
    """

    name: str
    arguments: str
    parse: Parser
    default: Any
    help: str
    group: str
    unit: str = ""
    modes: str = "123"
    tier: Tier = "E"
    dialect: str = "RuNNer n2p2"
    aliases: tuple[str, ...] = ()
    repeatable: bool = False
    required: str = ""
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
        """The line to write."""
        return f"{self.name} {self.arguments}".strip()
