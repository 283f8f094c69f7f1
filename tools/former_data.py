"""The input.data to which structures are added: which are there already, and how they were calculated."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from bnnp.errors import InputError
from bnnp.io.structure_block import format_structure, parse_comment
from bnnp.messages import count, ranges
from bnnp.structure import Structure


def demand_inputs(paths: Iterable[Path]) -> None:
    """Refuse names of nothing, before anything is said about the output."""
    if missing := [str(path) for path in paths if not path.exists()]:
        raise InputError(f"{', '.join(missing)}: no such file or directory")


class FormerData:
    """An input.data that is added to; without a file there is nothing in it.

    Attributes
    ----------
    methods : dict of str to set of str
        For each ``method=`` of the file its name, as :func:`bnnp.io.method.disagreements` takes it.
    """

    def __init__(self, path: Path | None = None, decimals: int | None = None) -> None:
        self.path, self.decimals = path, decimals
        self.methods: dict[str, set[str]] = {}
        self._blocks: set[bytes] = set()
        self._repeated: dict[str, list[int]] = {}  # numbers of steps by source
        if path is not None and path.is_file():
            self._read(path)

    def _read(self, path: Path) -> None:
        block: list[str] = []
        with open(path, encoding="utf-8") as file:
            for line in file:
                word, _, rest = line.strip().partition(" ")
                if word == "begin":
                    block = []
                elif word == "comment":
                    info = parse_comment(rest)[1]
                    self.methods.setdefault(info.get("method", ""), set()).add(str(path))
                elif word == "end":
                    self._blocks.add(_digest(block))
                block.append(line)

    def without(self, structures: Iterable[Structure]) -> Iterator[Structure]:
        """The structures that are not in the file, with the same labels; the others are remembered."""
        for structure in structures:
            if self._blocks:
                block = format_structure(structure, self.decimals).splitlines(keepends=True)
                if _digest(block) in self._blocks:
                    source, _, number = structure.info.get("source", "").rpartition(":")
                    steps = self._repeated.setdefault(source or number or "structures without a source", [])
                    steps.append(int(number) if number.isdecimal() else len(steps) + 1)
                    continue
            yield structure

    def notes(self) -> Iterator[str]:
        """Which structures were left out, because they are there already."""
        for source, numbers in self._repeated.items():
            yield (
                f"left out, as {self.path} has them already: {count(len(numbers), 'structure')} of {source} "
                f"({ranges(numbers)})"
            )


def _digest(block: Iterable[str]) -> bytes:
    """Of the lines of a structure between begin and end but its comment, which may differ."""
    kept = (line for line in block if line.split(maxsplit=1)[:1] not in (["begin"], ["comment"], ["end"]))
    return hashlib.blake2b("".join(kept).encode(), digest_size=16).digest()
