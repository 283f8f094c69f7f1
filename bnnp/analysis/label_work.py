r"""Energies, forces and stresses that contradict each other, seen along a run.

From one frame to the next the energy changes by the work of forces and stress. With the scaled positions s,
r = s h, and the cell h, to third order in the step (trapezoidal rule)::

    dE = -1/2 sum_i (F_1i . ds_i h_1 + F_2i . ds_i h_2) + 1/2 sum_(1, 2) V sigma : h^-1 dh

whatever thermostat, barostat or minimizer moves the atoms. The factors of the two terms are fitted by least
absolute deviations, to pieces of a run. They are 1, or tell a wrong sign, a unit, or labels of another frame.
Steps over which the forces change much are left out, as the rule does not hold there, and little is said
where no factor explains the energies.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

import ase.units
import numpy as np
from ase.stress import voigt_6_to_full_3x3_stress
from numpy.typing import NDArray

from bnnp.analysis.least_absolute import least_absolute
from bnnp.messages import count
from bnnp.structure import Structure
from bnnp.units import GPA_PER_EV_A3, Units

Array = NDArray[np.float64]

STEP = 2.0  # length: displacements above are those of other structures
WRAPPED = 0.5  # length: those above may be of images
SAME_CELL = 1e-6  # relative difference, from rounding in a file
ALIKE = 0.5  # 2 F_1 F_2 / (F_1^2 + F_2^2) of frames between which the rule serves
IDLE = 1e-3  # work of forces that are too small to matter, as a share of that of the stress
SMOOTH = 0.9  # the same, where it holds to some per cent
FEWEST = 6  # steps below which nothing is said
PIECE = 20  # steps that are judged together
RIGHT = (0.8, 1.25)  # factors that need no explanation
NEAR = (0.5, 2.0)  # factors that long steps may give, too, unless little is left of the energies
NEEDED = 3.0  # a term, or another frame, counts if without it the rest is larger by this factor
EXPLAINED = 0.3  # rest of the energies that are explained, as a share of them
EXACT = 0.1  # the same, where the rule holds
UNRELATED = 0.8  # the same, of energies that have nothing to do with the work
NOISE = 0.02  # eV: a work below may be one of rounding and of electronic iterations
LIKE = 0.05  # relative difference of a factor from that of a unit
SHOWN = 5  # places named

ENERGY_UNITS = {  # size of the number, if eV is expected
    "hartree": 1.0 / ase.units.Hartree,
    "Rydberg": 1.0 / ase.units.Rydberg,
    "kcal/mol": ase.units.mol / ase.units.kcal,
    "kJ/mol": ase.units.mol / ase.units.kJ,
    "meV": 1000.0,
    "eV": 1.0,
}
FORCE_UNITS = {  # eV/Angstrom
    "hartree/bohr": ase.units.Bohr / ase.units.Hartree,
    "Rydberg/bohr": ase.units.Bohr / ase.units.Rydberg,
    "hartree/Angstrom": 1.0 / ase.units.Hartree,
    "kcal/mol/Angstrom": ase.units.mol / ase.units.kcal,
    "kJ/mol/Angstrom": ase.units.mol / ase.units.kJ,
    "kJ/mol/nm": 10.0 * ase.units.mol / ase.units.kJ,
    "meV/Angstrom": 1000.0,
    "eV/bohr": ase.units.Bohr,
    "eV/Angstrom": 1.0,
}
STRESS_UNITS = {  # eV/Angstrom^3
    "GPa": GPA_PER_EV_A3,
    "kB": 10.0 * GPA_PER_EV_A3,
    "bar": 1e4 * GPA_PER_EV_A3,
    "hartree/bohr^3": ase.units.Bohr**3 / ase.units.Hartree,
    "Rydberg/bohr^3": ase.units.Bohr**3 / ase.units.Rydberg,
    "eV/Angstrom^3": 1.0,
}
SHIFTS = {  # frames by which the right forces, and energies, come later in the file
    (1, 0): "the forces are those of the frame before",
    (-1, 0): "the forces are those of the frame after",
    (0, 1): "the energies are those of the frame before",
    (0, -1): "the energies are those of the frame after",
    (1, 1): "energies and forces are those of the frame before",
    (-1, -1): "energies and forces are those of the frame after",
}
NAMES = ("frame", "series", "n_atoms", "energy", "stress", "alike", "before", "first", "second", "after")
AFTER = NAMES.index("after") - len(NAMES)


@dataclass(frozen=True)
class WorkTable:
    """Energies and work of the steps from one frame to the next; (n_steps,) float64, units of the file.

    Parameters
    ----------
    frame
        Number of the first of the two frames.
    series
        A number of the group and file both belong to.
    n_atoms
    energy
        Its change.
    stress
        Work of the stress.
    alike
        2 F_1 F_2 / (F_1^2 + F_2^2).
    before, first, second, after
        -sum F . dr with the forces of the frame before the two, of these, and of the one after; NaN where
        the frame is not one of the same run and cell.
    """

    frame: Array
    series: Array
    n_atoms: Array
    energy: Array
    stress: Array
    alike: Array
    before: Array
    first: Array
    second: Array
    after: Array

    @classmethod
    def joined(cls, tables: Sequence[WorkTable]) -> WorkTable:
        """Tables of neighboring structures; each begins with the last step of the one before, completed."""
        columns = zip(*(vars(table).values() for table in reversed(tables)), strict=True)
        every = cls(*(np.concatenate(column) for column in columns))
        return every.of(np.unique(every.frame, return_index=True)[1])

    def of(self, steps: NDArray[np.bool_] | NDArray[np.int64]) -> WorkTable:
        """Some of the steps."""
        return WorkTable(*(values[steps] for values in vars(self).values()))

    def forces(self, shift: int = 0) -> Array:
        """Work with the forces of the frames `shift` later."""
        works = (self.before, self.first, self.second, self.after)
        return 0.5 * (works[1 + shift] + works[2 + shift])

    def energies(self, shift: int) -> Array:
        """Changes of the energy `shift` steps later; NaN where that step is not in the table."""
        shifted = np.full(len(self.frame), np.nan)
        place = np.searchsorted(self.frame, self.frame + shift) % max(len(self.frame), 1)
        known = (self.frame[place] == self.frame + shift) & (self.series[place] == self.series)
        shifted[known] = self.energy[place[known]]
        return shifted


@dataclass(frozen=True, eq=False)
class _Step:
    """Displacements in the cells of two frames, (n_atoms, 3), and the work of the stress."""

    first: Array
    second: Array
    stress: float = 0.0

    @property
    def fixed(self) -> bool:
        """Whether the cell stays."""
        return self.first is self.second


class LabelWork:
    """Work of structures that are counted in the order of their file; ten numbers a structure are kept."""

    def __init__(self) -> None:
        self.rows = array("d")
        self._frames: list[Structure] = []  # the last two of a run
        self._step: _Step | None = None  # between them

    def count(self, structure: Structure, frame: int) -> None:
        """Count a structure, number `frame` of all."""
        frames, last = self._frames, self._step
        labeled = structure.energy is not None and structure.forces is not None
        step = _step_between(frames[-1], structure) if frames and labeled else None
        self._step, self._frames = step, [*(frames[-1:] if step else []), structure] if labeled else []
        if step is None:
            return
        before = np.nan
        if last and last.fixed and step.fixed:
            before = _work(frames[0], step.first)
            self.rows[AFTER] = _work(structure, last.second)
        first = frames[-1]
        works = before, _work(first, step.first), _work(structure, step.second), np.nan
        change = (structure.energy or 0.0) - (first.energy or 0.0)
        terms = change, step.stress, _alike(first, structure)
        self.rows.extend((frame - 1, _series(structure), len(structure), *terms, *works))

    def table(self, first: int = 0) -> WorkTable:
        """All steps from the frame `first` on."""
        rows = np.array(self.rows).reshape(-1, len(NAMES))
        return WorkTable(*rows[rows[:, 0] >= first].T)


def _series(structure: Structure) -> int:
    """A number of the group and the file a structure belongs to."""
    group, source = (structure.info.get(name, "") for name in ("group", "source"))
    return crc32(f"{group}\n{source.rpartition(':')[0]}".encode())


def _step_between(first: Structure, second: Structure) -> _Step | None:
    """The step between two frames; None if they are not of one run, or a stress is missing."""
    if _series(first) != _series(second) or first.charge != second.charge:
        return None
    if not np.array_equal(first.numbers, second.numbers):
        return None
    if first.cell is None or second.cell is None or first.pbc != second.pbc:
        moved = second.positions - first.positions
        alike = first.cell is second.cell and np.abs(moved).max() < STEP
        return _Step(moved, moved) if alike else None
    if np.allclose(first.cell, second.cell, rtol=0.0, atol=SAME_CELL * float(np.abs(first.cell).max())):
        moved = second.positions - first.positions
        if np.abs(moved).max() > WRAPPED:
            repeated = second.cell * np.array(second.pbc)[:, None]
            moved -= np.rint(moved @ np.linalg.pinv(repeated)) @ repeated
        return _Step(moved, moved) if np.abs(moved).max() < STEP else None
    if first.stress is None or second.stress is None or not all(first.pbc):
        return None
    inverses = np.linalg.inv(first.cell), np.linalg.inv(second.cell)
    scaled = second.positions @ inverses[1] - first.positions @ inverses[0]
    scaled -= np.rint(scaled)
    if np.abs(scaled @ first.cell).max() >= STEP:
        return None
    strained = second.cell - first.cell
    work = 0.0
    for structure, inverse in zip((first, second), inverses, strict=True):
        sigma = voigt_6_to_full_3x3_stress(structure.stress)
        work += 0.5 * (structure.volume or 0.0) * float(np.sum(sigma * (inverse @ strained)))
    return _Step(scaled @ first.cell, scaled @ second.cell, work)


def _work(structure: Structure, moved: Array) -> float:
    """-sum F . dr of displacements (n_atoms, 3)."""
    assert structure.forces is not None
    return -float(np.vdot(structure.forces, moved))


def _alike(first: Structure, second: Structure) -> float:
    """2 F_1 F_2 / (F_1^2 + F_2^2); 1 without any force."""
    assert first.forces is not None
    assert second.forces is not None
    squares = float(np.vdot(first.forces, first.forces) + np.vdot(second.forces, second.forces))
    return 2.0 * float(np.vdot(first.forces, second.forces)) / squares if squares else 1.0


def work_doubts(table: WorkTable, units: Units, where: Callable[[int], str]) -> Iterator[str]:
    """One sentence for each way in which energies, forces and stresses contradict each other.

    Parameters
    ----------
    units : Units
        Of the file.
    where : callable
        Name of a structure by its number from 0.
    """
    found: dict[str, list[tuple[int, int]]] = {}
    usable = table.of((table.alike > ALIKE) | (np.abs(table.forces()) < IDLE * np.abs(table.stress)))
    for series in np.unique(usable.series):
        steps = usable.of(usable.series == series)
        for piece in np.array_split(np.arange(len(steps.frame)), max(1, len(steps.frame) // PIECE)):
            for verdict in _verdicts(steps.of(piece), units) if len(piece) >= FEWEST else ():
                places = found.setdefault(verdict, [])
                first, last = int(steps.frame[piece[0]]), int(steps.frame[piece[-1]]) + 1
                if places and places[-1][1] == first:
                    first, _ = places.pop()
                places.append((first, last))
    for verdict, places in found.items():
        named = "; ".join(f"{where(first)} to {where(last)}" for first, last in places[:SHOWN])
        more = f"; and {count(len(places) - SHOWN, 'more run')}" if len(places) > SHOWN else ""
        yield f"energies and forces contradict each other from {named}{more}: {verdict}"


def _verdicts(steps: WorkTable, units: Units) -> Iterator[str]:
    """What is wrong with a piece of a run."""
    works = np.column_stack([steps.forces(), steps.stress])
    fit = _Fit.of(works, steps.energy)
    if (shift := _shift(steps)) is not None:
        yield f"by their work from frame to frame, {SHIFTS[shift]}"
        return
    if fit.explains:
        force, stress = fit.factors.tolist()
        if fit.needed[0] and fit.tells(force):
            yield _factor_doubt(force, float(np.median(steps.n_atoms)), units)
        relative = stress / force if fit.needed[0] else stress
        if fit.needed[1] and fit.tells(relative):
            yield _stress_doubt(relative, units)
        return
    smooth = np.median(steps.alike) > SMOOTH and not steps.stress.any()
    typical = float(np.abs(works[:, 0]).mean()) * units.ev
    if smooth and typical > NOISE and fit.rest > UNRELATED * fit.size:
        yield (
            "between frames the energy changes by something else than the work of the forces. Are these "
            "labels of other structures, or is the kinetic energy in the energy?"
        )


@dataclass(frozen=True)
class _Fit:
    """Energies as multiples of some terms.

    Parameters
    ----------
    factors : (n_terms,) float64
    rest, size : float
        Sums of the magnitudes of what is left, and of the energies.
    typical : float
        Median of what is left of an energy, as a share of it.
    needed : tuple of bool
        Whether more is left without each term.
    """

    factors: Array
    rest: float
    size: float
    typical: float
    needed: tuple[bool, ...]

    @property
    def explains(self) -> bool:
        """Whether little is left of all and of each."""
        return self.left <= EXPLAINED

    @property
    def left(self) -> float:
        """What is left of all energies, or of most of them, as a share."""
        return max(self.rest / self.size if self.size else 0.0, self.typical)

    def tells(self, factor: float) -> bool:
        """Whether a factor is so far from 1 that it has a reason."""
        low, high = RIGHT if self.left <= EXACT else NEAR
        return not low < factor < high

    @classmethod
    def of(cls, works: Array, energies: Array) -> _Fit:
        """The fit of energies (n_steps,) to works (n_steps, n_terms)."""
        factors = _fit(works, energies)
        left = np.abs(energies - works @ factors)
        rest, size = float(left.sum()), float(np.abs(energies).sum())
        shares = left[energies != 0.0] / np.abs(energies[energies != 0.0])
        without = [np.where(np.arange(works.shape[1]) == term, 0.0, works) for term in range(works.shape[1])]
        rests = [np.abs(energies - others @ _fit(others, energies)).sum() for others in without]
        needed = tuple(bool(works[:, term].any() and r > NEEDED * rest) for term, r in enumerate(rests))
        return cls(factors, rest, size, float(np.median(shares)) if len(shares) else 0.0, needed)


def _fit(works: Array, energies: Array) -> Array:
    """Factors of the terms; 0 of one that is always zero. Of a single one it is a weighted median."""
    used = np.flatnonzero(works.any(axis=0))
    factors: Array = np.zeros(works.shape[1])
    if len(used) == 1:
        moved = np.flatnonzero(works[:, used[0]])
        work = works[moved, used[0]]
        ratios = energies[moved] / work
        order = np.argsort(ratios)
        sums = np.cumsum(np.abs(work[order]))
        factors[used] = ratios[order[np.searchsorted(sums, 0.5 * sums[-1])]]
    elif len(used) > 1 and energies.any():
        scale, scales = np.abs(energies).mean(), np.abs(works[:, used]).mean(axis=0)
        factors[used] = least_absolute(works[:, used] / scales, energies / scale) * scale / scales
    return factors


def _shift(steps: WorkTable) -> tuple[int, int] | None:
    """Frames by which forces and energies are displaced, of `SHIFTS`; None if they are not."""
    works = {shift: steps.forces(shift) for shift in (-1, 0, 1)}
    energies = {shift: steps.energies(shift) for shift in (-1, 0, 1)}
    known = np.isfinite([*works.values(), *energies.values()]).all(axis=0)
    if known.sum() < FEWEST:
        return None
    fits = {
        (force, energy): _Fit.of(works[force][known, None], energies[energy][known])
        for force, energy in ((0, 0), *SHIFTS)
    }
    best = min(fits, key=lambda shift: fits[shift].rest / (fits[shift].size or 1.0))
    own, other = fits[0, 0], fits[best]
    better = other.rest * own.size * NEEDED < own.rest * other.size
    return best if better and other.explains and other.factors[0] > 0.0 else None


def _factor_doubt(factor: float, n_atoms: float, units: Units) -> str:
    """What a factor of the work of the forces tells."""
    energy = {name: size * units.ev for name, size in ENERGY_UNITS.items()}
    energy[f"{units.energy}/atom"] = 1.0 / n_atoms
    force = {name: size * units.ev / units.angstrom for name, size in FORCE_UNITS.items()}
    sizes = {f"energies in {name}": size for name, size in energy.items()}
    sizes |= {f"forces in {name}": 1.0 / size for name, size in force.items()}
    sizes |= {
        f"energies and forces in {name} and {name}/bohr": energy[name] / force[f"{name}/bohr"]
        for name in ("hartree", "Rydberg")
    }
    return _explained(factor, sizes, "the forces")


def _stress_doubt(factor: float, units: Units) -> str:
    """The same of the stress."""
    own = units.ev / units.angstrom**3
    sizes = {f"stresses in {name}": 1.0 / (size * own) for name, size in STRESS_UNITS.items()}
    return _explained(factor, sizes, "the stress")


def _explained(factor: float, sizes: Mapping[str, float], name: str) -> str:
    """A factor, and the sign and the units that give it."""
    away = {text: abs(np.log(abs(factor) / size)) for text, size in sizes.items()}
    close = {text: sizes[text] for text in sorted(away, key=away.__getitem__) if away[text] < LIKE}
    right = RIGHT[0] < abs(factor) < RIGHT[1]
    nominal = 1.0 if right else next(iter(close.values()), float(f"{abs(factor):.1g}"))
    reasons = [f"{name} with the other sign"] if factor < 0.0 else []
    if not right:
        reasons.append(" or ".join(close) or "no unit that bnnp knows")
    shown = f"{np.copysign(nominal, factor):.3g}"
    fitting = ", and ".join(reasons)
    return f"between frames the energy changes by {shown} times the work of {name}; {fitting} would fit"
