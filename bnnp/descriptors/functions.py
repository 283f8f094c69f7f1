"""Symmetry functions as input.nn defines them: parameters, grammar, order.

Types 1, 2, 3, 4, 8, 9 are RuNNer's, 12, 13 and 20 - 25 n2p2's; the formulas are in
:mod:`bnnp.descriptors.formulas`. What follows ``symfunction_short X`` (X the central element)::

     1  e1            rc                            radial, cosine cutoff alone
     2  e1            eta rs rc                     radial
     3  e1 e2         eta lambda zeta rc [rs]       angular, with r_jk ("narrow")
     4  e1            eta rc                        radial, cos(eta r)
     8  e1 e2         eta rs rc                     angular, Gaussians of the angle (rs in degrees)
     9  e1 e2         eta lambda zeta rc [rs]       angular, without r_jk ("wide")
    12                eta rs rc                     as 2, all neighbors weighted by atomic number
    13                eta rs lambda zeta rc         as 3, all neighbors weighted by atomic number
    20  e1            rl rc subtype                 compact radial
    21  e1 e2         rl rc left right subtype      compact angular, with r_jk (angles in degrees)
    22  e1 e2         rl rc left right subtype      compact angular, without r_jk
    23                rl rc subtype                 as 20, weighted
    24                rl rc left right subtype      as 21, weighted
    25                rl rc left right subtype      as 22, weighted

The functions of an element are kept in n2p2's order, which for the functions both codes know
is RuNNer's too: scaling.data and the input weights of a network depend on it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations_with_replacement
from typing import Any

from ase.data import atomic_numbers

from bnnp.descriptors.cutoffs import Cutoff
from bnnp.messages import count

ANGULAR = frozenset({3, 8, 9, 13, 21, 22, 24, 25})
WEIGHTED = frozenset({12, 13, 23, 24, 25})
COMPACT = frozenset({20, 21, 22, 23, 24, 25})
SUBTYPES = ("p1", "p2", "p3", "p4", "p1a", "p2a", "p3a", "p4a", "e")

_EXPONENTIAL_ANGULAR = ("eta", "lambda_", "zeta", "r_c")
_COMPACT_ANGULAR = ("r_l", "r_c", "angle_left", "angle_right", "subtype")
PARAMETERS: dict[int, tuple[str, ...]] = {
    1: ("r_c",),
    2: ("eta", "r_s", "r_c"),
    3: _EXPONENTIAL_ANGULAR,
    4: ("eta", "r_c"),
    8: ("eta", "r_s", "r_c"),
    9: _EXPONENTIAL_ANGULAR,
    12: ("eta", "r_s", "r_c"),
    13: ("eta", "r_s", "lambda_", "zeta", "r_c"),
    20: ("r_l", "r_c", "subtype"),
    21: _COMPACT_ANGULAR,
    22: _COMPACT_ANGULAR,
    23: ("r_l", "r_c", "subtype"),
    24: _COMPACT_ANGULAR,
    25: _COMPACT_ANGULAR,
}
ETA_POWER = {4: 1, 8: 0}  # eta has the unit length^-n, of most types with n = 2
N2P2_TYPES = frozenset(PARAMETERS) - {4, 8}  # type 1 as type 2 with eta = 0
OPTIONAL: dict[int, tuple[str, ...]] = {3: ("r_s",), 9: ("r_s",)}


@dataclass(frozen=True)
class SymmetryFunction:
    """One symmetry function of one central element.

    Parameters
    ----------
    element : str
        Central element.
    type : int
        1, 2, 3, 4, 8, 9, 12, 13 or 20 - 25.
    neighbors : tuple of str
        Neighbor elements: none for the weighted types, one for radial, two for angular functions, which
        are put in the order of their atomic numbers.
    r_c : float, length
        Cutoff radius.
    eta : float, 1/length^2 (type 4: 1/length, type 8: 1/degree^2)
    r_s : float, length (type 8: degrees)
    lambda_, zeta : float
    r_l : float, length
        Inner radius of the compact types, may be negative.
    angle_left, angle_right : float, degrees
    subtype : str
        Polynomial (``p1`` ... ``p4``, with ``a`` asymmetric) or exponential (``e``) of the compact types.
    line : int
        Line of input.nn, 0 if there is none; not compared.

    Raises
    ------
    ValueError
        An unknown type or element, or a parameter out of its range; the message names it.
    """

    element: str
    type: int
    neighbors: tuple[str, ...]
    r_c: float
    eta: float = 0.0
    r_s: float = 0.0
    lambda_: float = 0.0
    zeta: float = 0.0
    r_l: float = 0.0
    angle_left: float = 0.0
    angle_right: float = 0.0
    subtype: str = ""
    line: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        _check_type(self.type)
        _check_elements(self)
        _check_parameters(self)
        if self.type in COMPACT:
            _check_compact(self)
        object.__setattr__(self, "neighbors", tuple(sorted(self.neighbors, key=atomic_numbers.__getitem__)))

    @property
    def is_angular(self) -> bool:
        """Whether the function is a sum over triples."""
        return self.type in ANGULAR

    @property
    def is_weighted(self) -> bool:
        """Whether all elements contribute, weighted by their atomic numbers."""
        return self.type in WEIGHTED

    @property
    def sort_key(self) -> tuple[Any, ...]:
        """Key that puts the functions of one element in n2p2's order."""
        elements = tuple(atomic_numbers[element] for element in self.neighbors)
        if self.type in COMPACT:
            radii_angles = (self.r_c, self.r_l, self.angle_left, self.angle_right)
            return (self.type, self.subtype, elements, *radii_angles)
        return (self.type, self.r_c, self.eta, self.r_s, self.zeta, self.lambda_, elements)

    def in_units(self, length: float) -> SymmetryFunction:
        """The same function with lengths in another unit, of which the present one has `length`."""
        radius = 1.0 if self.type == 8 else length  # r_s of type 8 is an angle
        return replace(
            self,
            r_c=self.r_c * length,
            r_s=self.r_s * radius,
            r_l=self.r_l * length,
            eta=self.eta / length ** ETA_POWER.get(self.type, 2),
        )

    def definition(self) -> str:
        """What follows ``symfunction_short``, with numbers that are read back unchanged."""
        names = PARAMETERS[self.type]
        names += tuple(name for name in OPTIONAL.get(self.type, ()) if getattr(self, name) != 0.0)
        parameters = [_format(getattr(self, name)) for name in names]
        return " ".join([self.element, str(self.type), *self.neighbors, *parameters])


