"""bnnp analyze on the formats it reads."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from analyze_trajectory import main
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from click.testing import CliRunner, Result


def analyze(folder: Path, *arguments: str) -> Result:
    with contextlib.chdir(folder):
        return CliRunner().invoke(main, arguments)


def table(path: Path) -> dict[str, np.ndarray]:
    names = path.read_text().splitlines()[0].partition("|")[0].lstrip("# ").split()
    return dict(zip(names, np.loadtxt(path).T, strict=True))


def frames(seed: int = 0, count: int = 60) -> list[Atoms]:
    """A crystal of two elements that vibrates at 5 THz, wrapped, 10 fs a frame."""
    generator = np.random.default_rng(seed)
    crystal = bulk("GeTe", "rocksalt", a=6.0, cubic=True)
    crystal.positions += 0.05  # atoms cross the border of the cell all the time
    phase = generator.uniform(0, 2 * np.pi, (8, 3))
    made = []
    for number in range(count):
        time = 10.0 * number
        frame = crystal.copy()
        angle = 2 * np.pi * 0.005 * time + phase
        frame.positions += 0.15 * np.sin(angle)
        frame.set_velocities(0.15 * 2 * np.pi * 0.005 / 0.09822694788 * np.cos(angle))
        frame.wrap()
        frame.info["time"] = time
        made.append(frame)
    return made


def test_everything_of_an_extxyz_trajectory(tmp_path: Path) -> None:
    write(tmp_path / "trajectory.extxyz", frames())
    result = analyze(tmp_path, "trajectory.extxyz", "--segments", "2", "--r-max", "5")
    assert result.exit_code == 0, result.output
    rdf = table(tmp_path / "rdf.out")
    assert rdf["r"][rdf["g_total"].argmax()] == pytest.approx(3.0, abs=0.15)
    assert rdf["g_Ge-Ge"][abs(rdf["r"] - 3.0) < 0.3].max() == 0.0
    assert rdf["n_Ge-Te"][np.searchsorted(rdf["r"], 3.6)] == pytest.approx(6.0)
    assert (rdf["g_total_err"] >= 0).all()
    assert rdf["g_total_err"].max() > 0
    adf = table(tmp_path / "adf.out")
    assert adf["angle"][adf["p_Te-Ge-Te"].argmax()] == pytest.approx(90.0, abs=12.0)
    msd = table(tmp_path / "msd.out")
    assert msd["time"][1] == 10.0
    assert msd["msd_total"].max() < 4 * 3 * 0.15**2  # nobody jumps through the cell
    vdos = table(tmp_path / "vdos.out")
    assert vdos["frequency"][vdos["vdos"].argmax()] == pytest.approx(5.0, abs=2 * vdos["frequency"][1])
    assert vdos["wavenumber"][1] / vdos["frequency"][1] == pytest.approx(33.3564, rel=1e-5)
    assert table(tmp_path / "vacf.out")["vacf"][10] == pytest.approx(-1.0, abs=0.05)  # half a period


def test_several_files_give_their_spread(tmp_path: Path) -> None:
    names = []
    for seed in range(3):
        names.append(f"run{seed}.extxyz")
        write(tmp_path / names[-1], frames(seed, 10 + 10 * seed))
    result = analyze(tmp_path, *names, "--rdf", "--out", "members")
    assert result.exit_code == 0, result.output
    assert [path.name for path in tmp_path.glob("*.out")] == ["members_rdf.out"]
    found = table(tmp_path / "members_rdf.out")
    alone = []
    for name in names:
        analyze(tmp_path, name, "--rdf")
        alone.append(table(tmp_path / "rdf.out")["g_Ge-Te"])
    # each file counts as one sample, however long it is
    np.testing.assert_allclose(found["g_Ge-Te"], np.mean([a for a in alone], axis=0), rtol=0.05, atol=0.3)
    assert found["g_Ge-Te_std"].max() > 0


def test_xdatcar_and_lammps_dump(tmp_path: Path) -> None:
    """Wrapped frames without velocities and times."""
    made = frames(1, 30)
    write(tmp_path / "XDATCAR", made, format="vasp-xdatcar")
    result = analyze(tmp_path, "XDATCAR", "--timestep", "10", "--msd", "--vdos")
    assert result.exit_code == 0, result.output
    assert "differences of positions" in result.output
    xdatcar = table(tmp_path / "msd.out")["msd_Ge"]
    with open(tmp_path / "md.lammpstrj", "w") as file:
        for number, frame in enumerate(made):
            file.write(f"ITEM: TIMESTEP\n{number}\nITEM: NUMBER OF ATOMS\n8\nITEM: BOX BOUNDS pp pp pp\n")
            file.write("0 6\n0 6\n0 6\nITEM: ATOMS id type x y z\n")
            for index, (symbol, (x, y, z)) in enumerate(zip(frame.symbols, frame.positions, strict=True), 1):
                file.write(f"{index} {1 if symbol == 'Ge' else 2} {x:.10f} {y:.10f} {z:.10f}\n")
    options = (
        "--format",
        "lammps-dump-text",
        "--types",
        "Ge Te",
        "--timestep",
        "10",
        "--msd",
    )
    result = analyze(tmp_path, "md.lammpstrj", *options)
    assert result.exit_code == 0, result.output
    np.testing.assert_allclose(table(tmp_path / "msd.out")["msd_Ge"], xdatcar, atol=1e-5)


def test_mistakes(tmp_path: Path) -> None:
    assert "no such file" in analyze(tmp_path, "none.extxyz").output
    write(tmp_path / "one.extxyz", frames(0, 1))
    assert "has 1 frame" in analyze(tmp_path, "one.extxyz").output
    made = frames(0, 6)
    for frame in made:
        del frame.info["time"]
    write(tmp_path / "timeless.extxyz", made)
    result = analyze(tmp_path, "timeless.extxyz")
    assert result.exit_code == 0, result.output
    assert "add --timestep" in result.output
    assert "add --timestep" in analyze(tmp_path, "timeless.extxyz", "--msd").output
    made[3].info["time"] = 3.0
    for number, frame in enumerate(made):
        frame.info["time"] = float(number**2)
    write(tmp_path / "uneven.extxyz", made)
    assert "not equally far apart in time" in analyze(tmp_path, "uneven.extxyz").output
    made[2] = made[2][:4]
    write(tmp_path / "lost.extxyz", made)
    assert "same atoms in the same order" in analyze(tmp_path, "lost.extxyz").output
    (tmp_path / "rubbish.extxyz").write_bytes(b"\x00\x01nonsense")
    result = analyze(tmp_path, "rubbish.extxyz")
    assert result.exit_code == 1
    assert "cannot be read by ASE" in result.output


def triatomic(charges: bool = True) -> list[Atoms]:
    """A linear molecule O C O that leaves its cell, 1 fs a frame: the symmetric stretch at 40 THz, which has
    no dipole, with a large amplitude, and the asymmetric one at 70 THz with a small one."""
    made = []
    for time in range(4000):
        symmetric, asymmetric = (np.cos(2e-3 * np.pi * f * time) for f in (40.0, 70.0))
        x = np.array([-1.2 - 0.1 * symmetric, 0.0, 1.2 + 0.1 * symmetric])
        x += 0.01 * asymmetric * np.array([-3.0, 8.0, -3.0])
        positions = 3.5 + 0.002 * time + np.outer(x, [0.6, 0.0, 0.8])
        frame = Atoms("OCO", positions, cell=np.eye(3) * 7.0, pbc=True)
        frame.wrap()
        frame.info["time"] = float(time)
        if charges:
            frame.calc = SinglePointCalculator(frame, charges=np.array([-0.5, 1.0, -0.5]))
        made.append(frame)
    return made


def test_infrared_light_sees_the_vibration_that_has_a_dipole(tmp_path: Path) -> None:
    write(tmp_path / "a.extxyz", triatomic())
    write(tmp_path / "b.extxyz", triatomic(charges=False))
    result = analyze(tmp_path, "a.extxyz", "--infrared", "--vdos")
    assert result.exit_code == 0, result.output
    found, vdos = table(tmp_path / "infrared.out"), table(tmp_path / "vdos.out")
    step = found["frequency"][1]
    assert found["frequency"][found["infrared"].argmax()] == pytest.approx(70.0, abs=step)
    assert vdos["frequency"][vdos["vdos"].argmax()] == pytest.approx(40.0, abs=step)
    assert found["infrared"][np.abs(found["frequency"] - 40.0) < 5.0].max() < 1e-6 * found["infrared"].max()
    assert found["infrared"].sum() * step == pytest.approx(1.0)
    dipole = table(tmp_path / "dipole.out")  # 0.08 e A + 0.03 e A along the axis at the first step
    assert [dipole[f"M_{x}"][0] for x in "xyz"] == pytest.approx(0.11 * np.array([0.6, 0.0, 0.8]), abs=1e-6)
    result = analyze(tmp_path, "b.extxyz", "--infrared")
    assert result.exit_code == 1
    assert "has frames without charges" in result.output
    result = analyze(tmp_path, "b.extxyz", "--infrared", "--charges", "O=-0.5 C=1", "--out", "b")
    assert result.exit_code == 0, result.output
    assert table(tmp_path / "b_infrared.out")["infrared"] == pytest.approx(found["infrared"], abs=1e-12)
    result = analyze(tmp_path, "b.extxyz", "--infrared", "--charges", "O=-0.5")
    assert "gives none for C" in result.output
