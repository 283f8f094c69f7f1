"""bnnp analyze --error-bars after a run with md_samples, and what it says of bad input."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from click.testing import CliRunner, Result

from bnnp.cli import main
from bnnp.io.ase_atoms import from_atoms
from bnnp.io.input_data import write_structures
from bnnp.io.tables import read_table
from bnnp.units import METAL

FINE = ("--r-max", "6", "--bins", "60", "--skip", "1")  # 60 frames: blocks of one size
KB = 8.617333262e-5  # eV/K, CODATA 2018


def call(folder: Path, *words: str) -> Result:
    with contextlib.chdir(folder):
        return CliRunner().invoke(main, list(words))


def make(folder: Path, writer: Callable[..., Path], text: str) -> Path:
    head = (
        "threads 1\nmd_temperature 300\nmd_thermostat langevin\nmd_write_every 5\nmd_uncertainty_every 1000\n"
    )
    writer(folder, extra=head + text)
    crystal = from_atoms(bulk("Cu", a=4.05, cubic=True) * 2, METAL, labels=False)
    write_structures(folder / "input.data", [crystal])
    done = call(folder, "--mode", "3")
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, solid_writer: Callable[..., Path]) -> tuple[Path, str]:
    folder = make(tmp_path_factory.mktemp("run"), solid_writer, "md_steps 300\nmd_samples 5\n")
    done = call(folder, "analyze", "trajectory.extxyz", "--error-bars", *FINE)
    assert done.exit_code == 0, done.output
    return folder, done.output


def test_tables_and_numbers(run: tuple[Path, str]) -> None:
    """The average energy is that of the frames; both errors are there, and g(r) of no frame changes."""
    folder, text = run
    frames = ase.io.read(folder / "trajectory.extxyz", "1:")
    energy = np.mean([frame.get_potential_energy() for frame in frames]) / 32
    assert float(re.search(r"E_pot \(eV/atom\): (\S+),", text)[1]) == pytest.approx(energy, rel=1e-5)
    rdf, header = read_table(folder / "rdf.out")
    assert {"r", "g_total", "g_total_err", "g_total_std", "g_Cu-Cu"} <= set(rdf)
    assert "std: of the model" in header
    inside = (rdf["r"] > 2.6) & (rdf["r"] < 3.2)
    assert rdf["g_total_std"][inside].max() > 0.0
    assert (folder / "adf.out").is_file()
    call(folder, "analyze", "trajectory.extxyz", "--rdf", *FINE, "--out", "plain")
    plain, _ = read_table(folder / "plain_rdf.out")
    np.testing.assert_allclose(rdf["g_total"], plain["g_total"], rtol=1e-6)


def test_the_spread_is_told(run: tuple[Path, str]) -> None:
    """(V_s - V) / kT from the file, by hand."""
    folder, text = run
    table, _ = read_table(folder / "sample_energies.out")
    deviations = [(table[f"V_{s}"] - table["E_pot"]) / (KB * table["T"][1:].mean()) for s in range(1, 11)]
    deviations = np.array(deviations)[:, 1:]
    spread = np.std(deviations, axis=1)
    numbers = re.search(r"scatters by (\S+) \(root mean square\), (\S+) \(most\)", text)
    typical = np.sqrt(np.mean(spread**2))
    assert float(numbers[1]) == pytest.approx(typical, rel=0.05)
    assert float(numbers[2]) == pytest.approx(spread.max(), rel=0.05)
    assert ("first order holds" in text) == (typical <= 1.0)


def test_a_large_spread_is_a_warning(run: tuple[Path, str], tmp_path: Path) -> None:
    """The same run with the energies of the samples a thousand times as far apart."""
    folder, _ = run
    shutil.copy(folder / "trajectory.extxyz", tmp_path)
    lines = (folder / "sample_energies.out").read_text().splitlines()
    rows = np.array([line.split() for line in lines[1:]], dtype=float)
    rows[:, 6:] = rows[:, [5]] + 1000.0 * (rows[:, 6:] - rows[:, [5]])
    text = "\n".join([lines[0], *(" ".join(map(repr, row)) for row in rows.tolist())])
    (tmp_path / "sample_energies.out").write_text(text + "\n")
    done = call(tmp_path, "analyze", "trajectory.extxyz", "--error-bars")
    assert done.exit_code == 0, done.output
    assert "only a rough guide" in done.output


def test_deviations_by_the_calibration(run: tuple[Path, str], tmp_path: Path) -> None:
    """The factor stands in the header, 1 without a calibration; --factor comes first. With a tenth of the
    deviations the std is a tenth, less the noise of few frames, which is a tenth as well."""
    folder, raw = run
    assert "deviations of the samples: raw" in raw
    shutil.copy(folder / "trajectory.extxyz", tmp_path)
    header, _, rows = (folder / "sample_energies.out").read_text().partition("\n")
    assert "deviations from E_pot times 1 are of the size of errors" in header
    (tmp_path / "sample_energies.out").write_text(f"{header.replace('times 1 ', 'times 0.1 ')}\n{rows}")
    whole, _ = read_table(folder / "rdf.out")
    done = call(tmp_path, "analyze", "trajectory.extxyz", "--error-bars", *FINE)
    assert "samples times 0.1 (sample_energies.out)" in " ".join(done.output.split())
    tenth, _ = read_table(tmp_path / "rdf.out")
    np.testing.assert_allclose(tenth["g_total_std"], 0.1 * whole["g_total_std"], rtol=1e-5, atol=1e-9)
    done = call(tmp_path, "analyze", "trajectory.extxyz", "--error-bars", "--factor", "2", *FINE)
    assert "samples times 2 (--factor)" in " ".join(done.output.split())
    twice, _ = read_table(tmp_path / "rdf.out")
    np.testing.assert_allclose(twice["g_total_std"], 2.0 * whole["g_total_std"], rtol=1e-5, atol=1e-9)
    assert call(tmp_path, "analyze", "trajectory.extxyz", "--rdf", "--factor", "2").exit_code == 2


def as_lammps(folder: Path, into: Path, header: str = "pair_style bnnp samples\n") -> None:
    """The same run as LAMMPS would write it: a dump, and a log with the samples from c_sigma[6] on."""
    frames = ase.io.read(folder / "trajectory.extxyz", ":")
    lines = []
    for frame in frames:
        lines += ["ITEM: TIMESTEP", str(frame.info["step"]), "ITEM: NUMBER OF ATOMS", str(len(frame))]
        lines += ["ITEM: BOX BOUNDS pp pp pp", *(f"0.0 {x!r}" for x in frame.cell.lengths().tolist())]
        lines += ["ITEM: ATOMS id type x y z"]
        lines += [f"{k} 1 {x!r} {y!r} {z!r}" for k, (x, y, z) in enumerate(frame.positions.tolist(), 1)]
    (into / "dump.lammpstrj").write_text("\n".join(lines) + "\n")
    table, _ = read_table(folder / "sample_energies.out")
    names = [name for name in table if name.startswith("V_")]
    log = ["units metal", *header.splitlines(), "compute sigma all pair bnnp"]
    log.append("Step Temp " + " ".join(f"c_sigma[{k}]" for k in range(1, 6 + len(names))))
    for row, step in enumerate(table["step"].astype(int)):
        values = [table["T"][row], 0.0, 0.0, 0.0, 0.0, 0.0, *(table[name][row] for name in names)]
        log.append(f"{step} " + " ".join(f"{float(value)!r}" for value in values))
    (into / "log.lammps").write_text("\n".join([*log, "Loop time of 1 on 1 procs"]) + "\n")


def test_a_run_of_lammps(run: tuple[Path, str], tmp_path: Path) -> None:
    """The same numbers from a dump and a log as from mode 3's files."""
    folder, _ = run
    as_lammps(folder, tmp_path)
    words = ("analyze", "dump.lammpstrj", "--error-bars", "--log", "log.lammps", "--types", "Cu", *FINE)
    done = call(tmp_path, *words)
    assert done.exit_code == 0, done.output
    expected, found = read_table(folder / "rdf.out")[0], read_table(tmp_path / "rdf.out")[0]
    for name in ("g_total", "g_total_err", "g_total_std"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-5)
    text = (tmp_path / "log.lammps").read_text()
    for changed, message in (
        (text.replace("pair bnnp", "pair other"), "run with `pair_style bnnp samples"),
        (text.replace("units metal", "units metal\nthermo_modify norm yes"), "norm yes divides the energies"),
    ):
        (tmp_path / "log.lammps").write_text(changed)
        done = call(tmp_path, *words)
        assert done.exit_code == 1
        assert message in done.output


def test_bad_input_is_told(run: tuple[Path, str], tmp_path: Path, solid_writer: Callable[..., Path]) -> None:
    folder, _ = run
    shutil.copy(folder / "trajectory.extxyz", tmp_path)
    done = call(tmp_path, "analyze", "trajectory.extxyz", "--error-bars")
    assert done.exit_code == 1
    assert "run the dynamics with `md_samples n`" in done.output
    lines = (folder / "sample_energies.out").read_text().splitlines()
    (tmp_path / "sample_energies.out").write_text("\n".join(lines[:5]) + "\n")
    done = call(tmp_path, "analyze", "trajectory.extxyz", "--error-bars")
    assert done.exit_code == 1
    assert "4 frames of 61 have a line" in done.output
    two = make(tmp_path / "two", solid_writer, "md_steps 100 100\nmd_ensemble nvt nve\nmd_samples 5\n")
    done = call(two, "analyze", "trajectory.extxyz", "--error-bars")
    assert done.exit_code == 1
    assert "several stages" in done.output
    done = call(two, "analyze", "trajectory.extxyz", "--error-bars", "--skip", "21")
    assert done.exit_code == 1 or "the stage is nve" in done.output
