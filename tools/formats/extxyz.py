"""The comment line of extended xyz, where a stress or a virial may have six numbers.

ASE takes any but nine for an error of the whole file.

Reference: ASE manual, "Extended XYZ", `properties_parser`.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from ase.io.extxyz import key_val_str_to_dict

from bnnp.io.atom_lines import parse_number

TENSOR = re.compile(r"(?<![\w-])(stress|virial)(?=\s*=)")
HIDDEN = "_as_it_is"


def parse_comment(text: str) -> dict[str, Any]:
    """Keys and values of a comment line, for ASE's reader.

    Raises
    ------
    ValueError
        A stress or a virial has neither six nor nine numbers; ASE's reasons.
    """
    try:
        found: dict[str, Any] = key_val_str_to_dict(text)
        return found
    except ValueError:
        hidden = key_val_str_to_dict(TENSOR.sub(rf"\1{HIDDEN}", text))
    return {
        key.removesuffix(HIDDEN): _tensor(key, value) if key.endswith(HIDDEN) else value
        for key, value in hidden.items()
    }


def _tensor(key: str, value: Any) -> np.ndarray:
    """Six numbers, or nine as a matrix."""
    if isinstance(value, str):  # Fortran's exponents
        value = [parse_number(word) for word in value.replace(",", " ").split()]
    numbers = np.asarray(value, dtype=np.float64)
    if numbers.shape not in ((6,), (9,)):
        raise ValueError(f"{key.removesuffix(HIDDEN)} has {numbers.size} numbers, expected 6 or 9")
    return numbers if numbers.size == 6 else numbers.reshape(3, 3)
