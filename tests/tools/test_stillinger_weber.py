"""tools/stillinger_weber.py: published values of the crystal, derivatives, scaling, repeatable runs."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import stillinger_weber as tool
from ase.build import bulk
from click.testing import CliRunner

from bnnp.io.input_data import read_structures


def rattled(element: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    atoms = bulk(element, "diamond", a=tool.ELEMENTS[element].lattice, cubic=True)
    rng = np.random.default_rng(seed)
    cell = np.array(atoms.cell) @ (np.eye(3) + rng.normal(0, 0.02, (3, 3)))
    return atoms.get_scaled_positions() @ cell + rng.normal(0.0, 0.15, (8, 3)), cell


def test_silicon_crystal_has_its_cohesive_energy() -> None:
    """The potential was made to have two units of epsilon an atom, with sigma from a = 5.431 Angstrom."""
    atoms = bulk("Si", "diamond", a=5.4309497, cubic=True)
    energy, forces, virial = tool.evaluate(atoms.positions, np.array(atoms.cell), tool.ELEMENTS["Si"])
    assert energy / 8 == pytest.approx(-2.0 * 2.1683, rel=1e-5)
    assert np.abs(forces).max() < 1e-10
    assert np.abs(virial).max() < 5e-3


def test_free_cluster_is_the_sum_of_the_formula() -> None:
    own = tool.ELEMENTS["Ge"]
    positions = np.random.default_rng(5).uniform(0, 3.5, (5, 3))
    a = tool.CUTOFF * own.sigma

    def r(i: int, j: int) -> float:
        return float(np.linalg.norm(positions[j] - positions[i]))

    expected = 0.0
    for i, j in combinations(range(5), 2):
        if r(i, j) < a - 1e-3 * own.sigma:
            ratio = own.sigma / r(i, j)
            expected += tool.A * own.epsilon * (tool.B * ratio**4 - 1) * np.exp(own.sigma / (r(i, j) - a))
    for i in range(5):
        for j, k in combinations([n for n in range(5) if n != i and r(i, n) < a - 1e-3 * own.sigma], 2):
            cosine = (positions[j] - positions[i]) @ (positions[k] - positions[i]) / r(i, j) / r(i, k)
            fade = np.exp(1.2 * own.sigma / (r(i, j) - a) + 1.2 * own.sigma / (r(i, k) - a))
            expected += own.epsilon * 31.0 * (cosine + 1 / 3) ** 2 * fade
    assert tool.evaluate(positions, None, own)[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("element", ["Si", "Ge"])
def test_forces_and_stress_are_derivatives(element: str) -> None:
    positions, cell = rattled(element)
    own, step = tool.ELEMENTS[element], 1e-5
    _, forces, virial = tool.evaluate(positions, cell, own)
    rng = np.random.default_rng(1)
    for _ in range(4):
        shift = rng.normal(size=(8, 3))
        ends = [tool.evaluate(positions + s * step * shift, cell, own)[0] for s in (1, -1)]
        assert (forces * shift).sum() == pytest.approx(-(ends[0] - ends[1]) / (2 * step), rel=1e-7)
        strain = rng.normal(size=(3, 3))
        strain += strain.T
        bent = [np.eye(3) + s * step * strain for s in (1, -1)]
        ends = [tool.evaluate(positions @ b, cell @ b, own)[0] for b in bent]
        assert (virial * strain).sum() == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-6)


def test_germanium_with_silicon_s_angles_is_silicon_scaled() -> None:
    silicon, germanium = tool.ELEMENTS["Si"], tool.ELEMENTS["Ge"]
    positions, cell = rattled("Si")
    length, energy = germanium.sigma / silicon.sigma, germanium.epsilon / silicon.epsilon
    like = tool.Parameters(germanium.epsilon, germanium.sigma, silicon.lambda_, germanium.lattice)
    old, new = tool.evaluate(positions, cell, silicon), tool.evaluate(length * positions, length * cell, like)
    assert new[0] == pytest.approx(energy * old[0])
    np.testing.assert_allclose(new[1], energy / length * old[1], atol=1e-10)


def test_runs_are_repeatable_and_labeled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool, "EQUILIBRATION", 10)
    monkeypatch.setattr(tool, "INTERVAL", 5)
    for name in "ab":
        command = ["Ge", str(tmp_path / name), "--temperatures", "300", "600", "2", "--frames", "1"]
        result = CliRunner().invoke(tool.main, command)
        assert result.exit_code == 0, result.output
    assert (tmp_path / "a").read_text() == (tmp_path / "b").read_text()
    structures = list(read_structures(tmp_path / "a"))
    assert [s.info["group"] for s in structures] == ["300K", "600K"]
    own = tool.ELEMENTS["Ge"]
    for structure in structures:
        energy, forces, virial = tool.evaluate(structure.positions, structure.cell, own)
        assert structure.energy == pytest.approx(energy)
        np.testing.assert_allclose(structure.forces, forces, atol=1e-8)
        volume = abs(np.linalg.det(structure.cell))
        np.testing.assert_allclose(structure.stress[:3], np.diag(virial) / volume, atol=1e-10)
