r"""Lifetimes of phonons and thermal conductivity by the Boltzmann equation, of every sample of a potential.

.. math::
    \tau_\lambda = \frac{1}{2 \Gamma_\lambda}, \qquad
    \kappa = \frac{1}{N V} \sum_\lambda C_\lambda\, v_\lambda \otimes v_\lambda\, \tau_\lambda

in the relaxation-time approximation, Gamma by three-phonon scattering (A. Togo, L. Chaput, I. Tanaka, Phys.
Rev. B 91, 094306 (2015)), or by the direct solution of the linearized equation (L. Chaput, Phys. Rev. Lett.
110, 265506 (2013)): phono3py, with forces of all samples from one evaluation of each displaced supercell.
Without isotopes and boundaries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from crystal import Lattice, by_sample
from numpy.typing import NDArray
from phonons import Spread

from bnnp.analysis.phonons import STABLE
from bnnp.command import say
from bnnp.errors import InputError
from bnnp.io.tables import write_table
from bnnp.messages import count
from bnnp.potential.potential import Potential

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Lifetimes:
    """Of all samples and last, S + 1st, of the potential, on the irreducible points of a mesh.

    Parameters
    ----------
    q_points : (n_q, 3) float64
        In units of the reciprocal lattice vectors.
    weights : (n_q,) int64
    frequencies : (n_q, modes, S + 1) float64, THz
    times : (n_temperatures, n_q, modes, S + 1) float64, ps
        NaN of acoustic modes at the zone center, and where a mode is not scattered.
    conductivity : (n_temperatures, 6, S + 1) float64, W/(m K)
        In the order xx yy zz yz xz xy.
    """

    q_points: Array
    weights: NDArray[np.int64]
    frequencies: Array
    times: Array
    conductivity: Array


def demand_phono3py() -> None:
    """Raise InputError if phono3py is missing."""
    try:
        import phono3py  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError(
            f"{error.name} is not installed, and it finds lifetimes of phonons. Install it with `pip install "
            "phono3py`, or bnnp with `pip install '.[phonons]'`, then run the same command again."
        ) from None


def find_lifetimes(
    potential: Potential,
    lattice: Lattice,
    repeats: tuple[int, int, int],
    mesh: float,
    distance: float,
    kelvin: Sequence[float],
    full: bool,
) -> Lifetimes:
    """Third-order force constants and the Boltzmann equation, sample by sample.

    Parameters
    ----------
    lattice : Lattice
        Of the force constants of second order.
    repeats : three int
        Supercell of those of third order.
    mesh : float, Angstrom
        Points along a reciprocal vector b are mesh |b|.
    distance : float, Angstrom
        Of the displacements.
    full : bool
        Whether the linearized equation is solved, beyond relaxation times.
    """
    crystal = displacements(lattice, repeats, distance)
    third = forces_of(potential, crystal.supercells_with_displacements)
    second = forces_of(potential, crystal.phonon_supercells_with_displacements)
    chosen = range(third.shape[-1]) if potential.samples > 1 else [third.shape[-1] - 1]
    crystal.mesh_numbers = mesh
    found = []
    for sample in chosen:
        crystal.forces, crystal.phonon_forces = third[..., sample], second[..., sample]
        crystal.produce_fc3()
        crystal.symmetrize_fc3()
        crystal.produce_fc2()
        crystal.symmetrize_fc2()
        crystal.init_phph_interaction()
        crystal.run_thermal_conductivity(is_LBTE=full, temperatures=list(kelvin))
        solved = crystal.thermal_conductivity
        found.append((solved.frequencies, solved.gamma[0].copy(), solved.kappa[0].copy()))
    frequencies, rates, conductivity = (
        np.stack(part * (1 if len(chosen) > 1 else 2), axis=-1)
        for part in map(list, zip(*found, strict=True))
    )
    demand_stable(frequencies)
    q_points = np.asarray(solved.qpoints)
    times = times_of(q_points, frequencies, rates)
    return Lifetimes(q_points, np.asarray(solved.grid_weights), frequencies, times, conductivity)


def times_of(q_points: Array, frequencies: Array, rates: Array) -> Array:
    """Lifetimes in ps from rates in THz, of the shapes of :class:`Lifetimes`.

    NaN of acoustic modes at the zone center, and where nothing scatters.
    """
    at_center = np.all(q_points == 0.0, axis=1)[:, np.newaxis, np.newaxis]
    scattered = (rates > 0.0) & ~(at_center & (np.abs(frequencies) < STABLE))
    return 1.0 / np.where(scattered, 4.0 * np.pi * rates, np.nan)  # gamma is in THz, not 2 pi THz


def write_lifetimes(out: str, found: Lifetimes, kelvin: Sequence[float], spread: Spread) -> dict[str, Array]:
    """Conductivity over the temperature, lifetime of each mode; conductivities by name, (S + 1,) W/(m K)."""
    names, columns = ["T"], [np.array(kelvin)]
    scalars = {}
    for place, component in enumerate(("xx", "yy", "zz", "yz", "xz", "xy")):
        more, own = spread.columns(f"kappa_{component}", found.conductivity[:, place])
        names += more
        columns += own
        for row, temperature in enumerate(kelvin):
            scalars[f"kappa_{component}:{temperature:g}K"] = found.conductivity[row, place]
    write_table(Path(f"{out}_kappa.out"), names, columns, f"K, W/(m K); {spread.text}")
    shown = ", ".join(spread.shown(f"kappa_xx({t:g} K)", scalars[f"kappa_xx:{t:g}K"]) for t in kelvin)
    say(f"{out}_kappa.out: {shown} W/(m K)")
    n_q, modes = found.frequencies.shape[:2]
    names, columns = (
        ["q_a", "q_b", "q_c", "weight", "branch"],
        list(np.repeat(found.q_points, modes, axis=0).T),
    )
    columns += [np.repeat(found.weights, modes).astype(float), np.tile(np.arange(1.0, modes + 1), n_q)]
    series = {"f": found.frequencies} | {
        f"tau_{t:g}K": times for t, times in zip(kelvin, found.times, strict=True)
    }
    for name, values in series.items():
        more, own = spread.columns(name, values.reshape(n_q * modes, -1))
        names += more
        columns += own
    path = Path(f"{out}_lifetimes.out")
    write_table(path, names, columns, f"THz, ps (NaN: not scattered); {spread.text}")
    say(f"{path}: {count(n_q, 'wave vector')}, {count(modes, 'branch', 'branches')}")
    return scalars


def displacements(lattice: Lattice, repeats: tuple[int, int, int], distance: float) -> Any:
    """Phono3py with the displaced supercells of second and third order."""
    from phono3py import Phono3py
    from phonopy.structure.atoms import PhonopyAtoms

    atoms = lattice.atoms
    cell = PhonopyAtoms(
        symbols=list(atoms.symbols),
        cell=atoms.cell.array,
        scaled_positions=atoms.get_scaled_positions(),
        masses=atoms.get_masses(),
    )
    crystal = Phono3py(
        cell,
        supercell_matrix=np.diag(repeats),
        primitive_matrix="P",
        phonon_supercell_matrix=np.diag(lattice.repeats),
    )
    crystal.generate_displacements(distance=distance)
    crystal.generate_fc2_displacements(distance=distance)
    n = len(crystal.supercells_with_displacements)
    say(f"third-order force constants: {count(n, 'supercell')} of {count(len(crystal.supercell), 'atom')}")
    return crystal


def forces_of(potential: Potential, supercells: Sequence[Any]) -> Array:
    """(n, n_atoms, 3, S + 1) eV/Angstrom."""
    return np.array(
        [
            by_sample(potential, Atoms(each.symbols, each.positions, cell=each.cell, pbc=True)).forces
            for each in supercells
        ]
    )


def demand_stable(frequencies: Array) -> None:
    """Raise InputError if the crystal has imaginary modes; say how many samples have."""
    if (lowest := frequencies[..., -1].min()) < -STABLE:
        raise InputError(
            f"the crystal has imaginary modes ({lowest:.3g} THz on the mesh of the lifetimes), so that "
            "lifetimes and a conductivity do not exist; see the bands, and take the stable phase"
        )
    if some := int((frequencies[..., :-1].min(axis=(0, 1)) < -STABLE).sum()):
        say(f"warning: {some} of {count(frequencies.shape[-1] - 1, 'sample')} have imaginary modes")
