"""energy.out, nnforces.out, nnstress.out, nnatoms.out and output.data: the results of mode 3.

n2p2's columns for many structures (as in recent RuNNer), and standard deviations if there are Monte Carlo
samples. Each ``.out`` file has exactly one header line, ``# Conf. column ... | units, signs, meaning of
std``::

    energy.out    conf natoms Eref Ennp Ediff E_offset                  Ennp_std Ennp_std_per_atom
    nnforces.out  conf index fxRef fyRef fzRef fx fy fz                 fx_std fy_std fz_std f_std
    nnstress.out  conf s_i1 s_i2 s_i3, three lines a periodic structure s_i1_std s_i2_std s_i3_std
    nnatoms.out   conf index Z Qref Qnnp Eref_atom Ennp_atom            Ennp_atom_std
    output.data   layout of input.data with the predicted energy, forces and stress

conf and index count from 1; Ediff = (Eref - Ennp) / natoms; E_offset is the sum of the free-atom energies,
which is contained in Ennp but not in Ennp_atom. f_std is the square root of the summed variances of the
components. nnstress.out has RuNNer's sign, -(1/V) dE/d(strain): its trace / 3 is the pressure. With charges
Ennp_atom has half of the electrostatic energy of each pair, where n2p2's has none, so that it adds up. NaN
where there is no value.

With a calibration the std columns are calibrated, and the raw standard deviations follow with the same names
and ``_raw``; those of atomic energies are always raw. A hybrid calibration adds the weighted parts of its
variance (_MC, _LL, _d: Monte Carlo, last layer, distance; per atom in energy.out, of the whole vector in
nnforces.out); the calibration maps the square root of their summed squares. output.data has labels=predicted
in its comments, and energy_std and energy_std_raw of the total energy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from bnnp.errors import InputError
from bnnp.io.ase_labels import PREDICTED
from bnnp.io.output import cannot_write, replace_file
from bnnp.io.structure_block import format_structure
from bnnp.prediction import Estimate, Prediction
from bnnp.structure import Structure
from bnnp.uncertainty.calibration import Calibration, Quantity
from bnnp.uncertainty.hybrid import SigmaParts
from bnnp.units import UNITS, Units

Array = NDArray[np.float64]

ALWAYS_RAW = "raw (an atomic energy has no reference to be calibrated by)"
VOIGT = ((0, 5, 4), (5, 1, 3), (4, 3, 2))  # matrix element -> position in xx yy zz yz xz xy


@dataclass(frozen=True)
class Columns:
    """Columns of one file.

    Parameters
    ----------
    integers, values, std : tuple of str
        Names of the integer columns, of the float64 columns, and of those that need Monte Carlo samples.
    units : str
        For the header; {energy}, {force} and {stress} are replaced.
    std_units : str
        Addition to `units`, for standard deviations with another unit than their value.
    parts : tuple of str
        Columns of the parts of a hybrid standard deviation; () for a file whose std is never calibrated.
    parts_units : str
        Addition to `units`, for the parts.
    """

    integers: tuple[str, ...]
    values: tuple[str, ...]
    std: tuple[str, ...]
    units: str
    std_units: str = ""
    parts: tuple[str, ...] = ()
    parts_units: str = ""

    def header(self, units: Units, std: str, raw: str = "", hybrid: bool = False) -> str:
        """The header line.

        Parameters
        ----------
        std, raw : str
            Meaning of the std columns, empty without samples; of the raw ones, empty without calibration.
        hybrid : bool
            Whether the columns of the parts are written.
        """
        names = (*self.integers[1:], *self.values, *(self.std if std else ()))
        if raw and self.parts:
            names += (*(f"{name}_raw" for name in self.std), *(self.parts if hybrid else ()))
            std += f"; std_raw: {raw}"
        text = self.units + self.std_units * bool(std) + self.parts_units * (bool(raw) and hybrid)
        text = text.format(energy=units.energy, force=units.force, stress=units.stress)
        meaning = f"{ALWAYS_RAW}, {raw}" if raw and not self.parts else std
        text += f"; std: {meaning}" if std else ""
        return f"# Conf. {' '.join(names)} | {text}\n"

    def rows(self, integers: Iterable[Sequence[int]], values: Array, std: Array | None) -> str:
        """Lines of one structure: n tuples of integers, (n, n_values) and (n, n_std) float64."""
        table = values if std is None else np.hstack([values, std])
        line = "{:10d}" + " {:10d}" * (len(self.integers) - 1) + " {:24.16E}" * table.shape[1] + "\n"
        return "".join(
            line.format(*first, *rest) for first, rest in zip(integers, table.tolist(), strict=True)
        )


COLUMNS = {
    "energy.out": Columns(
        ("conf", "natoms"),
        ("Eref", "Ennp", "Ediff", "E_offset"),
        ("Ennp_std", "Ennp_std_per_atom"),
        "{energy}, Ediff = (Eref - Ennp)/natoms in {energy}/atom",
        ", Ennp_std_per_atom in {energy}/atom",
        ("E_std_MC", "E_std_LL", "E_std_d"),
        ", E_std_MC E_std_LL E_std_d (Monte Carlo, last layer, distance) in {energy}/atom",
    ),
    "nnforces.out": Columns(
        ("conf", "index"),
        ("fxRef", "fyRef", "fzRef", "fx", "fy", "fz"),
        ("fx_std", "fy_std", "fz_std", "f_std"),
        "{force}",
        ", f_std of the whole vector (root of the summed squares of its components)",
        ("f_std_MC", "f_std_LL", "f_std_d"),
        ", f_std_MC f_std_LL f_std_d (Monte Carlo, last layer, distance) too",
    ),
    "nnstress.out": Columns(
        ("conf",),
        ("s_i1", "s_i2", "s_i3"),
        ("s_i1_std", "s_i2_std", "s_i3_std"),
        "{stress}, three lines i = 1 2 3 a periodic structure; sign of RuNNer: -(1/V) dE/d(strain), "
        "trace/3 = pressure (opposite to ASE)",
        parts=tuple(f"s_i{k}_std_{part}" for part in ("MC", "LL", "d") for k in (1, 2, 3)),
    ),
    "nnatoms.out": Columns(
        ("conf", "index", "Z"),
        ("Qref", "Qnnp", "Eref_atom", "Ennp_atom"),
        ("Ennp_atom_std",),
        "{energy}, Ennp_atom without the free-atom energy; Qref and Qnnp in e",
    ),
}


def read_columns(path: Path) -> tuple[dict[str, Array], str, Units]:
    """Columns of one of the ``.out`` files by their names, (n_rows,) float64 each; ``Conf.`` is the first.

    Returns
    -------
    dict, str, Units
        The columns, what the header says of std, and the units of the numbers.

    Raises
    ------
    InputError
        There is no such file, or its header does not fit its columns or says no unit.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; run `bnnp --mode 3` there first")
    with open(path, encoding="utf-8") as file:
        head, _, text = file.readline().lstrip("# ").partition("|")
        table = np.loadtxt(file, ndmin=2)
    names, words = head.split(), text.replace("/", " ").replace(",", " ").split()
    units = next((units for units in UNITS.values() if units.energy in words), None)
    if units is None or (table.size and table.shape[1] != len(names)):
        raise InputError(
            f"{path}: the first line names {len(names)} columns and {'no' if units is None else 'a'} unit, "
            f"the numbers have {table.shape[1] if table.size else 'no'} columns; run `bnnp --mode 3` again"
        )
    columns = table.T if table.size else np.empty((len(names), 0))
    return dict(zip(names, columns, strict=True)), text.partition("std: ")[2].strip(), units


