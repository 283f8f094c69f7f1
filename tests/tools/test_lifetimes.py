"""bnnp phonons --lifetimes: the conductivity is that of its own lifetimes, of each sample, over 1/T."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write
from click.testing import CliRunner

import bnnp
from bnnp.cli import main
from bnnp.io.tables import read_table
from bnnp.potential.potential import Potential

KELVIN = 300.0, 600.0
MESH = 20.0
PLANCK, CHARGE, BOLTZMANN = 6.62607015e-34, 1.602176634e-19, 1.380649e-23  # CODATA 2018


@pytest.fixture(scope="module")
def crystal(tmp_path_factory: pytest.TempPathFactory, solid_writer: Callable[..., Path]):  # noqa: ANN201
    """Copper by a pair potential with three samples, and its lattice."""
    pytest.importorskip("phono3py")
    pytest.importorskip("seekpath")
    from crystal import Lattice, primitive_cell, relax

    potential = bnnp.load(solid_writer(tmp_path_factory.mktemp("copper"), samples=3))
    cell, _ = primitive_cell(relax(potential, bulk("Cu", a=4.05)), 1e-3)
    return potential, Lattice(cell, (4, 4, 4))


def found(potential: Potential, lattice: object, full: bool = False):  # noqa: ANN201
    from lifetimes import find_lifetimes

    return find_lifetimes(potential, lattice, (4, 4, 4), MESH, 0.03, KELVIN, full)


@pytest.fixture(scope="module")
def copper(crystal):  # noqa: ANN001, ANN201
    return found(*crystal)


def test_conductivity_is_that_of_the_lifetimes(crystal, copper) -> None:  # noqa: ANN001
    """kappa = sum C v^2 tau / (3 N V), heat capacity and slopes of our own frequencies.

    The slopes of all branches at a point of the mesh, of degenerate ones together, by central differences.
    """
    potential, lattice = crystal
    springs = lattice.force_constants(potential, 0.01)
    h = 1e-4  # 1/Angstrom, without 2 pi
    squares = np.zeros(copper.frequencies.shape[:2])
    for axis in range(3):
        shift = h * (np.eye(3)[axis] @ lattice.atoms.cell.array.T)
        ends = [springs.frequencies(copper.q_points + sign * shift)[..., -1] for sign in (1.0, -1.0)]
        squares += (100.0 * (ends[0] - ends[1]) / (2.0 * h)) ** 2  # (m/s)^2, THz Angstrom is 100 m/s
    share = copper.weights / copper.weights.sum()
    volume = lattice.atoms.cell.volume * 1e-30
    for row, temperature in enumerate(KELVIN):
        x = PLANCK * 1e12 * np.maximum(copper.frequencies[..., -1], 0.01) / (BOLTZMANN * temperature)
        capacity = BOLTZMANN * x**2 * np.exp(x) / np.expm1(x) ** 2
        times = np.nan_to_num(copper.times[row, ..., -1]) * 1e-12
        expected = np.einsum("q,qm,qm,qm->", share, capacity, squares, times) / (3.0 * volume)
        np.testing.assert_allclose(copper.conductivity[row, :3, -1], expected, rtol=0.05)
    np.testing.assert_allclose(copper.conductivity[:, 3:], 0.0, atol=1e-9)


def test_rates_grow_with_the_temperature(copper) -> None:  # noqa: ANN001
    """Of classical phonons like T; copper at 300 K is almost classical."""
    assert np.isnan(copper.times[..., 0, :, :]).all()  # acoustic at the zone center
    ratio = copper.times[0, 1:] / copper.times[1, 1:]
    np.testing.assert_allclose(ratio, 2.0, atol=0.15)


def test_long_lifetimes_are_kept() -> None:
    """A long acoustic wave lives for nanoseconds, 1 / (4 pi Gamma); acoustic ones at Gamma are left out."""
    from lifetimes import times_of

    q_points = np.array([[0.0, 0.0, 0.0], [0.01, 0.0, 0.0]])
    frequencies = np.array([[1e-6, 15.0], [0.04, 15.0]])[..., None]
    rates = np.array([[1e-3, 0.1], [1e-5, 0.0]])[None, ..., None]
    expected = [[np.nan, 10.0 / (4.0 * np.pi)], [1e5 / (4.0 * np.pi), np.nan]]
    np.testing.assert_allclose(times_of(q_points, frequencies, rates)[0, ..., 0], expected)


@pytest.mark.slow
def test_samples_are_the_members_alone(crystal, copper) -> None:  # noqa: ANN001
    potential, lattice = crystal
    alone = found(potential.member(1), lattice)
    np.testing.assert_allclose(copper.conductivity[:, :3, 1], alone.conductivity[:, :3, -1], rtol=1e-6)
    np.testing.assert_allclose(copper.times[..., 1], alone.times[..., -1], rtol=1e-4)
    assert np.ptp(copper.conductivity[0, 0, :3]) > 1e-3 * copper.conductivity[0, 0, -1]


@pytest.mark.slow
def test_the_full_equation_conducts_more(crystal, copper) -> None:  # noqa: ANN001
    """Relaxation times count normal processes as resistance (M. Omini, A. Sparavigna, Physica B 212, 101
    (1995)); single-mode rates are the same."""
    full = found(*crystal, full=True)
    assert (full.conductivity[:, 0] > 1.05 * copper.conductivity[:, 0]).all()
    np.testing.assert_allclose(full.times[..., -1], copper.times[..., -1], rtol=0.02)


@pytest.mark.slow
def test_files_of_the_command(crystal, copper, tmp_path: Path, solid_writer: Callable[..., Path]) -> None:  # noqa: ANN001
    write(tmp_path / "start.vasp", bulk("Cu", a=4.05))
    potential = solid_writer(tmp_path / "copper", samples=3)
    words = [
        *("phonons", tmp_path / "start.vasp", "--potential", potential, "--relax", "--supercell", "4 4 4"),
        *("--points", 10, "--mesh", 10, "--lifetimes", "rta", "--at", "300 600", "--third-mesh", MESH),
        *("--third-supercell", "4 4 4", "--reference", "kappa_xx:300K=20", "--out", tmp_path / "p"),
    ]
    done = CliRunner().invoke(main, list(map(str, words)))
    assert done.exit_code == 0, done.output
    kappa, text = read_table(tmp_path / "p_kappa.out")
    assert "std: raw, over 3 Monte Carlo samples" in text
    np.testing.assert_allclose(kappa["kappa_yy"], copper.conductivity[:, 1, -1], rtol=1e-3)
    expected = copper.conductivity[:, 1, :3].std(axis=-1, ddof=1)
    np.testing.assert_allclose(kappa["kappa_yy_std"], expected, rtol=0.01)
    table, _ = read_table(tmp_path / "p_lifetimes.out")
    assert table["weight"].sum() == 3 * copper.weights.sum()
    np.testing.assert_allclose(table["tau_600K"][3:], copper.times[1, 1:, :, -1].ravel(), rtol=1e-2)
    assert "kappa_xx:300K" in done.output
    assert "reference 20: error" in done.output


def test_bad_input_is_told(solid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also that phono3py is missing, before anything else is computed."""
    pytest.importorskip("seekpath")
    write(tmp_path / "start.vasp", bulk("Cu", a=4.05))
    common = ["phonons", str(tmp_path / "start.vasp"), "--potential", str(solid), "--lifetimes", "rta"]
    monkeypatch.setitem(sys.modules, "phono3py", None)
    done = CliRunner().invoke(main, common)
    assert done.exit_code == 1
    assert "phono3py is not installed" in done.output
    done = CliRunner().invoke(main, [*common, "--at", "0 300"])
    assert done.exit_code == 2
    assert "expected temperatures above 0 K" in done.output


def test_supercell_of_third_order(solid: Path) -> None:
    """Two cutoffs of 5 Angstrom: four repeats of the nearest-neighbor distance."""
    pytest.importorskip("seekpath")
    from crystal import Lattice

    from bnnp.errors import InputError

    potential, lattice = bnnp.load(solid), Lattice(bulk("Cu", a=4.05), (7, 7, 7))
    assert lattice.third_repeats(None, potential) == (4, 4, 4)
    with pytest.raises(InputError, match=r"--third-supercell '3 3 3'.* is 8.59 Angstrom"):
        lattice.third_repeats("3 3 3", potential)
