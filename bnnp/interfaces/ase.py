"""The potential as an ASE calculator: ``atoms.calc = bnnp.BNNP("potential/")``.

All values are in Angstrom and eV, whatever the units of the potential. In addition to ASE's properties there
are the standard deviations: calibrated if the potential has a calibration, else raw, those of the S Monte
Carlo samples with S - 1. With a calibration the raw ones are available under separate names:

=================================  ===========  ==========================================================
energy, free_energy                eV           equal: there is no electronic entropy here
energies                           (n,)         atomic energies; they add up to the energy
charges                            e            with charges; they add up to atoms.info["charge"], or else to
                                                ASE's initial charges
forces                             (n, 3)       minus the gradient of the energy
stress                             (6,)         ASE's sign and order; of periodic structures
energy_std                         eV           of the total energy
energies_std                       (n,)         of each atomic energy; always raw, as there is no reference
virials                            eV, n, 3, 3  of the atoms: W_j of :mod:`bnnp.dynamics.heat_flux`
heat_flux                          (3,)         eV Angstrom / ASE's unit of time, from the velocities of atoms
sample_energies                    (S,) eV      the energy of each Monte Carlo sample
forces_std, stress_std             (n, 3), (6)  of each component; cost two to three times the forces
energy_std_raw, forces_std_raw,    the same     raw, if the others are calibrated
stress_std_raw
bias_energy, bias_forces,          the same     with a bias: its share of energy, forces and stress
bias_stress
=================================  ===========  ==========================================================

ASE's writers drop results they do not know. Therefore each calculation also stores its standard deviations in
``atoms.info`` and ``atoms.arrays`` under the same names, and removes those of the calculation before: an
extxyz file written then has all of them, a trajectory those of energy and stress.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import (
    Calculator,
    PropertyNotImplementedError,
    all_changes,
    external_calculators,
    register_calculator_class,
)
from numpy.typing import NDArray

from bnnp.descriptors.neighbors import NeighborList
from bnnp.descriptors.skin import SkinNeighbors
from bnnp.dynamics.heat_flux import HeatFlux
from bnnp.errors import InputError
from bnnp.io.ase_labels import find_total_charge
from bnnp.potential.loading import load
from bnnp.potential.potential import ChargeStarts, Potential
from bnnp.potential.sigma_gradient import sigma_gradient
from bnnp.prediction import Estimate, Prediction
from bnnp.structure import PERIODIC, Structure, closed_cell

Array = NDArray[np.float64]

MEANS = ("energy", "free_energy", "energies", "forces", "stress", "virials", "heat_flux")
SPREADS = ("energy_std", "energies_std", "forces_std", "stress_std")
SAMPLES = "sample_energies"  # as the standard deviations, only with Monte Carlo samples
DERIVATIVES = {"forces", "stress"}
RAW = ("energy_std_raw", "forces_std_raw", "stress_std_raw")  # only with a calibration
COSTLY = {"forces_std", "stress_std", "forces_std_raw", "stress_std_raw"}
SKIN = 0.5  # Angstrom


class ExtrapolationWarning(UserWarning):
    """Atoms of a configuration are outside of what the potential was trained on."""


class BNNP(Calculator):
    """ASE calculator of a potential. It can be copied and pickled.

    Parameters
    ----------
    potential : str, Path or Potential
        A directory for :func:`bnnp.load`, or its result.
    samples : int, optional
        Monte Carlo samples; see :func:`bnnp.load`. Only for a directory.
    skin : float, Angstrom
        Of the neighbor list: pairs are searched again when an atom has moved by half of it. The results do
        not depend on it.
    threads : int, optional
        Threads over atoms; by default 1 for a directory, else those of the Potential.
    virials : bool
        Whether those of the atoms are computed with all forces, so that a heat flux after them is free; else
        it is an evaluation more.
    sigma_every : int
        0: standard deviations of forces and stress are computed only when requested; n > 0: also with every
        n-th configuration.
    bias : float
        k of a bias energy -k sigma that is added to energy, forces and stress, with the raw standard
        deviation sigma of the energy (:mod:`bnnp.potential.sigma_gradient`); `md_bias` counts in the
        calibrated one.
    warn : bool
        Whether the first configuration with symmetry functions outside of their training range is an
        ExtrapolationWarning. The number of all such configurations is `extrapolated`.

    Raises
    ------
    InputError, StaleFileError
        The potential cannot be read.
    """

    implemented_properties = [*MEANS, *SPREADS, SAMPLES]

    def __init__(
        self,
        potential: str | Path | Potential = "potential",
        *,
        samples: int | None = None,
        skin: float = SKIN,
        threads: int | None = None,
        virials: bool = False,
        sigma_every: int = 0,
        bias: float = 0.0,
        warn: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        if not isinstance(potential, Potential):
            self.parameters.update(potential=str(potential), samples=samples)
            potential = load(potential, samples, threads or 1)
        elif samples is not None:
            raise ValueError("samples: give them to bnnp.load, or give BNNP the directory")
        elif threads is not None:
            potential = potential.with_options(threads=threads)
        self.parameters.update(skin=skin, sigma_every=sigma_every)
        self.potential, self.sigma_every, self.virials, self.bias = potential, sigma_every, virials, bias
        if bias and (potential.samples < 2 or potential.resample or potential.model.electrostatics):
            raise ValueError("bias: needs several samples with frozen masks, and no charges")
        self.evaluations = 0  # configurations so far; numbers the masks of `mc_masks resample`
        self.extrapolated, self._warn = 0, warn
        self._starts: ChargeStarts = {}
        self._descriptors: Array | None = None
        self._current: NeighborList | None = None
        self._pairs = SkinNeighbors(potential.descriptor.radius, skin / potential.units.angstrom)
        networks = potential.model.electrostatics is not None
        own = ["charges"] + ["charges_std"] * (networks and potential.samples > 1)
        if potential.samples < 2:
            self.implemented_properties = list(MEANS)
        elif potential.calibration is not None:
            self.implemented_properties = [*MEANS, *SPREADS, SAMPLES, *RAW]
        if potential.model.charged:  # no share of the atoms in the virial
            missing = {"virials", "heat_flux", *[SAMPLES] * networks}
            kept = [name for name in self.implemented_properties if name not in missing]
            self.implemented_properties = [*kept, *own]

    def set(self, **changes: Any) -> dict[str, Any]:
        """ASE's way to change parameters; here they are fixed by the constructor (ValueError)."""
        if changes:
            raise ValueError(f"BNNP has no parameter {', '.join(changes)} to set: make a new calculator")
        return {}

    def check_state(self, atoms: Atoms, tol: float = 0.0) -> list[str]:
        """Names of the quantities that have changed since the last calculation.

        Only those that the potential depends on, and compared exactly, as ASE asks several times per step.
        """
        known = self.atoms
        if known is None:
            return list(all_changes)
        return [
            name
            for name, former, now in (
                ("positions", known.positions, atoms.positions),
                ("numbers", known.numbers, atoms.numbers),
                ("cell", known.cell.array, atoms.cell.array),
                ("pbc", known.pbc, atoms.pbc),
                ("initial_charges", self._charge(known), self._charge(atoms)),
            )
            if not np.array_equal(former, now)
        ]

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Fill ``results``; ASE calls this.

        Raises
        ------
        InputError, NumericalError
            No atoms; an element the potential does not know; atoms that coincide.
        """
        if atoms is not None:
            self.atoms = atoms.copy()
        assert self.atoms is not None
        if len(self.atoms) == 0:
            raise InputError("Atoms() without atoms have no energy; build or read a structure first")
        if system_changes:
            self.evaluations += 1
            self.results = {}
        structure, share = self._structure(self.atoms)
        if {"stress", "stress_std"} & set(properties) and not np.isfinite(share):
            raise PropertyNotImplementedError("a structure whose cell has no volume has no stress")
        asked = set(properties)
        due = self.sigma_every > 0 and self.evaluations % self.sigma_every == 0
        spreads = due or bool(asked & COSTLY)
        derivatives = spreads or bool(asked & DERIVATIVES)
        pairs = self._pairs.find(structure.positions, structure.cell, structure.numbers)
        virials = "virials" in asked or (self.virials and derivatives and not spreads)
        prediction = self.potential.predict(
            structure, derivatives, derivatives, spreads, pairs, virials, self._starts
        )
        self._descriptors, self._current = prediction.descriptors, pairs
        if system_changes:
            self._note_extrapolation(structure)
        found = self._in_ase_units(prediction, share)
        if self.bias and "bias_forces" not in self.results:
            found = self._biased(found, prediction, structure, pairs, share)
        self.results = found | self.results  # a later calculation of std must not change a bit of the forces
        for target in (atoms, self.atoms):
            if target is not None:
                show_spreads(target, self.results)

    def _biased(
        self,
        found: dict[str, Any],
        prediction: Prediction,
        structure: Structure,
        pairs: NeighborList,
        share: float,
    ) -> dict[str, Any]:
        """Results with the bias."""
        units, raw, totals = self.potential.units, prediction.energy.raw, prediction.samples
        assert raw is not None
        assert totals is not None
        bias: dict[str, Any] = {"energy": -self.bias * raw * units.ev}
        if "forces" in found:
            gradient = sigma_gradient(self.potential, structure, pairs, prediction.descriptors, totals)
            bias["forces"] = -self.bias * gradient.forces * (units.ev / units.angstrom)
            if "stress" in found and gradient.stress is not None:
                bias["stress"] = -self.bias * gradient.stress * (units.ev / units.angstrom**3 * share)
        total = {name: found[name] + value for name, value in bias.items()}
        total["free_energy"] = total["energy"]
        return found | total | {f"bias_{name}": value for name, value in bias.items()}

    def get_property(self, name: str, atoms: Atoms | None = None, allow_calculation: bool = True) -> Any:
        """A result; ASE calls this. The heat flux is made anew, as it follows the velocities."""
        if name != "heat_flux":
            return super().get_property(name, atoms, allow_calculation)  # type: ignore[no-untyped-call]
        moving = self.atoms if atoms is None else atoms
        virials = super().get_property("virials", atoms, allow_calculation)  # type: ignore[no-untyped-call]
        return None if virials is None or moving is None else self.heat_flux(moving).total

    def heat_flux(self, atoms: Atoms) -> HeatFlux:
        """The heat flux of `atoms`, total and convective part apart, in ASE's units.

        The energies of the atoms have the free-atom energies in them, as in LAMMPS.
        """
        virials, energies = (self.get_property(name, atoms) for name in ("virials", "energies"))
        return HeatFlux.of(atoms.get_masses(), atoms.get_velocities(), energies, virials)

    @property
    def searches(self) -> int:
        """Number of neighbor searches so far."""
        return self._pairs.searches

    def extrapolations(self, atoms: Atoms) -> int:
        """Number of symmetry functions of the configuration outside their training range."""
        self.get_property("energy", atoms)
        return int(np.count_nonzero(self._outside(self._structure(atoms)[0])))

    def _outside(self, structure: Structure) -> NDArray[np.bool_]:
        """Which symmetry functions of the current configuration are outside, (n_atoms, width)."""
        assert self._descriptors is not None
        types, (lower, upper) = self.potential.types(structure), self.potential.training_ranges
        return (self._descriptors < lower[types]) | (self._descriptors > upper[types])

    def _note_extrapolation(self, structure: Structure) -> None:
        """Count a configuration that extrapolates; the first is a warning."""
        outside = self._outside(structure)
        if not outside.any():
            return
        self.extrapolated += 1
        if self._warn and self.extrapolated == 1:
            atom, function = np.argwhere(outside)[0]
            warnings.warn(
                f"BNNP extrapolates: symmetry function {function + 1} of atom {atom} "
                f"({structure.symbols[atom]}) and {np.count_nonzero(outside) - 1} more are outside of their "
                "training range. Further configurations are only counted (calculator.extrapolated)",
                ExtrapolationWarning,
                stacklevel=2,
            )

    def neighbors(self, atoms: Atoms) -> NeighborList:
        """Pairs within the cutoff of the potential, vectors in Angstrom."""
        self.get_property("energy", atoms)
        assert self._current is not None
        return replace(self._current, vectors=self._current.vectors * self.potential.units.angstrom)

    def _structure(self, atoms: Atoms) -> tuple[Structure, float]:
        """The structure in units of the potential, and its volume over that of the cell of the atoms."""
        length = self.potential.units.angstrom
        charged = self.potential.model.charged
        cell, share = periodic_cell(atoms, length * (self._pairs.cutoff + self._pairs.skin))
        structure = Structure(
            numbers=atoms.numbers.astype(np.int64),
            positions=atoms.positions / length,
            cell=None if cell is None else cell / length,
            pbc=(bool(atoms.pbc[0]), bool(atoms.pbc[1]), bool(atoms.pbc[2])) if charged else PERIODIC,
            charge=self._charge(atoms),
            index=self.evaluations - 1,
        )
        return structure, share

    def _charge(self, atoms: Atoms) -> float:
        """Total charge in e; 0 for a potential without charges, which does not depend on it."""
        if not self.potential.model.charged:
            return 0.0
        told = find_total_charge(atoms)
        return float(atoms.get_initial_charges().sum()) if told is None else told

    def _in_ase_units(self, prediction: Prediction, share: float) -> dict[str, Any]:
        """The results for ASE, in the order in which files have them: values, std, raw std."""
        units = self.potential.units
        energy, force, stress = units.ev, units.ev / units.angstrom, units.ev / units.angstrom**3 * share
        atoms = replace(prediction.atoms, value=prediction.atoms.value + prediction.free_atoms)
        quantities: dict[str, tuple[Estimate[Any] | None, float]] = {
            "energy": (prediction.energy, energy),
            "free_energy": (Estimate(prediction.energy.value), energy),
            "energies": (atoms, energy),
            "forces": (prediction.forces, force),
            "stress": (prediction.stress, stress),
            "charges": (prediction.charges, 1.0),
        }
        values, spreads, raw = {}, {}, {}
        for name, (estimate, factor) in quantities.items():
            if estimate is None or not np.isfinite(factor):
                continue
            values[name] = estimate.value * factor
            if estimate.std is not None:
                spreads[f"{name}_std"] = estimate.std * factor
            if f"{name}_std_raw" in self.implemented_properties and estimate.raw is not None:
                raw[f"{name}_std_raw"] = estimate.raw * factor
        for name, array in (("virials", prediction.virials), (SAMPLES, prediction.samples)):
            if array is not None:
                values[name] = array * energy
        return values | spreads | raw


def show_spreads(atoms: Atoms, results: dict[str, Any]) -> None:
    """Store the standard deviations of `results` in ``info`` and ``arrays``, and remove former ones."""
    for name in (*SPREADS, *RAW):
        store = atoms.arrays if name in ("energies_std", "forces_std", "forces_std_raw") else atoms.info
        store.pop(name, None)
        if name in results:
            store[name] = np.copy(results[name]) if store is atoms.arrays else results[name]


def periodic_cell(atoms: Atoms, reach: float) -> tuple[Array | None, float]:
    """A cell that is periodic along all axes and gives the same neighbors within `reach`, Angstrom.

    Axes without periodicity get a vector normal to the others, so long that no image is a neighbor.

    Returns
    -------
    cell : (3, 3) float64, Angstrom, or None
        None without any periodicity.
    share : float
        Its volume over that of ``atoms.cell``, the factor of the stress; infinite without periodicity and for
        the flat cell of a slab.
    """
    periodic = np.asarray(atoms.pbc)
    if not periodic.any():
        return None, np.inf
    cell = np.array(atoms.cell)
    if periodic.all():
        return cell, 1.0
    volume = abs(np.linalg.det(cell))
    cell = closed_cell(atoms.positions, cell, (periodic[0], periodic[1], periodic[2]), reach)
    share = abs(np.linalg.det(cell)) / volume if volume > 0.0 else np.inf
    return cell, float(share)


if "bnnp" not in external_calculators:
    register_calculator_class("bnnp", BNNP)
