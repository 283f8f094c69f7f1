"""Settings: everything input.nn says, typed, checked and with its origin.

One record per keyword (:mod:`bnnp.keywords`) gives its type, default and meaning; this module puts them together to what a
mode works with. Elements are sorted by atomic number, the symmetry functions of each element in n2p2's order: nothing
depends on the order of lines.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import ase.units
from ase.data import atomic_numbers

from bnnp.descriptors.cutoffs import Cutoff
from bnnp.descriptors.functions import (
    SymmetryFunction,
    expand_element,
    expand_global,
    parse_function,
    sort_functions,
)
from bnnp.descriptors.scaling import ScalingScheme
from bnnp.dialects import atom_energies, choose_optimizer, dialect, element_architectures
from bnnp.entries import Entries, mistake
from bnnp.errors import InputError
from bnnp.keywords import KEYWORDS, Keyword
from bnnp.network.architecture import Architecture
from bnnp.units import UNITS, Units

__all__ = ["Architecture", "Normalization", "Settings", "load_settings"]

HIGHEST_NUMBER = 102  # H to No, as in RuNNer and n2p2
DEFAULT = "default"


@dataclass(frozen=True)
class Normalization:
    """n2p2's normalization, E* = (E - N mean_energy) conv_energy, r* = r conv_length; the default is none."""

    mean_energy: float = 0.0
    conv_energy: float = 1.0
    conv_length: float = 1.0


