"""Errors and standard deviations of mode 3, set by set, and the text report of what they are worth.

Read are energy.out and nnforces.out by the names in their headers, and the groups of output.data. Energies
are per atom, in meV/atom; force components in meV/Angstrom.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bnnp.errors import InputError, NumericalError
from bnnp.io.input_data import StructureFile
from bnnp.io.prediction import read_columns
from bnnp.uncertainty.detection import detected, roc_auc
from bnnp.uncertainty.metrics import zero_by_symmetry
from bnnp.uncertainty.ranking import ause, spearman, spearman_ceiling
from bnnp.uncertainty.reliability import coverage, ence, miscalibration_area
from bnnp.uncertainty.scores import crps, nll, sharpness, zms

Array = NDArray[np.float64]

QUANTITIES = {"energy": "meV/atom", "forces": "meV/Angstrom"}
KINDS = ("std", "raw")  # in force; of the samples, if the other is calibrated
SCORES: dict[str, Callable[[Array, Array], float]] = {
    "RMSE": lambda errors, _: float(np.sqrt(np.square(errors).mean())),
    "sharpness": lambda _, sigma: sharpness(sigma),
    "sqrt(ZMS)": lambda errors, sigma: float(np.sqrt(zms(errors, sigma))),
    "ENCE": ence,
    "area": miscalibration_area,
    "68 %": lambda errors, sigma: 100.0 * coverage(errors, sigma, 0.68),
    "90 %": lambda errors, sigma: 100.0 * coverage(errors, sigma, 0.90),
    "95 %": lambda errors, sigma: 100.0 * coverage(errors, sigma, 0.95),
    "NLL": nll,
    "CRPS": crps,
    "Spearman": lambda errors, sigma: spearman(sigma, errors),
    "ceiling": lambda _, sigma: spearman_ceiling(sigma, np.random.default_rng(1)),
    "AUSE": ause,
}


@dataclass(frozen=True, eq=False)
class Values:
    """One quantity of one set.

    Parameters
    ----------
    errors, std, raw : (n,) float64
        Predicted - reference; standard deviations in force and raw (the same without a calibration).
    structure : (n,) int64
        Position in the file, from 1.
    """

    errors: Array
    std: Array
    raw: Array
    structure: NDArray[np.int64]

    def of(self, chosen: NDArray[np.bool_]) -> Values:
        """Some of them."""
        return Values(self.errors[chosen], self.std[chosen], self.raw[chosen], self.structure[chosen])

    def known(self, kind: str) -> tuple[Array, Array]:
        """Errors and standard deviations of a kind, of all values with a reference and a sigma above zero."""
        sigma: Array = getattr(self, kind)
        keep = np.isfinite(self.errors) & (sigma > 0.0)
        return self.errors[keep], sigma[keep]

    def largest(self, kind: str) -> Array:
        """The largest sigma of each structure, (n_structures,)."""
        sigma: Array = getattr(self, kind)
        _, first = np.unique(self.structure, return_index=True)
        return np.maximum.reduceat(sigma, first) if len(sigma) else sigma


@dataclass(frozen=True, eq=False)
class Predicted:
    """A set of structures.

    Parameters
    ----------
    name : str
    values : mapping of str to Values
        By quantity; without forces only the energy.
    meaning : str
        What the header of energy.out says of the standard deviations.
    """

    name: str
    values: Mapping[str, Values]
    meaning: str

    @property
    def calibrated(self) -> bool:
        """Whether there are raw sigmas beside others."""
        return "calibrated (" in self.meaning


def read_sets(directories: Sequence[Path]) -> list[Predicted]:
    """One set for each directory; if there is one only, one for each group of its structures.

    Raises
    ------
    InputError
        Mode 3 has not run there, or without standard deviations.
    """
    if len(directories) > 1:
        return [
            _read(directory, directory.name or str(directory.resolve().name)) for directory in directories
        ]
    (directory,) = directories
    whole = _read(directory, directory.resolve().name)
    path = directory / "output.data"
    groups = [s.info.get("group", "") for s in StructureFile(path, None, False)] if path.is_file() else []
    if len(set(groups)) < 2:
        return [whole]
    label = np.array(["", *groups])
    return [
        Predicted(
            name or "no group",
            {k: v.of(label[v.structure] == name) for k, v in whole.values.items()},
            whole.meaning,
        )
        for name in dict.fromkeys(groups)
    ]


def _read(directory: Path, name: str) -> Predicted:
    table, meaning, units = read_columns(directory / "energy.out")
    if "Ennp_std" not in table:
        raise InputError(
            f"{directory / 'energy.out'}: has no standard deviations: no dropout, or mc_samples 0"
        )
    number = table["Conf."].astype(np.int64)
    errors = -units.mev * table["Ediff"]
    std = units.mev * table["Ennp_std_per_atom"]
    raw = units.mev * table.get("Ennp_std_per_atom_raw", table["Ennp_std_per_atom"])
    values = {"energy": Values(errors, std, raw, number)}
    if (directory / "nnforces.out").is_file():
        table, _, units = read_columns(directory / "nnforces.out")

        def columns(pattern: str) -> Array:
            return (
                units.mev_per_angstrom * np.stack([table[pattern.format(x)] for x in "xyz"], axis=1).ravel()
            )

        raw_name = "f{}_std_raw" if "fx_std_raw" in table else "f{}_std"
        number = np.repeat(table["Conf."].astype(np.int64), 3)
        errors, raw, scale = columns("f{}") - columns("f{}Ref"), columns(raw_name), units.mev_per_angstrom
        scored = ~zero_by_symmetry("forces", errors / scale, raw / scale, units)
        values["forces"] = Values(errors, columns("f{}_std"), raw, number).of(scored)
    return Predicted(name, values, meaning)


def kinds_of(sets: Sequence[Predicted]) -> tuple[str, ...]:
    """`std`, and `raw` if that is something else."""
    return KINDS if any(each.calibrated for each in sets) else KINDS[:1]


def report(sets: Sequence[Predicted], outside: Sequence[str]) -> str:
    """All scores of all sets, and how well sigma tells the sets named `outside` from the others."""
    lines = [f"# {each.name}: std: {each.meaning}" for each in sets]
    lines += [
        "# std: in force; raw: of the samples. NLL and CRPS of normal distributions; ceiling: Spearman's"
    ]
    lines += [
        "# correlation of simulated errors of exactly these sigmas; AUSE in units of the RMSE; % within"
    ]
    for quantity, unit in QUANTITIES.items():
        lines += ["", f"# {quantity} in {unit}", f"{'set':<20} {'sigma':<5} {'values':>8} " + _row(SCORES)]
        for each in sets:
            lines += list(_scores(each, quantity, kinds_of(sets)))
    if outside:
        lines += ["", "# detection of sets out of the domain among all others, by the sigma of the structure"]
        lines += [f"{'set':<20} {'sigma':<5} {'of':<14} {'ROC-AUC':>10} {'found at 5 %':>13}"]
        lines += list(_detection(sets, outside))
    return "\n".join([*lines, ""])


def _row(words: Mapping[str, object] | Sequence[str]) -> str:
    return " ".join(f"{word:>10}" for word in words)


def _scores(each: Predicted, quantity: str, kinds: Sequence[str]) -> Iterator[str]:
    for kind in kinds if quantity in each.values else ():
        errors, sigma = each.values[quantity].known(kind)
        found = []
        for score in SCORES.values():
            try:
                found.append(f"{score(errors, sigma):.4g}")
            except NumericalError:
                found.append("-")  # no references
        yield f"{each.name:<20} {kind:<5} {len(errors):8d} {_row(found)}"


def _detection(sets: Sequence[Predicted], outside: Sequence[str]) -> Iterator[str]:
    for kind in kinds_of(sets):
        for quantity, title in (("energy", "energy"), ("forces", "largest force")):
            inside = [
                e.values[quantity].largest(kind)
                for e in sets
                if quantity in e.values and e.name not in outside
            ]
            for each in sets:
                if each.name in outside and inside and quantity in each.values:
                    scores = np.concatenate(inside), each.values[quantity].largest(kind)
                    area, share = roc_auc(*scores), 100.0 * detected(*scores)
                    yield f"{each.name:<20} {kind:<5} {title:<14} {area:10.4f} {share:11.1f} %"
