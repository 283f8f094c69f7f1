"""md_heat_flux and md_samples: what heat_flux.out, sample_energies.out and md_series.h5 say."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path

import ase.io
import h5py
import numpy as np
import pytest
from ase import units
from ase.build import bulk
from click.testing import CliRunner, Result

from bnnp.cli import main
from bnnp.interfaces.ase import BNNP
from bnnp.io.ase_atoms import from_atoms
from bnnp.io.input_data import write_structures
from bnnp.io.tables import read_table
from bnnp.units import UNITS

BASIC = "threads 1\nmd_temperature 600\nmd_write_every 10\nmd_log_every 10\nmd_ensemble nve\n"
SERIES = "md_heat_flux 5\nmd_samples 10\n"


def run(folder: Path, *options: str) -> Result:
    with contextlib.chdir(folder):
        return CliRunner().invoke(main, ["--mode", "3", *options])


def simulate(folder: Path, *options: str) -> str:
    result = run(folder, *options)
    assert result.exit_code == 0, result.output
    return result.stdout


def make(
    folder: Path, writer: Callable[..., Path], text: str, unit: str = "metal", **options: object
) -> Path:
    writer(folder, units=unit, extra=BASIC + text, **options)
    write_structures(
        folder / "input.data", [from_atoms(bulk("Cu", a=4.05, cubic=True) * 2, UNITS[unit], labels=False)]
    )
    return folder


@pytest.mark.parametrize("unit", ["metal", "atomic"])
def test_numbers_are_those_of_the_calculator(
    unit: str, tmp_path: Path, solid_writer: Callable[..., Path]
) -> None:
    """Units of the potential and fs; each line against a calculation with the frame of the trajectory."""
    folder = make(tmp_path, solid_writer, SERIES + "md_steps 20\n", unit)
    log = simulate(folder)
    assert all(name in log for name in ("heat_flux.out", "sample_energies.out", "md_series.h5"))
    flux, text = read_table(folder / "heat_flux.out")
    samples, _ = read_table(folder / "sample_energies.out")
    assert text.endswith("stages: nve")
    np.testing.assert_array_equal(flux["step"], range(0, 21, 5))
    np.testing.assert_array_equal(samples["step"], range(0, 21, 10))
    ev, angstrom = UNITS[unit].ev, UNITS[unit].angstrom
    per_fs = ev * angstrom / units.fs
    for number, frame in enumerate(ase.io.read(folder / "trajectory.extxyz", ":")):
        calc = BNNP(folder, warn=False)
        row, expected = 2 * number, calc.heat_flux(frame)
        size = np.abs(expected.total).max()
        total = np.array([flux[f"J_{axis}"][row] for axis in "xyz"]) * per_fs
        convective = np.array([flux[f"C_{axis}"][row] for axis in "xyz"]) * per_fs
        np.testing.assert_allclose(total, expected.total, atol=1e-5 * size)
        np.testing.assert_allclose(convective, expected.convective, atol=1e-5 * size)
        frame.calc = calc
        pressure = -frame.get_stress(include_ideal_gas=True) / units.GPa
        found = [flux[f"p_{place}"][row] for place in ("xx", "yy", "zz", "yz", "xz", "xy")]
        np.testing.assert_allclose(found, pressure, atol=1e-4)
        speeds = frame.get_velocities() * units.fs / angstrom
        momentum = [flux[f"v_Cu_{axis}"][row] for axis in "xyz"]
        np.testing.assert_allclose(momentum, speeds.sum(axis=0), atol=1e-9)
        for sample in range(10):
            member = BNNP(calc.potential.member(sample), warn=False)
            energy = member.get_property("energy", frame)
            assert samples[f"V_{sample + 1}"][number] * ev == pytest.approx(energy, abs=1e-5)
        mean = np.mean([samples[f"V_{sample}"] for sample in range(1, 11)], axis=0)
        np.testing.assert_allclose(mean, samples["E_pot"], rtol=1e-9)


def test_work_of_the_driving_force(tmp_path: Path, solid_writer: Callable[..., Path]) -> None:
    """The work between two lines is the integral of J . F_e, by the trapezoidal rule; bohr in the header."""
    driven = "md_heat_flux 1\nmd_driving_force 0.02 0.004\nmd_driving_axis z\nmd_steps 3 60\n"
    folder = make(tmp_path, solid_writer, driven, "atomic")
    (folder / "input.nn").write_text(
        (folder / "input.nn").read_text().replace("md_ensemble nve", "md_ensemble nvt")
    )
    log = simulate(folder)
    assert "heat driven by (0 0 0.0377945) 1/Angstrom" in " ".join(log.split())
    flux, text = read_table(folder / "heat_flux.out")
    assert "driving force of each stage in 1/bohr: 0.02 0.004;" in text
    last = {name: values[flux["stage"] == 2] for name, values in flux.items()}
    power = 0.004 * last["J_z"]
    expected = np.diff(last["time"]) * 0.5 * (power[1:] + power[:-1])
    done = np.diff(last["work"])
    np.testing.assert_allclose(done, expected, atol=0.02 * np.abs(expected).max())
    assert np.abs(expected).max() > 0.0


def test_continued_is_uninterrupted(tmp_path: Path, solid_writer: Callable[..., Path]) -> None:
    """Byte for byte, and the HDF5 file has the columns of all texts."""
    whole = make(tmp_path / "whole", solid_writer, SERIES + "md_steps 40\n")
    simulate(whole)
    parts = make(tmp_path / "parts", solid_writer, SERIES + "md_steps 20\n")
    simulate(parts)
    (parts / "input.nn").write_text((parts / "input.nn").read_text().replace("md_steps 20", "md_steps 40"))
    simulate(parts, "--restart")
    for name in ("heat_flux.out", "sample_energies.out"):
        assert (parts / name).read_bytes() == (whole / name).read_bytes()
    with h5py.File(parts / "md_series.h5") as file:
        assert set(file) == {"md", "heat_flux", "sample_energies"}
        for group in ("heat_flux", "sample_energies"):
            columns, header = read_table(parts / f"{group}.out")
            assert file[group].attrs["header"] == header
            for name, values in columns.items():
                np.testing.assert_array_equal(file[group][name], values)


def test_without_the_keywords_there_are_no_series(tmp_path: Path, solid_writer: Callable[..., Path]) -> None:
    simulate(make(tmp_path, solid_writer, "md_steps 10\n"))
    assert not {"heat_flux.out", "sample_energies.out", "md_series.h5"} & {p.name for p in tmp_path.iterdir()}


@pytest.mark.parametrize(
    ("text", "samples", "message"),
    [
        ("", 0, r"input.nn line \d+: md_samples: the potential has no Monte Carlo samples"),
        ("md_members 2\n", 10, r"input.nn line \d+: md_samples: md_members runs single samples"),
    ],
)
def test_samples_are_needed(
    text: str, samples: int, message: str, tmp_path: Path, solid_writer: Callable[..., Path]
) -> None:
    folder = make(tmp_path, solid_writer, SERIES + "md_steps 10\n" + text, samples=samples)
    result = run(folder)
    assert result.exit_code == 1
    assert re.search(message, result.output), result.output
