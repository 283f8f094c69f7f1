"""What a potential of the study is worth: errors and standard deviations, set by set, and the cold curve.

Energies are per atom, meV/atom; force components meV/Angstrom. Both calibrations that mode 2 leaves in
uncertainty.data, Monte Carlo alone and hybrid, are judged by one prediction of each structure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bnnp.errors import NumericalError
from bnnp.io.input_data import StructureFile
from bnnp.potential.files import read_members
from bnnp.potential.loading import assemble
from bnnp.potential.potential import Potential
from bnnp.prediction import Prediction
from bnnp.settings.settings import load_settings
from bnnp.structure import Structure
from bnnp.uncertainty.calibration import Calibration
from bnnp.uncertainty.detection import roc_auc
from bnnp.uncertainty.extrapolation import outside
from bnnp.uncertainty.ranking import spearman
from bnnp.uncertainty.reliability import coverage, ence, miscalibration_area
from bnnp.uncertainty.scores import crps, nll, zms

Array = NDArray[np.float64]
Sigmas = tuple[Array, Array]  # of the energies, (n,), and the forces, (n_atoms, 3)

HELD_OUT = "_held_out"  # end of the names of the groups in the domain
FAR = ("1200K", "1350K", "1500K", "1800K")
SCALES = np.arange(0.80, 1.2501, 0.025)  # of the cell on the cold curve
SHARE_BEYOND = 0.01  # of the symmetry functions out of their range: there the cold curve leaves the domain

SCORES: dict[str, Callable[[Array, Array], float]] = {
    "ZMS": zms,
    "cov68": lambda errors, sigma: coverage(errors, sigma, 0.68),
    "cov90": lambda errors, sigma: coverage(errors, sigma, 0.90),
    "cov95": lambda errors, sigma: coverage(errors, sigma, 0.95),
    "area": miscalibration_area,
    "ENCE": ence,
    "NLL": nll,
    "CRPS": crps,
    "rho": lambda errors, sigma: spearman(sigma, errors),
}
DETECTION = ("AUC_E", "AUC_Fmax", "AUC_Frms", "AUC_count")
COLUMNS = (
    *("n", "E_RMSE", "E_bias", "E_raw", "E_sigma", "E_ZMS_raw", *(f"E_{name}" for name in SCORES)),
    *("F_RMSE", "F_raw", "F_sigma", "F_ZMS_raw", *(f"F_{name}" for name in SCORES)),
    *("F_rho_atom", "F_ceiling_atom", "beyond", *DETECTION, "E_fall", "F_fall"),
)


@dataclass(frozen=True, eq=False)
class Predicted:
    """Predictions of n structures with n_atoms atoms in all.

    Parameters
    ----------
    groups : (n,) str
    energy, forces : (n,), (n_atoms, 3) float64
        Errors, predicted - reference.
    owner : (n_atoms,) int64
        Structure of each atom.
    beyond : (n,) float64
        Share of the symmetry functions out of their training range.
    sigma : mapping of str to Sigmas
        ``raw``, and by kind of the calibration; empty without samples.
    """

    groups: NDArray[np.str_]
    energy: Array
    forces: Array
    owner: NDArray[np.int64]
    beyond: Array
    sigma: Mapping[str, Sigmas]

    def of(self, chosen: NDArray[np.bool_]) -> Predicted:
        """Some of the structures."""
        atoms = chosen[self.owner]
        sigma = {kind: (energy[chosen], forces[atoms]) for kind, (energy, forces) in self.sigma.items()}
        owner = (np.cumsum(chosen) - 1)[self.owner[atoms]]
        return Predicted(
            self.groups[chosen], self.energy[chosen], self.forces[atoms], owner, self.beyond[chosen], sigma
        )

    def scores(self, kind: str) -> dict[str, Array]:
        """What should tell structures out of the domain from others, by names of DETECTION: sigma of the
        energy, the largest and the root mean square force sigma, and the share of extrapolations."""
        energy, forces = self.sigma[kind]
        largest, square = np.zeros(len(energy)), np.zeros(len(energy))
        np.maximum.at(largest, self.owner, forces.max(axis=1))
        np.add.at(square, self.owner, np.square(forces).mean(axis=1))
        found = (energy, largest, np.sqrt(square / np.bincount(self.owner)), self.beyond)
        return dict(zip(DETECTION, found, strict=True))


def judge(directory: Path, data: Path) -> Iterator[dict[str, object]]:
    """One row for each kind of sigma and set of structures; values missing in COLUMNS are not known."""
    settings = load_settings(directory / "input.nn", 3)
    members = read_members(directory, settings)
    potential, uncertainty = assemble(members, settings), members[0].uncertainty
    kinds: Mapping[str, Calibration] = {}
    if potential.samples > 1 and uncertainty is not None and uncertainty.calibration is not None:
        kinds = uncertainty.calibration.kinds
    structures = list(StructureFile(data, potential.elements))
    everything = collect(potential, structures, kinds)
    cold = stretched(structures[0]) if kinds else []
    curve = collect(potential, cold, kinds) if cold else None
    for kind in kinds or ("-",):
        for name, chosen in sets_of(everything.groups).items():
            yield {"kind": kind, "set": name, **row(everything, chosen, kind)}
        if curve is not None:
            yield {"kind": kind, "set": "cold_curve", **falls(curve, kind)}


def collect(
    potential: Potential, structures: Sequence[Structure], kinds: Mapping[str, Calibration]
) -> Predicted:
    """Predict all structures."""
    energy, forces, beyond = [], [], []
    sigma: dict[str, list[tuple[float, Array]]] = {name: [] for name in (("raw", *kinds) if kinds else ())}
    for structure in structures:
        found = potential.predict(structure, stress=False)
        assert structure.energy is not None
        assert structure.forces is not None
        assert found.forces is not None
        energy.append((found.energy.value - structure.energy) / len(structure))
        forces.append(found.forces.value - structure.forces)
        beyond.append(extrapolations(potential, structure, found))
        for kind, values in sigma.items():
            values.append(sigmas(found, structure, kinds.get(kind)))
    return Predicted(
        np.array([structure.info.get("group", "") for structure in structures]),
        1000.0 * np.array(energy),
        1000.0 * np.concatenate(forces),
        np.repeat(np.arange(len(structures)), [len(structure) for structure in structures]),
        np.array(beyond),
        {
            kind: (1000.0 * np.array([e for e, _ in values]), 1000.0 * np.concatenate([f for _, f in values]))
            for kind, values in sigma.items()
        },
    )


def sigmas(found: Prediction, structure: Structure, calibration: Calibration | None) -> tuple[float, Array]:
    """Of the energy per atom and the forces; the raw ones without a calibration."""
    if calibration is None:
        assert found.energy.raw is not None
        assert found.forces is not None
        assert found.forces.raw is not None
        return found.energy.raw / len(structure), found.forces.raw
    assert found.parts is not None
    energy, forces, _ = calibration.apply(found.parts, structure.symbols)
    if energy is None or forces is None:
        raise NumericalError("the calibration lacks energies, or forces of an element")
    return energy, forces


def extrapolations(potential: Potential, structure: Structure, found: Prediction) -> float:
    """Which share of the symmetry functions is out of its training range."""
    types, beyond, every = potential.types(structure), 0, 0
    for number, element in enumerate(potential.elements):
        scaling = potential.scaling(element)
        assert scaling is not None
        values = found.descriptors[types == number, : len(scaling)]
        beyond, every = beyond + len(outside(values, scaling).atom), every + values.size
    return beyond / every


def sets_of(groups: NDArray[np.str_]) -> dict[str, NDArray[np.bool_]]:
    """The groups, those in the domain together, those far out of it together, and all."""
    inside = np.char.endswith(groups, HELD_OUT)
    found = {name: groups == name for name in dict.fromkeys(groups.tolist())}
    return {**found, "inside": inside, "outside": np.isin(groups, FAR), "all": np.full(len(groups), True)}


def row(everything: Predicted, chosen: NDArray[np.bool_], kind: str) -> dict[str, float]:
    """The values of COLUMNS for some of the structures."""
    mine = everything.of(chosen)
    found: dict[str, float] = {"n": int(chosen.sum()), "beyond": float(mine.beyond.mean())}
    found |= {"E_RMSE": rms(mine.energy), "E_bias": float(mine.energy.mean()), "F_RMSE": rms(mine.forces)}
    if kind == "-":
        return found
    for name, errors, part in (("E", mine.energy, 0), ("F", mine.forces.ravel(), 1)):
        raw, sigma = (mine.sigma[each][part].ravel() for each in ("raw", kind))
        found |= {f"{name}_raw": rms(raw), f"{name}_sigma": rms(sigma), f"{name}_ZMS_raw": zms(errors, raw)}
        found |= {f"{name}_{score}": function(errors, sigma) for score, function in SCORES.items()}
    size, error = (np.sqrt(np.square(x).sum(axis=1)) for x in (mine.sigma[kind][1], mine.forces))
    found["F_rho_atom"] = spearman(size, error)
    found["F_ceiling_atom"] = ceiling(mine.sigma[kind][1])
    inside = sets_of(everything.groups)["inside"]
    if not (chosen & inside).any():
        scores, others = mine.scores(kind), everything.of(inside).scores(kind)
        found |= {name: roc_auc(others[name], scores[name]) for name in DETECTION}
    return found


def ceiling(sigma: Array) -> float:
    """Rank correlation that vectors of normal errors of exactly these sigmas, (n_atoms, 3), would have."""
    generator = np.random.default_rng(1)
    size = np.sqrt(np.square(sigma).sum(axis=1))
    found = [spearman(size, np.linalg.norm(generator.normal(0.0, sigma), axis=1)) for _ in range(5)]
    return float(np.mean(found))


def rms(values: Array) -> float:
    """Root mean square."""
    return float(np.sqrt(np.square(values).mean()))


def stretched(structure: Structure) -> list[Structure]:
    """The structure in cells scaled by SCALES, atoms with them."""
    assert structure.cell is not None
    cell = structure.cell
    return [replace(structure, positions=s * structure.positions, cell=s * cell) for s in SCALES.tolist()]


def falls(curve: Predicted, kind: str) -> dict[str, float]:
    """By which share sigma falls at most, on the way outwards, where the cold curve is out of the domain."""
    scores, far = curve.scores(kind), curve.beyond > SHARE_BEYOND
    return {"n": len(far), "E_fall": fall(scores["AUC_E"], far), "F_fall": fall(scores["AUC_Frms"], far)}


def fall(sigma: Array, far: NDArray[np.bool_]) -> float:
    """The largest 1 - sigma / (largest sigma nearer to the domain), (n_scales,), of both branches."""
    middle, worst = int(np.argmin(np.abs(SCALES - 1.0))), 0.0
    for branch in (slice(middle, None), slice(middle, None, -1)):
        values = sigma[branch][far[branch]]
        if len(values):
            worst = max(worst, float((1.0 - values / np.maximum.accumulate(values)).max()))
    return worst
