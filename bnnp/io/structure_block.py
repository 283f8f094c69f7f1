"""One ``begin`` ... ``end`` block of input.data: reading and writing.

Reading is tolerant: lines in any order, blank lines and lines that start with ``#`` anywhere, Fortran
exponents. Writing is strict, so that RuNNer, n2p2 and runnerase read it too: all nine atom columns, the
fewest digits that give the same float64 back, never the word ``begin`` or ``end`` in a comment.

Data for which the format has no keyword stand in the comment line as ``key=value`` pairs: ``comment some text
group=aimd_300K weight=2.0 stress="xx yy zz yz xz xy" source=OUTCAR:17``. ``forces=none`` means that the force
columns hold zeros because no forces were computed, ``forces=1:12,15`` that those of other atoms than these
(from 1) do not count: they are NaN when read, and zeros in the columns; ``energy=none`` that no ``energy``
line is needed; ``dipole="x y z"`` is the dipole moment (e length) and ``born_charges="xx xy xz yx ..."`` the
Born effective charges (e; nine numbers an atom, dP_a / dr_b); ``method=`` is how the labels were calculated
(:mod:`bnnp.io.method`); ``pbc="T T F"`` along which lattice vectors the cell is repeated, all three without
it. RuNNer and n2p2 do not know that and repeat all.

Reference: J. Behler, RuNNer manual, "input.data"; n2p2 documentation, "Configuration file format".
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from bnnp._core import format_atoms
from bnnp.errors import InputError, NumericalError
from bnnp.io.atom_lines import (
    LARGEST,
    NUMBERS,
    AtomLineError,
    AtomTable,
    are_numbers,
    parse_atoms,
    parse_number,
)
from bnnp.io.text import exact
from bnnp.messages import count
from bnnp.structure import PERIODIC, SET_LABELS, Periodicity, Set, Structure

KEYWORDS = ("begin", "comment", "lattice", "atom", "energy", "charge", "end")
MINIMUM_VOLUME = 1e-7  # RuNNer's limit for a singular cell, in cubed units of length of the file
PAIR = re.compile(r'(?:^|(?<=\s))([A-Za-z_][\w.:-]*)=("[^"]*"|\S+)')


@dataclass(frozen=True)
class Location:
    """Position of a block: name of the file, number of the structure from 0, line of ``begin`` from 1."""

    file: str
    index: int
    line: int

    def error(self, row: int, text: str) -> InputError:
        """The error for row `row` (from 0) of the block."""
        return InputError(f"{self.file} line {self.line + row} (structure {self.index + 1}): {text}")


@dataclass
class _Header:
    """Contents of the lines other than ``atom``, while a block is read."""

    subset: Set | None = None
    comments: list[str] = field(default_factory=list)
    comment_rows: list[int] = field(default_factory=list)
    lattice: list[list[float]] = field(default_factory=list)
    energy: float | None = None
    charge: float | None = None

    def row_of(self, key: str) -> int:
        """Row of the comment line that contains `key`, else of the last one."""
        rows = zip(self.comments, self.comment_rows, strict=True)
        return next((row for comment, row in rows if key in comment), self.comment_rows[-1])


def parse_block(
    lines: Sequence[bytes],
    location: Location,
    elements: Collection[str] | None = None,
    require_labels: bool = True,
) -> Structure:
    """Read one block.

    Parameters
    ----------
    lines : sequence of bytes
        From ``begin`` to ``end``, both included.
    location : Location
        For messages, and for `Structure.index` and `Structure.line`.
    elements : collection of str, optional
        Symbols that may occur.
    require_labels : bool
        Refuse a structure without energy or forces.

    Raises
    ------
    InputError
        With file, line and structure, for everything that is not in this format.
    """
    atoms: list[bytes] = []
    rows: list[int] = []
    header = _Header()
    for row, raw in enumerate(lines):
        line = raw.lstrip()
        if line.startswith(b"atom"):
            atoms.append(line)
            rows.append(row)
        elif line and not line.startswith(b"#"):
            _read_line(header, line.decode("utf-8", "replace"), row, location)
    if not atoms:
        raise location.error(0, "the structure has no `atom` line; add its atoms or remove the block")
    try:
        table = parse_atoms(atoms, elements, require_labels)
    except AtomLineError as error:
        raise location.error(rows[error.row], str(error)) from None
    return _assemble(header, table, location, require_labels)


def format_structure(structure: Structure, decimals: int | None = None) -> str:
    """One block of input.data, ``begin`` to ``end``, that reads back as the same float64 numbers.

    Parameters
    ----------
    structure : Structure
    decimals : int, optional
        Write so many decimals of positions and forces instead (1 to 15), in a small part of the time.

    Raises
    ------
    NumericalError
        A number of the structure is not finite, or an element is beyond No.
    """
    _check_writable(structure)
    lines = [f"begin set={structure.subset.label}" if structure.subset else "begin"]
    comment = _format_comment(structure)
    if comment:
        lines.append(f"comment {comment}")
    if structure.cell is not None:
        lines.append(_lattice(structure.cell.tobytes()))
    forces = np.zeros_like(structure.positions) if structure.forces is None else structure.forces
    if "forces" in structure.info:
        forces = np.nan_to_num(forces)
    if decimals is not None and structure.charges is None:
        symbols = _symbols(structure.numbers.tobytes())
        lines.append(format_atoms(symbols, structure.positions, forces, decimals))
    else:
        number = "%24r" if decimals is None else f"%{decimals + 6}.{decimals}f"
        columns = [structure.positions, forces]
        if structure.charges is not None:
            columns.insert(1, structure.charges[:, None])
        template = _atom_template(structure.numbers.tobytes(), number, structure.charges is not None)
        lines.append(template % tuple(np.hstack(columns).ravel().tolist()))
    if structure.energy is not None:
        lines.append(f"energy {float(structure.energy)!r}")
    lines += [f"charge {float(structure.charge)!r}", "end", ""]
    return "\n".join(lines)


@lru_cache(maxsize=16)  # many frames of a trajectory have the same cell
def _lattice(cell: bytes) -> str:
    """The ``lattice`` lines of a cell, (3, 3) float64 in C order."""
    vectors = np.frombuffer(cell).reshape(3, 3).tolist()
    return "\n".join("lattice {!r:>24} {!r:>24} {!r:>24}".format(*vector) for vector in vectors)


@lru_cache(maxsize=16)  # all frames of a trajectory have the same elements
def _symbols(numbers: bytes) -> list[str]:
    """Symbols of int64 atomic numbers."""
    return [chemical_symbols[element] for element in np.frombuffer(numbers, dtype=np.int64)]


@lru_cache(maxsize=16)
def _atom_template(numbers: bytes, number: str, charged: bool) -> str:
    """Printf-format of all ``atom`` lines; `numbers` holds the int64 atomic numbers."""
    vector, charge = " ".join([number] * 3), "%r" if charged else "0.0"
    return "\n".join(f"atom {vector} {symbol:<2} {charge} 0.0 {vector}" for symbol in _symbols(numbers))


def _read_line(header: _Header, line: str, row: int, location: Location) -> None:
    """Store one line that is not an ``atom`` line in `header`."""
    keyword, *tail = line.split(None, 1)
    rest = tail[0] if tail else ""
    if keyword == "comment":
        header.comments.append(rest)
        header.comment_rows.append(row)
    elif keyword == "begin":
        header.subset = _parse_tags(rest, row, location)
    elif keyword == "lattice":
        header.lattice.append(_parse_numbers(keyword, rest, 3, row, location))
    elif keyword in ("energy", "charge"):
        if getattr(header, keyword) is not None:
            raise location.error(row, f"`{keyword}` is given twice in this structure; keep the right line")
        setattr(header, keyword, _parse_numbers(keyword, rest, 1, row, location)[0])
    elif keyword != "end":
        near = get_close_matches(keyword, KEYWORDS, 1)
        advice = f"did you mean `{near[0]}`?" if near else f"expected one of {', '.join(KEYWORDS)}"
        raise location.error(row, f"unknown keyword `{keyword}`; {advice}")


def _parse_tags(rest: str, row: int, location: Location) -> Set | None:
    """The set named on a ``begin`` line."""
    tags = rest.partition("#")[0].split()
    if not tags:
        return None
    name = tags[0].removeprefix("set=")
    if len(tags) > 1 or tags[0] == name or name not in SET_LABELS:
        raise location.error(
            row,
            f"`begin` is followed by `{' '.join(tags)}`; expected nothing, `set=train`, `set=test`, "
            "`set=calibration` or `set=calibration_ood`",
        )
    return Set.labeled(name)


def _parse_numbers(keyword: str, rest: str, size: int, row: int, location: Location) -> list[float]:
    """Exactly `size` finite numbers after `keyword`."""
    words = rest.partition("#")[0].split()
    if len(words) != size:
        expected = "one number" if size == 1 else f"{size} numbers"
        raise location.error(row, f"`{keyword}` has {count(len(words), 'value')} but must have {expected}")
    try:
        numbers = [parse_number(word) for word in words]
    except ValueError as error:
        raise location.error(row, f"`{keyword}`: {error}") from None
    if not are_numbers(np.array(numbers)):
        raise location.error(
            row,
            f"`{keyword}` is {rest.strip()}, expected finite numbers below {LARGEST:g}; the calculation "
            "behind this structure failed: repeat it or remove the structure",
        )
    return numbers


def _assemble(header: _Header, table: AtomTable, location: Location, require_labels: bool) -> Structure:
    """The structure from its atoms and header, with the checks that need both."""
    comment, info = parse_comment(" ".join(header.comments))
    try:
        forces = _counting(table.forces, info)
    except ValueError as error:
        raise location.error(header.row_of("forces="), f"comment: {error}") from None
    left_out = info.get("energy", "").lower() == "none"
    if left_out and header.energy is not None:
        raise location.error(
            header.row_of("energy="), "comment: energy=none, but there is an `energy` line; remove one"
        )
    no_energy = header.energy is None and not left_out
    if require_labels and (no_energy or forces is None):
        missing = "`energy` line" if no_energy else "forces (its comment says forces=none)"
        raise location.error(
            0,
            f"the structure has no {missing}, and structures for fitting need energy and forces; "
            "add it, remove the structure, or use the structure in mode 3 only",
        )
    cell = _check_cell(header.lattice, table.positions, location)
    pbc_text = info.pop("pbc", None)
    try:
        pbc = PERIODIC if pbc_text is None else _parse_pbc(pbc_text, cell)
    except ValueError as error:
        raise location.error(header.row_of("pbc="), f"comment: {error}") from None
    if not any(pbc):
        cell, pbc = None, PERIODIC
    moments = {}
    for name, shape in (("dipole", (3,)), ("born_charges", (len(table.positions), 3, 3))):
        try:
            moments[name] = _parse_numbers_of(name, info.pop(name, None), shape)
        except ValueError as error:
            raise location.error(header.row_of(f"{name}="), f"comment: {error}") from None
    stress_text = info.pop("stress", None)
    try:
        _check_weight(info.get("weight", "1"))
    except ValueError as error:
        raise location.error(header.row_of("weight="), f"comment: {error}") from None
    try:
        stress = None if stress_text is None else _parse_stress(stress_text, cell)
    except ValueError as error:
        raise location.error(header.row_of("stress="), f"comment: {error}") from None
    return Structure(
        numbers=table.numbers,
        positions=table.positions,
        cell=cell,
        pbc=pbc,
        energy=header.energy,
        forces=forces,
        stress=stress,
        charge=header.charge or 0.0,
        charges=table.charges,
        **moments,
        comment=comment,
        info=info,
        subset=header.subset,
        index=location.index,
        line=location.line,
    )


def _counting(forces: NDArray[np.float64] | None, info: dict[str, str]) -> NDArray[np.float64] | None:
    """The forces with NaN where ``forces=`` of the comment leaves them out; `info` loses ``forces=none``.

    Raises ValueError if it names no atoms of the structure.
    """
    if "forces" not in info or forces is None:
        return forces
    if info["forces"] == "none":
        del info["forces"]
        return None
    found = np.full_like(forces, np.nan)
    known = parse_ranges(info["forces"], len(forces))
    found[known] = forces[known]
    return found


def format_ranges(indices: NDArray[np.integer]) -> str:
    """Ascending indices from 0 as text that counts from 1.

    >>> format_ranges(np.array([0, 1, 2, 5]))
    '1:3,6'
    """
    runs: list[list[int]] = []
    for number in (indices + 1).tolist():
        if runs and number == runs[-1][-1] + 1:
            runs[-1] = [runs[-1][0], number]
        else:
            runs.append([number])
    return ",".join(":".join(map(str, run)) for run in runs)


def parse_ranges(text: str, size: int) -> NDArray[np.int64]:
    """Indices from 0 of the text of :func:`format_ranges`. Raises ValueError unless they are below `size`."""
    ends = [part.split(":") for part in text.split(",")]
    if all(len(pair) < 3 and all(word.isdecimal() for word in pair) for pair in ends):
        pairs = [(int(pair[0]) - 1, int(pair[-1])) for pair in ends]
        if all(0 <= first < last <= size for first, last in pairs):
            return np.unique(np.concatenate([np.arange(*pair) for pair in pairs]))
    raise ValueError(
        f"forces={text}: expected `none`, or the atoms whose forces count, such as 1:3,6, of {size}"
    )


def parse_comment(text: str) -> tuple[str, dict[str, str]]:
    """Split a comment line into free text and its key=value pairs.

    >>> parse_comment('from a melt  group=liquid stress="1 2 3 0 0 0"')
    ('from a melt', {'group': 'liquid', 'stress': '1 2 3 0 0 0'})
    """
    pairs = {key: value.strip('"') for key, value in PAIR.findall(text)}
    return " ".join(PAIR.sub("", text).split()), pairs


def _parse_pbc(text: str, cell: NDArray[np.float64] | None) -> Periodicity:
    """The three letters of ``pbc="T T F"``."""
    letters = text.replace(" ", "").upper()
    if len(letters) != 3 or not set(letters) <= {"T", "F"}:
        raise ValueError(
            f'pbc="{text}" must be three letters T or F, one for each lattice vector: pbc="T T F"'
        )
    if "T" in letters and cell is None:
        raise ValueError(f'pbc="{text}" is given but no `lattice`; add the three lattice vectors')
    return letters[0] == "T", letters[1] == "T", letters[2] == "T"


def _check_weight(text: str) -> None:
    """Raise ValueError if `text` is not a valid weight of a structure."""
    if not 0 <= parse_number(text) <= LARGEST:
        raise ValueError(f"weight={text} must be zero or positive, and below {LARGEST:g}")


def _parse_numbers_of(name: str, text: str | None, shape: tuple[int, ...]) -> NDArray[np.float64] | None:
    """The numbers of ``dipole=`` or ``born_charges=``, in this shape; None without the key."""
    if text is None:
        return None
    values = np.array([parse_number(word) for word in text.split()])
    if values.size != np.prod(shape) or not are_numbers(values):
        shown = text if len(text) < 60 else f"{text[:60]}..."
        size = count(int(np.prod(shape)), "finite number")
        raise ValueError(f'{name}="{shown}" has {count(values.size, "value")}, expected {size}')
    return values.reshape(shape)


def _parse_stress(text: str, cell: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """The six numbers of ``stress="xx yy zz yz xz xy"``."""
    values = np.array([parse_number(word) for word in text.split()])
    if values.shape != (6,) or not are_numbers(values):
        raise ValueError(f'stress="{text}" must be six finite numbers: xx yy zz yz xz xy')
    if cell is None:
        raise ValueError("a stress is given but no `lattice`; a free molecule has no stress: remove it")
    return values


def _check_cell(
    lattice: list[list[float]], positions: NDArray[np.float64], location: Location
) -> NDArray[np.float64] | None:
    """The cell, (3, 3), or None for a free molecule."""
    if not lattice:
        return None
    if len(lattice) != 3:
        raise location.error(
            0,
            f"the structure has {len(lattice)} `lattice` lines; expected 3, or none for a free molecule",
        )
    cell = np.array(lattice)
    volume = abs(np.linalg.det(cell))
    if volume < MINIMUM_VOLUME:
        raise location.error(
            0,
            f"the volume of the cell is {volume:.3g}, so the lattice vectors lie in one plane; "
            "correct the `lattice` lines, or remove them if this is a free molecule",
        )
    inside = positions.min() >= 0.0 and positions.max() <= 1.0
    if inside and len(positions) > 3 and np.linalg.norm(cell, axis=1).min() > 3.0:
        raise location.error(
            0,
            "all coordinates lie between 0 and 1 while the cell is larger: they look like fractional "
            "coordinates; input.data holds Cartesian ones",
        )
    return cell


def _format_comment(structure: Structure) -> str:
    """The comment line without its keyword: free text, then key=value pairs."""
    pairs = dict(structure.info)
    if structure.stress is not None:
        pairs["stress"] = exact(structure.stress.tolist())
    for name, values in (("dipole", structure.dipole), ("born_charges", structure.born_charges)):
        if values is not None:
            pairs[name] = exact(values.ravel().tolist())
    if structure.forces is None:
        pairs["forces"] = "none"
    if structure.cell is not None and not all(structure.pbc):
        pairs["pbc"] = " ".join("FT"[along] for along in structure.pbc)
    texts = [
        _format_text(structure.comment),
        *(_format_pair(key, str(value)) for key, value in pairs.items()),
    ]
    return " ".join(filter(None, texts))


@lru_cache(maxsize=256)  # the structures of a run have most of them in common
def _format_pair(key: str, value: str) -> str:
    """A key=value pair as it is written."""
    plain = " ".join(value.replace('"', "'").split())
    return _format_text(f"{key}={plain}" if plain and " " not in plain else f'{key}="{plain}"')


def _format_text(text: str) -> str:
    """A text in one line, without the words that other programs take for the borders of a structure."""
    text = " ".join(text.split())
    lowered = text.lower()
    if "begin" not in lowered and "end" not in lowered:
        return text
    text = re.sub("begin(?:n(?=ing))?", "start", text, flags=re.IGNORECASE)
    return re.sub(r"\bend\b", "stop", text, flags=re.IGNORECASE)


def _check_writable(structure: Structure) -> None:
    """Raise NumericalError for contents that no program could read back."""
    moments = "charge", "charges", "dipole", "born_charges"
    for name in ("positions", "cell", "energy", "forces", "stress", *moments):
        value = getattr(structure, name)
        if name == "forces" and value is not None and "forces" in structure.info:
            value = value[parse_ranges(structure.info["forces"], len(value))]
        if value is not None and not (
            are_numbers(value) if isinstance(value, np.ndarray) else abs(value) <= LARGEST
        ):
            raise NumericalError(
                f"{structure.where}: {name} is not finite (or above {LARGEST:g}) and cannot be written to "
                "input.data"
            )
    numbers = structure.numbers
    if len(numbers) == 0 or numbers.min() < 1 or numbers.max() > len(NUMBERS):
        beyond = numbers[(numbers < 1) | (numbers > len(NUMBERS))]
        what = (
            f"element {chemical_symbols[beyond[0]]} (H to No can)" if len(beyond) else "a block without atoms"
        )
        raise NumericalError(f"{structure.where}: {what} cannot be written to input.data")