def file_names(forces: bool, stress: bool) -> tuple[str, ...]:
    """Names of the files that a run with these quantities writes."""
    optional = {"nnforces.out": forces, "nnstress.out": stress}
    return (*(name for name in COLUMNS if optional.get(name, True)), "output.data")


def format_prediction(
    names: Sequence[str],
    structure: Structure,
    prediction: Prediction,
    calibration: Calibration | None = None,
) -> dict[str, str]:
    """The text of one structure for every file.

    Parameters
    ----------
    names : sequence of str
        Files wanted (:func:`file_names`).
    prediction : Prediction
        Without std columns where its std is None.
    calibration : Calibration, optional
        Of the potential; adds the raw columns, and if it is hybrid those of its parts.
    """
    writers = {
        "energy.out": lambda: _energy(structure, prediction, calibration),
        "nnforces.out": lambda: _forces(structure, prediction, calibration),
        "nnstress.out": lambda: _stress(structure, prediction, calibration),
        "nnatoms.out": lambda: _atoms(structure, prediction),
        "output.data": lambda: format_structure(predicted(structure, prediction)),
    }
    return {name: writers[name]() for name in names}


def predicted(structure: Structure, prediction: Prediction) -> Structure:
    """`structure` with the predicted energy, forces and stress instead of the reference."""
    energy, info = prediction.energy, {**structure.info, **PREDICTED}
    for name in ("energy", "forces"):  # which of the references count
        info.pop(name, None)
    if energy.std is not None:
        info |= {"energy_std": repr(energy.std), "energy_std_raw": repr(energy.raw)}
    forces = None if prediction.forces is None else prediction.forces.value
    stress = None if prediction.stress is None else prediction.stress.value
    changed = replace(structure, energy=energy.value, forces=forces, stress=stress, info=info)
    return changed if prediction.charges is None else replace(changed, charges=prediction.charges.value)


