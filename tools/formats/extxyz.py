"""The comment line of extended xyz as other programs write it, too.

A stress or a virial may have six numbers, where ASE takes any but nine for an error of the whole file; and
`lattice`, `properties` and `PBC` may be written in small or capital letters, where ASE would see a molecule
without a cell. Of a key that is given twice ASE takes the last value, unseen; here it has both, as text. Of a
row with more columns than `Properties` names it drops the last ones, also if one in the middle is too many.

References: ASE manual, "Extended XYZ", `properties_parser`; GPUMD manual, "train.xyz".
"""

from __future__ import annotations

import re
import zlib
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from ase.io.extxyz import key_val_str_to_dict
from vasp.compressed import open_stream

from bnnp.errors import InputError
from bnnp.io.atom_lines import parse_number
from bnnp.messages import count

KEYS = {"lattice": "Lattice", "properties": "Properties", "pbc": "pbc"}  # as ASE wants them
KEY = re.compile(rf"(?<![\w-])({'|'.join(KEYS)})(?=\s*=)", re.IGNORECASE)
TENSOR = re.compile(r"(?<![\w-])(stress|virial)(?=\s*=)")
PAIR = re.compile(r"""(?<!\S)([\w.-]+)\s*=\s*("[^"]*"|'[^']*'|\{[^}]*\}|\[[^\]]*\]|\S+)""")
HIDDEN = "_as_it_is"
PROPERTIES = re.compile(rb"""(?<![\w-])properties\s*=\s*["']?([^\s"']+)""", re.IGNORECASE)


def parse_comment(text: str) -> dict[str, Any]:
    """Keys and values of a comment line, for ASE's reader.

    Raises
    ------
    ValueError
        ASE's reasons.
    """
    text = KEY.sub(lambda match: KEYS[match[1].lower()], text)
    return _values(text) | _repeated(text)


def demand_columns(path: Path) -> None:
    """Raise InputError at the first row with more columns than the `Properties` of its frame."""
    number = 0
    with open_stream(path) as stream, suppress(EOFError, zlib.error):  # of a cut file, which ASE tells
        lines = stream.file
        while (head := lines.readline().strip()).isdigit():
            found = PROPERTIES.search(lines.readline())
            widths = found[1].split(b":")[2::3] if found else []
            width = sum(int(word) for word in widths if word.isdigit())
            number += 2
            for row in islice(lines, int(head)):
                number += 1
                if width and (columns := len(row.split())) > width:
                    raise InputError(
                        f"{path} line {number}: {count(columns, 'column')}, but Properties of this frame "
                        f"names {width}; is a number too many there, or is a column not named?"
                    )


def _repeated(text: str) -> dict[str, str]:
    """All values of the keys that are given with different ones."""
    values: dict[str, dict[str, None]] = {}
    for key, value in PAIR.findall(text):
        values.setdefault(key, {})[value] = None
    return {key: " and ".join(found) for key, found in values.items() if len(found) > 1}


def _values(text: str) -> dict[str, Any]:
    """The value of each key."""
    try:
        found: dict[str, Any] = key_val_str_to_dict(text)
        if "stress" in found and np.shape(found["stress"]) == (3, 3):
            found["stress"] = found["stress"].ravel()  # of a matrix ASE would take six numbers, unseen
        return found
    except ValueError:
        hidden = key_val_str_to_dict(TENSOR.sub(rf"\1{HIDDEN}", text))
    return {
        key.removesuffix(HIDDEN): _tensor(value) if key.endswith(HIDDEN) else value
        for key, value in hidden.items()
    }


def _tensor(value: Any) -> np.ndarray:
    """The numbers, nine as a matrix; NaN for what is none. They are judged where they are used."""
    if isinstance(value, str):
        value = [_number(word) for word in value.replace(",", " ").split()]
    array = np.asarray(value, dtype=np.float64)
    return array.reshape(3, 3) if array.size == 9 else array


def _number(word: str) -> float:
    """A number, also with Fortran's exponent."""
    try:
        return parse_number(word)
    except ValueError:
        return float("nan")