def sort_functions(functions: Iterable[SymmetryFunction]) -> tuple[SymmetryFunction, ...]:
    """Functions of ONE central element in n2p2's order."""
    return tuple(sorted(functions, key=lambda function: function.sort_key))


def fingerprint(functions: Mapping[str, Sequence[SymmetryFunction]], cutoff: Cutoff, units: str) -> str:
    """SHA-256 over everything the values of the functions depend on.

    Parameters
    ----------
    functions : mapping of str to sequence of SymmetryFunction
        Elements by atomic number, functions in n2p2's order.
    cutoff : Cutoff
    units : str
        Name of the unit system.
    """
    parts = [units, *functions, f"cutoff {cutoff.type} {float(cutoff.alpha)!r}"]
    parts += [function.definition() for several in functions.values() for function in several]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def parse_function(words: Sequence[str]) -> SymmetryFunction:
    """Read the words after ``symfunction_short``, for example ``Ge 3 Ge Te 0.005 1 4 6.5``.

    Raises
    ------
    ValueError
        The line is no symmetry function; the message says why, without file and line.
    """
    element, type_, n_neighbors = _head(words)
    _check_count(type_, len(words) - 2, _usage(type_))
    return _build(element, type_, words[2 : 2 + n_neighbors], words[2 + n_neighbors :])


def expand_element(words: Sequence[str], elements: Iterable[str]) -> tuple[SymmetryFunction, ...]:
    """Read the words after ``element_symfunction_short``, for example ``Ge 3 0.005 1 4 6.5``.

    Returns one function per neighbor element, or unordered pair of neighbor elements, of `elements`.
    """
    element, type_, n_neighbors = _head(words)
    _check_count(type_, n_neighbors + len(words) - 2, _usage(type_, neighbors=False))
    choices = combinations_with_replacement(sorted(elements, key=_atomic_number), n_neighbors)
    return tuple(_build(element, type_, neighbors, words[2:]) for neighbors in choices)


def expand_global(words: Sequence[str], elements: Iterable[str]) -> tuple[SymmetryFunction, ...]:
    """Read the words after ``global_symfunction_short``, for example ``3 0.005 1 4 6.5``.

    Returns the functions of :func:`expand_element` for each central element of `elements`.
    """
    ordered = sorted(elements, key=_atomic_number)
    return tuple(function for element in ordered for function in expand_element([element, *words], ordered))


def _head(words: Sequence[str]) -> tuple[str, int, int]:
    """Central element, type of the function and its number of neighbor elements."""
    if len(words) < 2:
        raise ValueError("expected the central element, the type of the symmetry function and its parameters")
    type_ = _integer(words[1])
    return words[0], type_, _n_neighbors(type_)


