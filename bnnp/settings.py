"""Settings: everything input.nn says, typed, checked and with its origin.

One record per keyword (:mod:`bnnp.keywords`) gives its type, default and meaning; this module puts them
together to what a mode works with. Elements are sorted by atomic number, the symmetry functions of each
element in n2p2's order: nothing depends on the order of lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import ase.units

from bnnp.blueprint import (
    read_architecture,
    read_cutoff,
    read_dropout_rate,
    read_elements,
    read_functions,
    read_group_weights,
    read_normalization,
    read_scaling,
    read_transfer_map,
)
from bnnp.descriptors.cutoffs import Cutoff
from bnnp.descriptors.functions import SymmetryFunction, fingerprint
from bnnp.descriptors.scaling import ScalingScheme
from bnnp.dialects import atom_energies, dialect, fits_atom_energies, forces_of_prediction
from bnnp.entries import Entries
from bnnp.errors import InputError
from bnnp.keyword_table.arguments import FIT
from bnnp.keywords import KEYWORDS, Keyword
from bnnp.network.architecture import Architecture
from bnnp.optimizer_words import choose_optimizer
from bnnp.units import UNITS, Normalization, Units

__all__ = ["Architecture", "Normalization", "Settings", "load_settings"]

DEFAULT = "default"


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
        Keywords of the file that have no effect in this mode, although they are meant for it.
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
    def fits_atom_energies(self) -> bool:
        """Whether the free-atom energies are those of mode 2's training set (``atom_energy fit``)."""
        return self.values.get("atom_energy") == FIT

    @property
    def largest_cutoff(self) -> float:
        """Longest cutoff radius of all symmetry functions, length."""
        return max(function.r_c for functions in self.functions.values() for function in functions)

    def fingerprint(self) -> str:
        """SHA-256 over what symmetry functions depend on: elements, functions, cutoff function, units."""
        return fingerprint(self.functions, self.cutoff, self.units.name)


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
        False: a file that names no mode is accepted, and no mode's mandatory keywords are demanded
        (``bnnp --check``).

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
    elements = read_elements(entries)
    told = warnings if values["runner_mode"] in (0, 2) else []
    optimizer = choose_optimizer(entries, told, dialect(entries))
    values |= optimizer.values
    origins |= optimizer.origins
    architecture = read_architecture(entries, elements, warnings)
    values["dropout_rate"] = read_dropout_rate(entries, architecture)
    values["group_weight"] = read_group_weights(entries)
    values["transfer_map"] = read_transfer_map(entries)
    if fits_atom_energies(entries):
        values["atom_energy"] = FIT
    values["calculate_forces"], origins["calculate_forces"] = forces_of_prediction(entries)
    settings = Settings(
        mode=values["runner_mode"],
        units=UNITS[values["units"]],
        elements=elements,
        functions=read_functions(entries, elements),
        cutoff=read_cutoff(entries),
        atom_energies=atom_energies(entries, elements, warnings),
        normalization=read_normalization(entries),
        scaling=read_scaling(entries, warnings),
        architecture=architecture,
        normalize_nodes=values["normalize_nodes"],
        dialect=dialect(entries),
        values=values,
        origins=origins,
        ignored=_ignored(entries, values["runner_mode"], optimizer.idle),
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
            f"{entries.file}: no mode is given. Run `bnnp --mode 1` (symmetry functions), 2 (training) or 3 "
            "(prediction), or write `runner_mode 1` into the file."
        )
    return 0, DEFAULT


def _demand(entries: Entries, mode: int) -> None:
    """Stop if a mandatory keyword is missing; those of all modes are demanded always."""
    missing = entries.missing(mode) if mode else [k for k in entries.missing(1) if k.required == "123"]
    if missing:
        lines = [f"    {keyword.usage:<40} {keyword.help}" for keyword in missing]
        purpose = f"mode {mode} needs" if mode else "every mode needs"
        raise InputError("\n".join([f"{entries.file}: mandatory keywords are missing; {purpose}", *lines]))


def _ignored(entries: Entries, mode: int, idle: tuple[str, ...]) -> tuple[str, ...]:
    """Keywords in the file that the mode could be expected to act on, and does not."""
    names = (name for name in entries.names() if KEYWORDS[name].tier == "O" or name in idle)
    return tuple(name for name in names if mode == 0 or str(mode) in KEYWORDS[name].modes)


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
            f"no test_fraction: {settings['test_fraction']:g} of the structures are kept for testing, "
            "unless pinned"
        )
    if settings.mode in (1, 2) and not settings.given("random_seed"):
        found.append(f"no random_seed: {settings['random_seed']} is used")
    return [*found, *_without_effect(settings)]


def _without_effect(settings: Settings) -> list[str]:
    """Keywords that do nothing without another one."""
    found: list[str] = []
    for name, needed, modes in (
        ("calibration_split", "calibration_fraction", (0, 1)),
        ("transfer_map", "transfer_from", (0, 2)),
        ("transfer_scale_length", "transfer_from", (0, 2)),
        ("transfer_scale_energy", "transfer_from", (0, 2)),
    ):
        if settings.mode in modes and settings.given(name) and not settings[needed]:
            found.append(f"{settings.origins[name]}: {name} has no effect without {needed}")
    kept = settings["calibration_fraction"] or settings["calibration_ood_group"]
    plain = set(settings["dropout_rate"]) == {0.0} and settings["dropout_rate_input"] == 0.0
    if kept and plain and settings["ensemble_size"] == 1 and settings.mode in (0, 1, 2):
        found.append(
            "dropout_rate is 0 and there is one network, so there are no standard deviations to calibrate: "
            "calibration_fraction and calibration_ood_group keep structures from the training for nothing"
        )
    return found