class PredictionWriter:
    """The open output files; each takes its final name when all structures are written.

    Parameters
    ----------
    directory : Path
    names : sequence of str
        From :func:`file_names`.
    std : str
        Meaning of the std columns, for example ``raw (uncalibrated), 100 Monte Carlo samples``; empty without
        samples.
    raw : str
        Meaning of the raw columns; empty without a calibration.
    hybrid : bool
        Whether the calibration is hybrid.
    """

    def __init__(
        self,
        directory: Path,
        names: Sequence[str],
        units: Units,
        std: str = "",
        raw: str = "",
        hybrid: bool = False,
    ) -> None:
        self.directory, self.names, self.units = directory, tuple(names), units
        self.meaning = std, raw, hybrid
        self._stack = ExitStack()
        self._files: dict[str, TextIO] = {}

    def __enter__(self) -> PredictionWriter:
        with ExitStack() as stack:  # closes the first files if a later one cannot be opened
            for name in self.names:
                file = stack.enter_context(replace_file(self.directory / name))
                if name in COLUMNS:
                    file.write(COLUMNS[name].header(self.units, *self.meaning))
                self._files[name] = file
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._stack.__exit__(kind, error, trace)

    def write(self, texts: Mapping[str, str]) -> None:
        """Append the texts of :func:`format_prediction` for the next structure."""
        for name, text in texts.items():
            try:
                self._files[name].write(text)
            except OSError as error:  # disk full; named here, where the file is known
                raise cannot_write(self.directory / name, error) from error


def _energy(structure: Structure, prediction: Prediction, calibration: Calibration | None) -> str:
    n_atoms, energy = len(structure), prediction.energy
    parts = _hybrid_parts(prediction, calibration)
    reference = np.nan if structure.energy is None else structure.energy
    difference = (reference - energy.value) / n_atoms
    values = np.array([[reference, energy.value, difference, prediction.offset]])
    std = _columns(energy, lambda std: np.array([[std, std / n_atoms]]), calibration)
    if std is not None and calibration is not None and parts is not None:
        std = np.hstack([std, _components(calibration.energy, parts.energy)[None]])
    return COLUMNS["energy.out"].rows([(structure.index + 1, n_atoms)], values, std)


def _forces(structure: Structure, prediction: Prediction, calibration: Calibration | None) -> str:
    forces, parts = prediction.forces, _hybrid_parts(prediction, calibration)
    assert forces is not None  # mode 3 computes them if it writes the file
    values = np.hstack([_or_nan(structure.forces, forces.value.shape), forces.value])
    std = _columns(forces, _with_size, calibration)
    if std is not None and calibration is not None and parts is not None:
        assert parts.forces is not None
        rows = zip(structure.symbols, parts.forces, strict=True)  # (3, 5): component, part
        sizes = [calibration.components_of_force(symbol, each) for symbol, each in rows]
        std = np.hstack([std, np.array(sizes)])
    integers = [(structure.index + 1, atom) for atom in range(1, len(structure) + 1)]
    return COLUMNS["nnforces.out"].rows(integers, values, std)


def _stress(structure: Structure, prediction: Prediction, calibration: Calibration | None) -> str:
    stress, parts, order = prediction.stress, _hybrid_parts(prediction, calibration), np.array(VOIGT)
    if stress is None:
        return ""  # a free molecule has no stress
    std = _columns(stress, lambda std: std[order], calibration)  # (3, 3)
    if std is not None and calibration is not None and parts is not None:
        components = _components(calibration.stress, parts.stress)[order]  # (3, 3, parts)
        std = np.hstack([std, components.swapaxes(1, 2).reshape(3, -1)])
    return COLUMNS["nnstress.out"].rows([(structure.index + 1,)] * 3, -stress.value[order], std)


def _atoms(structure: Structure, prediction: Prediction) -> str:
    values = np.full((len(structure), 4), np.nan)  # reference atomic energies are unknown
    values[:, 3] = prediction.atoms.value
    if prediction.charges is not None:
        values[:, 1] = prediction.charges.value
        if structure.charges is not None:
            values[:, 0] = structure.charges
    std = _columns(prediction.atoms, lambda std: std[:, None])
    integers = [
        (structure.index + 1, atom, int(z)) for atom, z in enumerate(structure.numbers.tolist(), start=1)
    ]
    return COLUMNS["nnatoms.out"].rows(integers, values, std)


def _columns(
    estimate: Estimate[Any], arranged: Callable[[Any], Array], calibration: Calibration | None = None
) -> Array | None:
    """Standard deviations, with a calibration followed by the raw ones, as `arranged` in the file."""
    if estimate.std is None:
        return None
    raw = () if calibration is None or estimate.raw is None else (estimate.raw,)
    return np.hstack([arranged(each) for each in (estimate.std, *raw)])


def _hybrid_parts(prediction: Prediction, calibration: Calibration | None) -> SigmaParts | None:
    """Parts of the standard deviations; None without a hybrid calibration."""
    return prediction.parts if calibration is not None and calibration.kind == "hybrid" else None


def _components(quantity: Quantity | None, parts: Array | None) -> Array:
    """The weighted parts, (..., 3); NaN for a quantity without calibration."""
    assert parts is not None
    return np.full((*parts.shape[:-1], 3), np.nan) if quantity is None else quantity.components(parts)


def _with_size(std: Array) -> Array:
    """Standard deviations of components and of the vector, (n_atoms, 4)."""
    return np.column_stack([std, np.sqrt(np.square(std).sum(axis=1))])


def _or_nan(values: Array | None, shape: tuple[int, ...]) -> Array:
    return np.full(shape, np.nan) if values is None else values
