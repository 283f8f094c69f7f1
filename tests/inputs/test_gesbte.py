"""inputs/gesbte: which frames are used for what; peaks and bands of g(r) by hand."""

from __future__ import annotations

import argparse
import re
import runpy
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from case_scripts import load_script
from study_tools import append_rows, read_rows

from bnnp.io.input_data import read_structures
from bnnp.structure import Set

CASE = Path(__file__).resolve().parents[2] / "inputs" / "gesbte"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of 200 frames of two atoms, whose energy is the number of the frame."""
    path = tmp_path_factory.mktemp("runs")
    for material, formula in {"GeTe": "GeTe", "Sb2Te3": "SbTe", "Ge2Sb2Te5": "GeSb"}.items():
        for kelvin in (300, 600, 750, 900, 1200, 1500):
            frames = []
            for number in range(200):
                atoms = Atoms(formula, [[0, 0, 0], [2.8, 0, 0]], cell=[9, 9, 9], pbc=True)
                atoms.calc = SinglePointCalculator(atoms, energy=float(number), forces=np.zeros((2, 3)))
                frames.append(atoms)
            ase.io.write(path / f"{material}_{kelvin}K.extxyz.gz", frames, format="extxyz")
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("study", "trained", "tested", "elements"),
    [("temperatures", 3 * 20, 3 * 11 + 2 * 11, "Ge Te"), ("ends", 10 * 10, 10 * 6 + 5 * 11, "Ge Sb Te")],
)
def test_no_frame_has_two_parts(
    study: str,
    trained: int,
    tested: int,
    elements: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["prepare.py", study, str(tmp_path), str(folder)])
    runpy.run_path(str(CASE / "prepare.py"), run_name="__main__")
    fitted = list(read_structures(tmp_path / "input.data"))
    test = list(read_structures(tmp_path / "test.data"))
    assert Counter(s.subset for s in fitted)[Set.TRAIN] == trained
    assert len(test) == tested
    assert f"elements {elements}\n" in (tmp_path / "input.nn").read_text()
    used = [(s.info["group"], s.energy) for s in [*fitted, *test]]
    assert len(set(used)) == len(used)
    last = {
        x: max(s.energy or 0.0 for s in fitted if s.subset == x)
        for x in (Set.TRAIN, Set.TEST, Set.CALIBRATION)
    }
    first = {x: min(s.energy or 0.0 for s in fitted if s.subset == x) for x in last}
    known = {s.info["group"] for s in fitted}
    inside = [s.energy or 0.0 for s in test if s.info["group"] in known]
    assert last[Set.TRAIN] + 5 < first[Set.TEST]  # gaps of 0.4 ps and more
    assert last[Set.TEST] + 5 < first[Set.CALIBRATION]
    assert last[Set.CALIBRATION] + 5 < min(inside)


def test_peaks_and_bands_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """A parabola with its top at 2.83; Student's t of 4 degrees of freedom is 2.776 at 97.5 %."""
    monkeypatch.syspath_prepend(str(CASE.parents[1] / "tools"))
    liquid = runpy.run_path(str(CASE / "liquid.py"))
    r = 0.025 + 0.05 * np.arange(100)
    g = np.maximum(1.8 - 4.0 * (r - 2.83) ** 2, 0.0)
    assert liquid["vertex"](r, g) == pytest.approx((2.83, 1.8), rel=1e-9)
    teacher = {"r": r, "g_total": g, "g_total_std": np.full(100, 0.1)}
    band = 2.776445 * 0.1 * np.sqrt(2.0 / 3.0)
    for shift, inside in ((0.99 * band, 100), (1.01 * band, 0)):
        ours = teacher | {"g_total": np.where(g > 0.0, g + shift, 0.0)}
        assert f"| total | {inside} % |" in liquid["compare"]("total", (teacher, 3), (ours, 3))


def test_figure_of_two_studies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every group of both studies by two seeds; medians and ranges; a group without a result is named."""
    pytest.importorskip("matplotlib")
    names = ("energy_rmse", "energy_sigma_calibrated", "force_rmse", "force_sigma_calibrated")
    groups = {
        "crystals": [f"GeTe_{t}K" for t in (300, 600, 750, 900, 1200, 1500)],
        "ends": [f"{m}_{t}K" for m in ("Sb2Te3", "Ge2Sb2Te5") for t in (300, 600, 900, 1200, 1500)],
    }
    for study, own in groups.items():
        rows = [
            ("forces", arm, seed, group, *(10.0 * seed + k for k in range(4)))
            for arm in ("plain", "masks_after")
            for seed in (1, 2)
            for group in own
        ]
        (tmp_path / study).mkdir()
        append_rows(tmp_path / study, ("target", "arm", "seed", "group", *names), rows)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["figure.py", "crystals", "ends"])
    found = runpy.run_path(str(CASE / "figure.py"), run_name="__main__")
    assert (tmp_path / "error_and_sigma.png").stat().st_size > 1000
    rows = read_rows(tmp_path / "crystals")
    assert found["of_seeds"](rows, "plain", "GeTe_300K", "force_rmse") == (12.0, 17.0, 22.0)
    with pytest.raises(SystemExit, match="no plain for GeTe_450K"):
        found["of_seeds"](rows, "plain", "GeTe_450K", "force_rmse")


@pytest.mark.slow
def test_error_bars_by_both_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, solid_writer: Callable[..., Path]
) -> None:
    """The line has both standard deviations of g(r) and their ratio."""
    script = load_script("gesbte", "error_bars")
    monkeypatch.setattr(script, "FIRST", 100)
    monkeypatch.setattr(script, "RDF", ("--r-max", "5", "--bins", "40", "--skip", "6"))
    words = argparse.Namespace(
        folder=tmp_path / "copper",
        potential=solid_writer(tmp_path / "potential"),
        crystal=bulk("Cu", a=4.05, cubic=True) * 2,
        temperature=300.0,
        members=2,
        steps=400,
    )
    line = script.compare(words)
    numbers = re.fullmatch(r"\| copper \| 300 \| (\S+) \| (\S+) \| (\S+) \| (\S+) \| (\S+) \|", line)
    assert numbers is not None, line
    spread, reweighted, members, ratio, noise = map(float, numbers.groups())
    assert min(spread, reweighted, noise) > 0.0
    if members > 0.0:
        assert ratio == pytest.approx(reweighted / members, abs=0.01)