@dataclass(frozen=True)
class Settings:
    """What is in force in one run.

    Parameters
    ----------
    mode : int
        1, 2 or 3; 0 where only a check is asked for and no mode is named.
    units : Units
        Of every number in every file.
    elements : tuple of str
        Sorted by atomic number.
    functions : mapping of element to tuple of SymmetryFunction
        In n2p2's order, which is that of scaling.data and of the network inputs.
    cutoff : Cutoff
    atom_energies : mapping of element to float, energy
        Free-atom energies in effect, 0 otherwise.
    normalization : Normalization
        Of the network output in an n2p2-normalized potential.
    scaling : ScalingScheme
    architecture : mapping of element to Architecture
        Empty if mode 1 was given no network.
    normalize_nodes : bool
    dialect : str
        ``RuNNer`` or ``n2p2``: whose rules the file follows where they disagree.
    values : mapping of str to object
        Every other keyword by its canonical name, typed, defaults filled in, in the units of the file.
    origins : mapping of str to str
        Where each value comes from: ``input.nn line 12``, ``default``, ``--mode``.
    warnings : tuple of str
        To be shown once, at the start of the log.
    ignored : tuple of str
        Keywords of the file that have no effect.
    missing : mapping of int to tuple of str
        For each mode the keywords it would still need.
    """

    mode: int
    units: Units
    elements: tuple[str, ...]
    functions: Mapping[str, tuple[SymmetryFunction, ...]]
    cutoff: Cutoff
    atom_energies: Mapping[str, float]
    normalization: Normalization
    scaling: ScalingScheme
    architecture: Mapping[str, Architecture]
    normalize_nodes: bool
    dialect: str
    values: Mapping[str, Any]
    origins: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    missing: Mapping[int, tuple[str, ...]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        """Value of a keyword by its canonical name."""
        return self.values[name]

    def given(self, name: str) -> bool:
        """Whether the keyword stands in the file."""
        return self.origins.get(name, DEFAULT).partition(" (")[0] != DEFAULT

    @property
    def largest_cutoff(self) -> float:
        """Longest cutoff radius of all symmetry functions, length."""
        return max(function.r_c for functions in self.functions.values() for function in functions)

    def fingerprint(self) -> str:
        """SHA-256 over all that symmetry_functions.h5 depends on: elements, functions, cutoff function, units."""
        parts = [self.units.name, *self.elements, f"cutoff {self.cutoff.type} {float(self.cutoff.alpha)!r}"]
        parts += [function.definition() for element in self.elements for function in self.functions[element]]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def load_settings(
    path: str | Path = "input.nn", mode: int | None = None, *, mode_required: bool = True
) -> Settings:
    """Read and check input.nn.

    Parameters
    ----------
    path : str or Path
        The file.
    mode : int or None
        The option ``--mode``, which wins over ``runner_mode``.
    mode_required : bool
        False: a file that names no mode is accepted, and no mode's mandatory keywords are demanded (``bnnp --check``).

    Raises
    ------
    InputError
        Any mistake in the file, with its line.
    """
    entries = Entries(path)
    warnings: list[str] = []
    values, origins = _plain_values(entries)
    values["runner_mode"], origins["runner_mode"] = _mode(entries, mode, mode_required)
    _demand(entries, values["runner_mode"])
    elements = _elements(entries)
    optimizer = choose_optimizer(entries, warnings)
    values |= optimizer.values
    origins |= optimizer.origins
    architecture = _architecture(entries, elements, warnings)
    values["dropout_rate"] = _dropout_rate(entries, architecture)
    if values["calculate_stress"] or (dialect(entries) == "n2p2" and not entries.given("calculate_forces")):
        source = "input.nn: calculate_stress" if values["calculate_stress"] else f"{DEFAULT} (n2p2 input)"
        values["calculate_forces"], origins["calculate_forces"] = True, source
    ignored = (*(name for name in entries.names() if KEYWORDS[name].tier == "O"), *optimizer.idle)
    settings = Settings(
        mode=values["runner_mode"],
        units=UNITS[values["units"]],
        elements=elements,
        functions=_functions(entries, elements),
        cutoff=_cutoff(entries),
        atom_energies=atom_energies(entries, elements, warnings),
        normalization=_normalization(entries),
        scaling=_scaling(entries, warnings),
        architecture=architecture,
        normalize_nodes=values["normalize_nodes"],
        dialect=dialect(entries),
        values=values,
        origins=origins,
        ignored=ignored,
        missing={number: tuple(keyword.name for keyword in entries.missing(number)) for number in (1, 2, 3)},
    )
    return replace(settings, warnings=(*warnings, *_further_warnings(settings)))


def _plain_values(entries: Entries) -> tuple[dict[str, Any], dict[str, str]]:
    """Values and origins of all keywords that occur once, defaults in the units of the file."""
    units = UNITS[entries.value("units")]
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for name, keyword in KEYWORDS.items():
        if keyword.tier in "OX":
            continue
        origins[name] = entries.where(name) if entries.given(name) else DEFAULT
        if not keyword.repeatable:
            values[name] = entries.value(name) if entries.given(name) else _default(keyword, units)
    return values, origins


def _default(keyword: Keyword, units: Units) -> Any:
    """Default of a keyword, converted from atomic units."""
    if keyword.default is None or not keyword.unit or units.name == "atomic":
        return keyword.default
    length, energy = ase.units.Bohr / units.angstrom, ase.units.Hartree / units.ev
    factors = {"length": length, "energy": energy, "energy/atom": energy, "force": energy / length}
    return keyword.default * factors[keyword.unit]


def _mode(entries: Entries, mode: int | None, required: bool) -> tuple[int, str]:
    if mode is not None:
        if mode not in (1, 2, 3):
            raise InputError(f"--mode is {mode} but must be 1, 2 or 3")
        return mode, "--mode"
    if entries.given("runner_mode"):
        return entries.value("runner_mode"), entries.where("runner_mode")
    if required:
        raise InputError(
            f"{entries.file}: no mode is given. Run `bnnp --mode 1` (symmetry functions), 2 (training) or 3 (prediction), "
            "or write `runner_mode 1` into the file."
        )
    return 0, DEFAULT


def _demand(entries: Entries, mode: int) -> None:
    """Stop if a mandatory keyword is missing; those of all modes are demanded always."""
    missing = entries.missing(mode) if mode else [k for k in entries.missing(1) if k.required == "123"]
    if missing:
        lines = [f"    {keyword.usage:<40} {keyword.help}" for keyword in missing]
        purpose = f"mode {mode} needs" if mode else "every mode needs"
        raise InputError("\n".join([f"{entries.file}: mandatory keywords are missing; {purpose}", *lines]))


def _elements(entries: Entries) -> tuple[str, ...]:
    symbols: tuple[str, ...] = entries.value("elements")
    for symbol in symbols:
        if not 1 <= atomic_numbers.get(symbol, 0) <= HIGHEST_NUMBER:
            raise entries.mistake("elements", f"`{symbol}` is not an element symbol (H to No)")
    if len(set(symbols)) != len(symbols):
        raise entries.mistake("elements", "names an element twice")
    if len(symbols) != entries.value("number_of_elements"):
        number = entries.value("number_of_elements")
        line = entries.of("number_of_elements")[0].line
        raise entries.mistake(
            "elements", f"names {len(symbols)} elements, but number_of_elements in line {line} is {number}"
        )
    return tuple(sorted(symbols, key=atomic_numbers.__getitem__))


def _functions(entries: Entries, elements: tuple[str, ...]) -> dict[str, tuple[SymmetryFunction, ...]]:
    """Symmetry functions of each element, expanded, sorted, no two alike."""
    readers = {
        "symfunction_short": lambda words: (parse_function(words),),
        "element_symfunction_short": lambda words: expand_element(words, elements),
        "global_symfunction_short": lambda words: expand_global(words, elements),
    }
    found: dict[str, dict[SymmetryFunction, SymmetryFunction]] = {element: {} for element in elements}
    for keyword, read in readers.items():
        for entry in entries.of(keyword):
            try:
                functions = read(entry.words)
            except ValueError as error:
                raise mistake(entry, f"is wrong: {error}") from error
            for function in functions:
                for symbol in (function.element, *function.neighbors):
                    if symbol not in elements:
                        raise mistake(entry, f"names {symbol}, but the elements are {' '.join(elements)}")
                if (former := found[function.element].get(function)) is not None:
                    raise mistake(
                        entry, f"defines `{function.definition()}`, which line {former.line} has already"
                    )
                found[function.element][function] = replace(function, line=entry.line)
    for element in elements:
        if not found[element]:
            advice = f"Add symfunction_short lines for it, such as `symfunction_short {element} 2 {element} 0.01 0.0 12.0`."
            raise InputError(f"{entries.file}: element {element} has no symmetry function. {advice}")
    return {element: sort_functions(found[element].values()) for element in elements}


def _cutoff(entries: Entries) -> Cutoff:
    number, inline = entries.value("cutoff_type")
    alpha = entries.value("cutoff_alpha")
    if inline is not None and entries.given("cutoff_alpha") and inline != alpha:
        where = entries.of("cutoff_type")[0].line
        raise entries.mistake(
            "cutoff_alpha", f"is {alpha}, but cutoff_type in line {where} says {inline}; remove one"
        )
    try:
        return Cutoff(number, alpha if inline is None else inline)
    except ValueError as error:
        source = "cutoff_type" if entries.given("cutoff_type") else "cutoff_alpha"
        raise entries.mistake(source, str(error)) from error


def _normalization(entries: Entries) -> Normalization:
    names = ("mean_energy", "conv_energy", "conv_length")
    given = [name for name in names if entries.given(name)]
    if given and len(given) < len(names):
        missing = " and ".join(name for name in names if name not in given)
        raise entries.mistake(
            given[0], f"needs {missing}, too: the normalization takes all three keywords or none"
        )
    return Normalization(*(entries.value(name) for name in names))


def _scaling(entries: Entries, warnings: list[str]) -> ScalingScheme:
    scale = entries.given("scale_symmetry_functions")
    center = entries.given("center_symmetry_functions")
    sigma = entries.given("scale_symmetry_functions_sigma")
    if sigma and scale:
        line = entries.where("scale_symmetry_functions_sigma")
        warnings.append(f"{line}: has no effect beside scale_symmetry_functions, which n2p2 prefers")
    elif sigma and center:
        raise entries.mistake(
            "center_symmetry_functions", "is part of scale_symmetry_functions_sigma; remove one of the two"
        )
    kind = (
        "both"
        if scale and center
        else "scale"
        if scale
        else "center"
        if center
        else "sigma"
        if sigma
        else "none"
    )
    try:
        return ScalingScheme(
            kind, entries.value("scale_min_short_atomic"), entries.value("scale_max_short_atomic")
        )
    except ValueError as error:
        names = ("scale_min_short_atomic", "scale_max_short_atomic")
        raise entries.mistake(next(name for name in names if entries.given(name)), str(error)) from error


def _architecture(
    entries: Entries, elements: tuple[str, ...], warnings: list[str]
) -> dict[str, Architecture]:
    """Network of each element; none if the file (of mode 1) does not describe it."""
    if not entries.given("global_nodes_short") or not entries.given("global_activation_short"):
        return {}
    nodes, letters = entries.value("global_nodes_short"), entries.value("global_activation_short")
    layers = entries.value("global_hidden_layers_short") or len(nodes)
    if len(nodes) != layers:
        raise entries.mistake("global_nodes_short", f"has {len(nodes)} numbers for {layers} hidden layers")
    if len(letters) != layers + 1:
        text = f"has {len(letters)} letters, expected {layers + 1}: one for each hidden layer and one for the output"
        raise entries.mistake("global_activation_short", text)
    try:
        common = Architecture(tuple(nodes), tuple(letters))
    except ValueError as error:
        raise entries.mistake("global_activation_short", f"is wrong: {error}") from error
    return element_architectures(entries, elements, common, warnings)


def _dropout_rate(entries: Entries, architecture: Mapping[str, Architecture]) -> tuple[float, ...]:
    """Drop probability of every hidden layer, one number repeated; checked against mistaking it for a keep probability."""
    rates: tuple[float, ...] = entries.value("dropout_rate")
    layers = max((len(network.nodes) for network in architecture.values()), default=len(rates))
    if len(rates) not in (1, layers):
        raise entries.mistake(
            "dropout_rate", f"has {len(rates)} numbers for {layers} hidden layers; give one, or one a layer"
        )
    for name, highest in (
        ("dropout_rate", max(rates)),
        ("dropout_rate_input", entries.value("dropout_rate_input")),
    ):
        if highest >= 0.5 and not entries.given("allow_high_dropout"):
            raise entries.mistake(
                name,
                f"is {highest}: the chance to DROP a node, not to keep it. If that is meant, add `allow_high_dropout`",
            )
    return rates * layers if len(rates) == 1 else rates


def _further_warnings(settings: Settings) -> list[str]:
    """What is legal but worth a look."""
    found: list[str] = []
    if settings.cutoff.type == 0:
        found.append("cutoff_type 0 is a hard cutoff: energies jump where an atom crosses it")
    if settings.cutoff.type == 3:
        found.append(
            "cutoff_type 3 is n2p2's; RuNNer's has another prefactor: do not exchange weights or scaling.data"
        )
    if settings.scaling.kind == "none" and settings.mode in (2, 3):
        found.append(
            "symmetry functions are not scaled; networks train much better with `scale_symmetry_functions`"
        )
    if settings.mode == 1 and not settings.given("test_fraction"):
        found.append(
            f"no test_fraction: {settings['test_fraction']:g} of the structures are kept for testing, unless pinned"
        )
    if settings.mode in (1, 2) and not settings.given("random_seed"):
        found.append(f"no random_seed: {settings['random_seed']} is used")
    return found