def _build(element: str, type_: int, neighbors: Sequence[str], values: Sequence[str]) -> SymmetryFunction:
    names = PARAMETERS[type_] + OPTIONAL.get(type_, ())
    given: dict[str, Any] = {}
    for name, word in zip(names, values, strict=False):
        given[name] = word if name == "subtype" else _number(name, word)
    return SymmetryFunction(element, type_, tuple(neighbors), **given)


def _n_neighbors(type_: int) -> int:
    _check_type(type_)
    return 0 if type_ in WEIGHTED else 2 if type_ in ANGULAR else 1


def _usage(type_: int, neighbors: bool = True) -> str:
    """Grammar of a type for messages: ``3 e1 e2 eta lambda zeta rc [rs]``."""
    elements = ["e1", "e2"][: _n_neighbors(type_)] if neighbors else []
    optional = [f"[{_name(name)}]" for name in OPTIONAL.get(type_, ())]
    return " ".join([str(type_), *elements, *map(_name, PARAMETERS[type_]), *optional])


def _name(parameter: str) -> str:
    """Name of a parameter in the manuals of RuNNer and n2p2."""
    return parameter.replace("angle_", "angle-").replace("_", "")


def _format(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


def _integer(word: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise ValueError(f"type of the symmetry function is `{word}` but must be an integer") from None


def _number(name: str, word: str) -> float:
    try:
        return float(word.lower().replace("d", "e"))  # Fortran writes 1.0d0
    except ValueError:
        raise ValueError(f"parameter {_name(name)} is `{word}` but must be a number") from None


def _atomic_number(element: str) -> int:
    number = atomic_numbers.get(element, 0)
    if not 1 <= number <= 102:
        raise ValueError(f"`{element}` is not an element symbol (H to No)")
    return number


def _check_count(type_: int, count: int, usage: str) -> None:
    least = _n_neighbors(type_) + len(PARAMETERS[type_])
    most = least + len(OPTIONAL.get(type_, ()))
    if not least <= count <= most:
        raise ValueError(
            f"symmetry function of type {type_} has {'too few' if count < least else 'too many'} words; "
            f"expected after the central element: {usage}"
        )


def _check_type(type_: int) -> None:
    if type_ not in PARAMETERS:
        fault = "only serves to debug RuNNer" if type_ in (5, 6) else "does not exist"
        known = ", ".join(map(str, PARAMETERS))
        raise ValueError(f"symmetry function type {type_} {fault}; expected one of {known}")


def _check_elements(function: SymmetryFunction) -> None:
    for element in (function.element, *function.neighbors):
        _atomic_number(element)
    expected = _n_neighbors(function.type)
    if len(function.neighbors) != expected:
        raise ValueError(
            f"symmetry function of type {function.type} has "
            f"{count(len(function.neighbors), 'neighbor element')} but needs {expected}"
        )


def _check_parameters(function: SymmetryFunction) -> None:
    names = PARAMETERS[function.type] + OPTIONAL.get(function.type, ())
    for name in names:
        value = getattr(function, name)
        if name != "subtype" and not math.isfinite(value):
            raise ValueError(f"parameter {_name(name)} is {value} but must be finite")
    if function.r_c <= 0.0:
        raise ValueError(f"cutoff radius rc is {function.r_c} but must be positive")
    if function.eta < 0.0:
        raise ValueError(
            f"eta is {function.eta} but must not be negative (the function would grow with distance)"
        )
    if "zeta" in names and function.zeta == 0.0:
        raise ValueError("zeta is 0 but must be positive (the function would not depend on the angle)")


def _check_compact(function: SymmetryFunction) -> None:
    if function.subtype not in SUBTYPES:
        raise ValueError(f"subtype is `{function.subtype}` but must be one of {', '.join(SUBTYPES)}")
    if function.r_l >= function.r_c:
        raise ValueError(f"inner radius rl is {function.r_l} but must be below rc = {function.r_c}")
    if function.type not in ANGULAR:
        return
    left, right = function.angle_left, function.angle_right
    center = 0.5 * (left + right)
    if left >= right:
        raise ValueError(f"left angle is {left} but must be below the right angle {right}")
    if left < 0.0 and center != 0.0:
        raise ValueError(f"left angle is {left}: it may be negative only if the centre is at 0 degrees")
    if right > 180.0 and center != 180.0:
        raise ValueError(f"right angle is {right}: it may exceed 180 only if the centre is at 180 degrees")
