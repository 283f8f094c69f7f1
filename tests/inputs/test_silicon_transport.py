"""inputs/silicon_transport: the exact potential against published numbers, the two training sets."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from case_scripts import load_script

from bnnp.settings.settings import load_settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def study():  # noqa: ANN201
    pytest.importorskip("seekpath")
    return load_script("silicon_transport", "study")


def test_input_is_without_warning() -> None:
    settings = load_settings(ROOT / "inputs" / "silicon_transport" / "input.nn", 2)
    assert settings.warnings == ()
    assert max(function.r_c for function in settings.model.functions["Si"]) == 4.0


def test_elastic_constants_of_the_exact_potential(study, tmp_path: Path) -> None:  # noqa: ANN001
    """E. R. Cowley, Phys. Rev. Lett. 60, 2379 (1988): C11 151.4, C12 76.4, C44 56.4 GPa."""
    potential = study.Exact()
    springs = study.Lattice(study.crystal(), (2, 2, 2)).force_constants(potential, 0.01)
    spread = study.Spread((1,), "")
    found = study.write_elastic(tmp_path / "elastic.out", potential, study.crystal(), springs, spread)
    for name, value in {"C11": 151.4, "C12": 76.4, "C44": 56.4}.items():
        assert found[name][-1] == pytest.approx(value, abs=0.15)


@pytest.mark.slow
def test_training_sets_are_equally_large(study, tmp_path: Path) -> None:  # noqa: ANN001
    sets = study.training_sets(tmp_path, 2)
    assert {name: len(structures) for name, structures in sets.items()} == {"hot": 26, "near": 26}
    groups = Counter(structure.info["group"] for structure in sets["near"])
    assert groups["small_displacements"] == 13
    near = [s for s in sets["near"] if s.info["group"] == "small_displacements"]
    assert all(s.energy is not None and s.forces is not None and s.stress is not None for s in near)
    assert np.ptp([s.energy / len(s) for s in near]) > 0.001
