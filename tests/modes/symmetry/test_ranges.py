"""What mode 1 says about its functions: ranges, constant and nearly constant ones, repetitions."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bnnp.log import Log
from bnnp.modes.symmetry.ranges import Ranges, measure_ranges, report_ranges
from bnnp.settings.settings import Settings, load_settings

MPIEXEC = Path(sys.executable).with_name("mpiexec")
INPUT = """\
units metal
number_of_elements 1
elements Ge
nn_type_short 1
use_short_nn
cutoff_type 1
random_seed 1
test_fraction 0.1
symfunction_short Ge 2 Ge 0.1 0 6
symfunction_short Ge 2 Ge 0.2 0 6
symfunction_short Ge 2 Ge 0.3 0 6
symfunction_short Ge 2 Ge 0.4 0 6
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "input.nn").write_text(INPUT)
    return load_settings(tmp_path / "input.nn", 1)


def values(n_atoms: int = 500) -> np.ndarray:
    """One that varies, a copy of it with the other sign, a nearly constant one, one that is like none."""
    rng = np.random.default_rng(4)
    first, noise, small, other = rng.normal(size=(4, n_atoms))
    return np.stack([first, 100.0 - 3.0 * first + 0.03 * noise, 2.0 + 1e-6 * small, other], axis=1)


def file_of(rows: np.ndarray) -> SimpleNamespace:
    """As much of a descriptor file as is read here."""
    definitions = {"Ge": tuple("abcd")}
    return SimpleNamespace(elements=("Ge",), definitions=definitions, descriptors=lambda element: rows)


def told(found: dict[str, Ranges], settings: Settings) -> str:
    stream = io.StringIO()
    report_ranges(found, settings, Log(stream, enabled=True))
    return stream.getvalue()


def test_twins_and_nearly_constant_functions_are_named(settings: Settings) -> None:
    found = measure_ranges(file_of(values()))
    text = told(found, settings)
    expected = np.corrcoef(values().T)[0, 1]
    flat = " ".join(text.split())
    assert f"2 {expected:+.6f} 1 Ge 2 Ge 0.2 0 6 and Ge 2 Ge 0.1 0 6" in flat
    assert "Ge 2 Ge 0.3 0 6 nearly constant" in flat
    assert "1 symmetry function hardly varies" in flat
    assert f"remove {settings.file} line 11" in flat
    assert "in these data 1 of all functions (4) repeat another" in flat
    assert "never var" not in text


def test_few_atoms_make_no_twins(settings: Settings) -> None:
    """Any two functions of two atoms hang together perfectly."""
    assert "repeat another" not in told(measure_ranges(file_of(values(2))), settings)
    assert measure_ranges(file_of(values(0)))["Ge"].twins == []


def test_constant_function_is_no_twin(settings: Settings) -> None:
    rows = values()
    rows[:, 3] = rows[:, 1] = 5.0
    text = told(measure_ranges(file_of(rows)), settings)
    assert "repeat another" not in text
    assert "2 symmetry functions never vary" in " ".join(text.split())


PROGRAM = """
import sys, types
import numpy as np
from bnnp import parallel
from bnnp.modes.symmetry import ranges

rows = np.load(sys.argv[1])
ranges.PIECE = 8 * rows.shape[1] * 50  # 50 rows
file = types.SimpleNamespace(elements=("Ge",), definitions={"Ge": "abcd"}, descriptors=lambda element: rows)
found = ranges.measure_ranges(file)["Ge"]
if parallel.is_root():
    moments, comoments = found
    both = {"own": comoments.mean, "products": comoments.products}
    np.savez(sys.argv[2], mean=moments.mean, sigma=moments.sigma, **both)
"""


@pytest.mark.slow
@pytest.mark.skipif(not MPIEXEC.exists(), reason="no mpiexec")
def test_ranks_and_pieces_do_not_matter(tmp_path: Path) -> None:
    """Ranges to the last bit; products about one mean, or functions far from 0 would lose their digits."""
    rows = values(1003) + [0.0, 0.0, 1e4, 1e6]
    np.save(tmp_path / "rows.npy", rows)
    found = []
    for ranks in (1, 3):
        output = tmp_path / f"{ranks}.npz"
        launcher = [str(MPIEXEC), "-n", str(ranks)] if ranks > 1 else []
        command = [*launcher, sys.executable, "-c", PROGRAM, str(tmp_path / "rows.npy"), str(output)]
        subprocess.run(command, check=True, timeout=120)
        found.append(np.load(output))
    one, three = found
    np.testing.assert_array_equal(three["mean"], one["mean"])
    np.testing.assert_array_equal(three["sigma"], one["sigma"])
    centered = rows - rows.mean(axis=0)
    size = np.sqrt(np.multiply.outer(*2 * [np.square(centered).sum(axis=0)]))
    for each in found:
        np.testing.assert_allclose(each["own"], rows.mean(axis=0), rtol=1e-14)
        np.testing.assert_allclose(each["products"] / size, centered.T @ centered / size, atol=1e-5)
        np.testing.assert_allclose(each["products"][:2, :2], (centered.T @ centered)[:2, :2], rtol=1e-10)
