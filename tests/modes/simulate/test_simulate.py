"""Mode 3 with md_steps through the executable: files, restart bit for bit, stop rule, guard, signals, "
"mistakes."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import units
from ase.build import bulk
from click.testing import CliRunner, Result
from signalled import run_and_signal

from bnnp.cli import main
from bnnp.dynamics.integrators import Integrator
from bnnp.interfaces.ase import BNNP
from bnnp.io.ase_atoms import from_atoms
from bnnp.io.calibration_section import CalibrationData, checksums, format_calibration
from bnnp.io.input_data import read_structures, write_structures
from bnnp.io.md_out import read_md_out
from bnnp.potential.loading import load
from bnnp.uncertainty.calibration import Calibration, Quantity
from bnnp.uncertainty.maps import Quadratic
from bnnp.units import UNITS

FILES = ("md.out", "trajectory.extxyz")
BASIC = "threads 1\nmd_temperature 300\nmd_write_every 20\nmd_uncertainty_every 10\nmd_log_every 5\n"


def run(folder: Path, *options: str) -> Result:
    with contextlib.chdir(folder):
        return CliRunner().invoke(main, ["--mode", "3", *options])


def simulate(folder: Path, *options: str) -> str:
    result = run(folder, *options)
    assert result.exit_code == 0, result.output
    return result.stdout


def write_data(folder: Path, unit: str = "metal", pbc: object = True) -> None:
    crystal = bulk("Cu", a=4.05, cubic=True) * 2
    frames = [crystal.copy(), crystal.copy()]
    frames[0].rattle(0.03, seed=1)
    for frame in frames:
        frame.pbc = pbc
    structures = [from_atoms(frame, UNITS[unit], labels=False) for frame in frames]
    write_structures(folder / "input.data", structures)


@pytest.fixture
def folder(tmp_path: Path, solid: Path) -> Path:
    """A potential and two structures of 32 atoms."""
    shutil.copytree(solid, tmp_path, dirs_exist_ok=True)
    write_data(tmp_path)
    return tmp_path


def add(folder: Path, text: str) -> None:
    with open(folder / "input.nn", "a") as file:
        file.write(text)


def calibrate(folder: Path, factor: float = 2.0) -> None:
    """The calibrated sigma of the energy becomes `factor` times the raw one."""
    energy = Quantity(Quadratic(0.0, factor**2, 0.0, 1e-9), np.ones(1), {})
    networks = [member.networks for member in load(folder).members]
    data = CalibrationData("mc", checksums(networks), {"mc": Calibration("mc", energy, {}, None, 10, 40)})
    text = "\n".join(["[calibration]", *format_calibration(data), ""])
    with open(folder / "uncertainty.data", "a") as file:
        file.write(text)


class TestBias:
    def test_the_conserved_quantity_has_it_and_the_potential_has_not(self, folder: Path) -> None:
        """E_conserved - E_pot - E_kin is -k sigma; frames are those of the potential."""
        calibrate(folder)
        add(folder, BASIC + "md_steps 20\nmd_ensemble nve\nmd_bias 3\n")
        assert "bias -6 times the raw standard deviation of the energy" in " ".join(simulate(folder).split())
        table = read_md_out(folder / "md.out")
        bias = table["E_conserved"] - table["E_pot"] - table["E_kin"]
        np.testing.assert_allclose(bias, -3 * 32 * table["E_std"], rtol=1e-5)
        assert np.ptp(table["E_conserved"]) < 0.02 < np.ptp(bias)
        for frame in ase.io.read(folder / "trajectory.extxyz", ":"):
            energy, forces, stress = frame.get_potential_energy(), frame.get_forces(), frame.get_stress()
            assert frame.info["bias_energy"] == pytest.approx(-3 * frame.info["energy_std"], rel=1e-6)
            frame.calc = BNNP(folder, warn=False)
            assert frame.get_potential_energy() == pytest.approx(energy, abs=1e-4)
            np.testing.assert_allclose(frame.get_forces(), forces, atol=1e-5)
            np.testing.assert_allclose(frame.get_stress(), stress, atol=1e-6)

    @pytest.mark.parametrize(
        ("extra", "message"),
        [
            ("md_members 2\n", "md_members runs single samples"),
            ("md_heat_flux 5\n", "a heat flux along biased dynamics"),
            ("mc_masks resample\n", "makes sigma another function in every step"),
            ("mc_samples 0\n", "the potential has no Monte Carlo samples"),
            ("", "the potential has no calibration of its energy"),
        ],
    )
    def test_what_has_no_bias_is_refused(self, extra: str, message: str, folder: Path) -> None:
        if extra:
            calibrate(folder)
        add(folder, BASIC + "md_steps 5\nmd_bias 1\n" + extra)
        result = run(folder)
        assert result.exit_code == 1
        assert message in result.stderr
        assert "input.nn line" in result.stderr


class TestFiles:
    def test_a_run_of_two_stages(self, folder: Path) -> None:
        add(folder, BASIC + "md_steps 40 30\nmd_ensemble nvt nve\nmd_thermostat bussi\nmd_timestep 2 1\n")
        log = simulate(folder)
        assert "Normal termination" in log
        assert "NVT, 40 steps of 2 fs (0.08 ps), 300 K by Bussi" in log
        assert "steps/s" in log
        assert "ns/day" in log
        table = read_md_out(folder / "md.out")
        np.testing.assert_array_equal(table["step"], range(0, 71, 5))
        np.testing.assert_array_equal(table["stage"], [1] * 9 + [2] * 6)
        assert table["time"][-1] == 40 * 2 + 30
        np.testing.assert_array_equal(np.isfinite(table["F_std_max"]), table["step"] % 10 == 0)
        assert table["T"][0] == pytest.approx(300.0, abs=1e-3)
        frames = ase.io.read(folder / "trajectory.extxyz", ":")
        assert [frame.info["step"] for frame in frames] == [0, 20, 40, 60]

    @pytest.mark.parametrize("unit", ["metal", "atomic"])
    def test_numbers_are_those_of_the_calculator(
        self, unit: str, tmp_path: Path, solid_writer: Callable[..., Path]
    ) -> None:
        """Energies of md.out in the unit of the potential, frames in eV and Angstrom."""
        solid_writer(tmp_path, units=unit, extra=BASIC + "md_steps 20\nmd_ensemble nve\n")
        write_data(tmp_path, unit)
        simulate(tmp_path)
        table = read_md_out(tmp_path / "md.out")
        frames = ase.io.read(tmp_path / "trajectory.extxyz", ":")
        ev = UNITS[unit].ev
        for frame, row in zip(frames, (0, 4), strict=True):
            stored = {
                "energy": frame.get_potential_energy(),
                "forces": frame.get_forces(),
                "stress": frame.get_stress(),
            }
            spread, momenta = frame.arrays["forces_std"].copy(), frame.get_momenta()
            assert frame.info["energy_std"] / len(frame) == pytest.approx(table["E_std"][row] * ev, rel=1e-5)
            frame.calc = BNNP(tmp_path)
            assert stored["energy"] == pytest.approx(frame.get_potential_energy(), abs=1e-4)
            np.testing.assert_allclose(stored["forces"], frame.get_forces(), atol=1e-5)
            np.testing.assert_allclose(stored["stress"], frame.get_stress(), atol=1e-6)
            np.testing.assert_allclose(spread, frame.calc.get_property("forces_std", frame), atol=1e-5)
            assert table["E_pot"][row] * ev == pytest.approx(stored["energy"], abs=1e-6)
            kinetic = 0.5 * (momenta**2 / frame.get_masses()[:, None]).sum()
            assert table["E_kin"][row] * ev == pytest.approx(kinetic, rel=1e-6)
            assert table["T"][row] == pytest.approx(2 * kinetic / (93 * units.kB), rel=1e-5)
            assert table["volume"][row] * UNITS[unit].angstrom ** 3 == pytest.approx(
                frame.get_volume(), rel=1e-6
            )
            force = table["F_std_max"][row] * ev / UNITS[unit].angstrom
            assert force == pytest.approx(spread.max(), rel=1e-4)
            assert spread[int(table["atom"][row]) - 1].max() == spread.max()
        total = table["E_pot"] + table["E_kin"]
        np.testing.assert_allclose(total, table["E_conserved"], atol=2e-10)
        assert np.ptp(total) * ev < 0.01

    def test_free_molecule_and_plain_network(self, tmp_path: Path, solid_writer: Callable[..., Path]) -> None:
        solid_writer(tmp_path, samples=0, extra=BASIC + "md_steps 10\nmd_thermostat langevin\n")
        write_data(tmp_path, pbc=False)
        log = simulate(tmp_path)
        assert "none: one network" in log
        table = read_md_out(tmp_path / "md.out")
        assert np.isnan(table["pressure"]).all()
        assert np.isnan(table["E_std"]).all()
        assert "96 degrees of freedom" in (tmp_path / "md.out").read_text().splitlines()[0]

    def test_velocities_continue_those_of_a_trajectory(self, folder: Path) -> None:
        """Two runs of 20 steps are one of 40, up to the digits of an extxyz file."""
        add(folder, BASIC + "md_ensemble nve\nmd_steps 40\n")
        simulate(folder)
        whole = read_md_out(folder / "md.out")
        frames = ase.io.read(folder / "trajectory.extxyz", ":2")
        ase.io.write(folder / "half.extxyz", frames)
        add(folder, "")
        text = (
            (folder / "input.nn")
            .read_text()
            .replace("md_steps 40", "md_steps 20")
            .replace("md_temperature 300\n", "")
        )
        (folder / "input.nn").write_text(text + "md_structure half.extxyz\nmd_velocities continued\n")
        simulate(folder)
        half = read_md_out(folder / "md.out")
        np.testing.assert_allclose(half["E_pot"], whole["E_pot"][4:], atol=1e-6)

    def test_the_skin_and_threads_change_nothing(self, folder: Path) -> None:
        add(folder, BASIC + "md_steps 40\nmd_thermostat langevin\n")
        simulate(folder)
        expected = [(folder / name).read_bytes() for name in FILES]
        add(folder, "md_skin 0\n")
        (folder / "input.nn").write_text((folder / "input.nn").read_text().replace("threads 1", "threads 2"))
        simulate(folder)
        assert [(folder / name).read_bytes() for name in FILES] == expected


METHODS = {
    "nve": "md_ensemble nve\n",
    "nose_hoover": "md_thermostat nose_hoover\n",
    "bussi": "md_thermostat bussi\n",
    "langevin": "md_thermostat langevin\n",
    "npt": "md_ensemble npt\nmd_pressure 0:2\nmd_barostat_time 300\n",
    "looked at": "md_thermostat nose_hoover\n",
    "resampled": "md_thermostat langevin\nmc_masks resample\n",
    "driven": "md_driving_force 0.001\nmd_heat_flux 5\n",
    "biased": "md_ensemble npt\nmd_bias 2\n",
    "stages": "md_ensemble nvt nve nvt\nmd_thermostat bussi\nmd_temperature 300:500 300 400\n",
}


class TestRestart:
    @pytest.mark.slow
    @pytest.mark.parametrize("method", METHODS)
    def test_killed_and_continued_is_never_stopped(
        self, method: str, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Killed between two restart files, with output behind the last of them: all files agree byte for "
        "byte."""
        steps = "md_steps 20 17 23\n" if method == "stages" else "md_steps 60\n"
        text = BASIC + steps + METHODS[method] + "md_restart_every 12\n"
        if method == "biased":
            calibrate(folder)
        if method == "stages":
            text = text.replace("md_temperature 300\n", "", 1)
        if method == "looked at":  # the sigmas of the very step that is continued from
            text = text.replace("md_uncertainty_every 10", "md_uncertainty_every 12")
        add(folder, text)
        simulate(folder)
        expected = [(folder / name).read_bytes() for name in FILES]
        final = dict(np.load(folder / "md_restart.npz"))

        count = 0

        def killed(self: object, number: int, step: Callable = Integrator.step) -> None:
            nonlocal count
            count += 1
            if count == 33:
                raise Killed
            step(self, number)

        monkeypatch.setattr(Integrator, "step", killed)
        for name in FILES:
            (folder / name).unlink()
        with contextlib.chdir(folder), pytest.raises(Killed):
            CliRunner().invoke(main, ["--mode", "3"], catch_exceptions=False)
        monkeypatch.undo()
        assert (folder / "md.out").read_bytes() != expected[0]
        log = simulate(folder, "--restart")
        assert "at step 24 (24 fs)" in log
        assert [(folder / name).read_bytes() for name in FILES] == expected
        again = dict(np.load(folder / "md_restart.npz"))
        assert set(again) == set(final)
        for name, value in final.items():
            np.testing.assert_array_equal(again[name], value, err_msg=name)

    @pytest.mark.slow
    def test_files_do_not_depend_on_the_hashes_of_the_process(self, folder: Path) -> None:
        """The order of sets changes from process to process; that of columns must not."""
        add(folder, BASIC + "md_steps 20\n")
        found = []
        for seed in "123":
            command = [sys.executable, "-m", "bnnp", "--mode", "3"]
            environment = {**os.environ, "PYTHONHASHSEED": seed}
            subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
            found.append((folder / "trajectory.extxyz").read_bytes())
        assert found[0] == found[1] == found[2]

    def test_a_finished_run_can_be_made_longer(self, folder: Path) -> None:
        add(folder, BASIC + "md_steps 50\nmd_thermostat bussi\n")
        simulate(folder)
        expected = [(folder / name).read_bytes() for name in FILES]
        text = (folder / "input.nn").read_text()
        (folder / "input.nn").write_text(text.replace("md_steps 50", "md_steps 30"))
        simulate(folder)
        simulate(folder, "--restart")  # nothing left to do
        (folder / "input.nn").write_text(text)
        simulate(folder, "--restart")
        assert [(folder / name).read_bytes() for name in FILES] == expected

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ("md_thermostat bussi", "md_thermostat langevin", "made with stage 1"),
            ("md_temperature 300", "md_temperature 310", "temperature 310"),
            ("threads 1", "threads 1\nmd_bias 2", "made with md_bias = None, but now it is 2.0"),
            ("md_steps 10", "md_steps 10 10", "made with md_steps = 1, but now it is 2"),
            ("threads 1", "threads 1\nrandom_seed 3", "made with random_seed = 200, but now it is 3"),
            ("threads 1", "threads 1\nmc_samples 5", "made with mc_samples = 10, but now it is 5"),
        ],
    )
    def test_another_run_is_refused(self, old: str, new: str, message: str, folder: Path) -> None:
        add(folder, BASIC + "md_steps 10\nmd_thermostat bussi\n")
        simulate(folder)
        text = (folder / "input.nn").read_text()
        (folder / "input.nn").write_text(text.replace(old, new))
        result = run(folder, "--restart")
        assert result.exit_code == 1
        assert message in result.stderr
        assert "without --restart" in result.stderr
        assert "[" not in result.stderr  # as input.nn would have it, no list of Python

    def test_no_or_damaged_restart_file_or_lost_output(self, folder: Path) -> None:
        add(folder, BASIC + "md_steps 10\n")
        result = run(folder, "--restart")
        assert result.exit_code == 1
        assert "there is no run to continue" in result.stderr
        simulate(folder)
        (folder / "trajectory.extxyz").write_text("")
        assert "has 0 bytes, but" in run(folder, "--restart").stderr
        (folder / "md_restart.npz").write_bytes(b"PK rubbish")
        assert "damaged or no restart file" in run(folder, "--restart").stderr

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
    def test_a_signal_writes_a_restart_file(self, name: str, folder: Path) -> None:
        """The real program, asked to stop in the middle."""
        add(folder, BASIC + "md_steps 100000\nmd_thermostat bussi\n")
        ended = run_and_signal(folder, 3, name, ("md.out", 1, 20_000))
        assert ended.returncode == 128 + signal.Signals[name], ended.stdout
        assert f"NOT FINISHED: mode 3, stopped by {name}; `bnnp --mode 3 --restart` continues" in ended.stdout
        done = int(np.load(folder / "md_restart.npz")["place"][2])
        text = (folder / "input.nn").read_text()
        (folder / "input.nn").write_text(text.replace("100000", str(done + 7)))
        assert done > 5
        log = simulate(folder, "--restart")
        assert f"at step {done} (" in log
        assert "Verdict ---" in log
        expected = (folder / "md.out").read_bytes()
        simulate(folder)
        assert (folder / "md.out").read_bytes() == expected


class Killed(BaseException):
    """Stands for kill -9."""


class TestStop:
    def test_stop_rule_ends_with_exit_code_3_and_candidates(self, folder: Path) -> None:
        add(
            folder,
            BASIC.replace("300", "100:3000").replace("every 10", "every 5")
            + "md_steps 300\nmd_thermostat langevin\nmd_thermostat_time 30\nmd_uncertainty_warn raw forces "
            "0.35\n"
            "md_uncertainty_stop raw forces 0.5\nmd_uncertainty_patience 2\nmd_candidates_spacing 10\n"
            "md_candidates_window 3\nmd_guard_temperature 20000\n",
        )
        result = run(folder)
        assert result.exit_code == 3, result.output
        assert "stopped by md_uncertainty_stop in 2 looks running at step" in result.stderr
        table = read_md_out(folder / "md.out")
        looks = np.isfinite(table["F_std_max"])
        spread = table["F_std_max"][looks]
        assert (spread[-2:] > 0.5).all()
        assert not ((spread[:-2] > 0.5) & (spread[1:-1] > 0.5)).any()
        candidates = list(read_structures(folder / "candidates.data", require_labels=False))
        steps = np.array([int(structure.info["source"].rpartition(":")[2]) for structure in candidates])
        assert (np.diff(steps)[:-1] >= 10).all()  # the frame that ends the run is always kept
        assert steps[-1] == table["step"][-1]
        flagged = table["step"][looks][spread > 0.35]
        assert steps[0] == flagged[0] - 10  # of the three frames before the first event, 10 fs apart
        assert "sigma of a force on atom" in candidates[-1].info["reason"]
        assert all(structure.energy is None and structure.forces is None for structure in candidates)
        inside = np.linalg.solve(candidates[-1].cell.T, candidates[-1].positions.T)
        assert inside.min() > -1e-9
        assert inside.max() < 1.0
        assert "WARNING: step" in result.stdout

    def test_a_stopped_run_goes_on_with_another_threshold(self, folder: Path) -> None:
        add(folder, BASIC + "md_steps 40\nmd_uncertainty_stop raw energy 0.0001\nmd_uncertainty_patience 2\n")
        assert run(folder).exit_code == 3
        assert read_md_out(folder / "md.out")["step"][-1] == 10
        text = (folder / "input.nn").read_text()
        (folder / "input.nn").write_text(text.replace("energy 0.0001", "energy 10"))
        simulate(folder, "--restart")
        stopped = (folder / "md.out").read_bytes()
        simulate(folder)
        assert (folder / "md.out").read_bytes() == stopped

    def test_extrapolations_need_no_samples(self, tmp_path: Path, solid_writer: Callable[..., Path]) -> None:
        extra = BASIC.replace("300", "9000") + "md_steps 200\nmd_uncertainty_stop extrapolations 1\n"
        solid_writer(tmp_path, samples=0, extra=extra + "md_guard_temperature 90000\n")
        write_data(tmp_path)
        result = run(tmp_path)
        assert result.exit_code == 3
        assert "symmetry functions outside of their training range" in result.stderr

    @pytest.mark.parametrize(
        ("extra", "message"),
        [
            ("md_guard_temperature 250\n", "the temperature is 300 K"),
            ("md_guard_force 0.3\n", "the force on atom"),
            ("md_guard_distance 0.99\n", "Angstrom apart"),
            ("md_ensemble nve\nmd_timestep 40\nmd_temperature 900\n", "time step"),
        ],
    )
    def test_the_guard_needs_no_threshold(self, extra: str, message: str, folder: Path) -> None:
        basic = BASIC.replace("md_temperature 300\n", "") if "md_temperature" in extra else BASIC
        add(folder, basic + "md_steps 400\n" + extra)
        result = run(folder)
        assert result.exit_code == 3, result.output
        assert "stopped by the physical guard at step" in result.stderr
        assert message in result.stderr
        step = int(result.stderr.split("guard at step ")[1].split()[0])
        candidates = list(read_structures(folder / "candidates.data", require_labels=False))
        assert candidates[-1].info["source"].endswith(f":{step}")
        assert ase.io.read(folder / "trajectory.extxyz").info["step"] == step

    def test_a_time_step_that_is_too_long_drifts(self, folder: Path) -> None:
        """Short enough to live, too long to conserve the energy: the drift guard sees it."""
        basic = BASIC.replace("300", "800")
        add(folder, basic + "md_ensemble nve\nmd_steps 4000\nmd_timestep 22\nmd_guard_drift 0.01\n")
        result = run(folder)
        assert result.exit_code == 3
        assert "the conserved quantity has changed by" in result.stderr
        assert "steps of 22 fs" in result.stderr


class TestMembers:
    def test_one_run_a_sample(self, folder: Path) -> None:
        add(folder, BASIC + "md_steps 10\nmd_ensemble nve\nmd_members 3\n")
        simulate(folder)
        energies = [read_md_out(folder / f"md_member_0{k}" / "md.out")["E_pot"] for k in (1, 2, 3)]
        whole = BNNP(folder)
        frame = ase.io.read(folder / "md_member_02" / "trajectory.extxyz", 0)
        member = BNNP(whole.potential.member(1))
        assert energies[1][0] == pytest.approx(member.get_property("energy", frame), abs=1e-4)
        assert len({round(energy[0], 6) for energy in energies}) == 3
        log = simulate(folder, "--restart")
        assert "Member 3 of 3" in log
        assert log.count("compare the results of all members") == 3
        assert "dropout_rate" not in log

    @pytest.mark.slow
    def test_under_mpi(self, folder: Path) -> None:
        launcher = Path(sys.executable).with_name("mpiexec")
        if not launcher.exists():
            pytest.skip("no mpiexec")
        add(folder, BASIC + "md_steps 5\nmd_ensemble nve\n")
        command = [str(launcher), "-n", "2", sys.executable, "-m", "bnnp", "--mode", "3"]
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
        assert result.returncode == 1
        assert "is the work of one process, but there are 2 ranks" in result.stderr
        add(folder, "md_members 3\n")
        simulate(folder)
        serial = [(folder / f"md_member_0{k}" / "md.out").read_bytes() for k in (1, 2, 3)]
        for k in (1, 2, 3):
            shutil.rmtree(folder / f"md_member_0{k}")
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
        assert result.returncode == 0, result.stderr
        assert [(folder / f"md_member_0{k}" / "md.out").read_bytes() for k in (1, 2, 3)] == serial
        assert result.stdout.count("Normal termination") == 1

    @pytest.mark.slow
    def test_a_signal_to_one_rank_is_in_the_log(self, folder: Path) -> None:
        """Rank 1 stops in its member, rank 0 comes to the end of its own: the run is not finished."""
        launcher = Path(sys.executable).with_name("mpiexec")
        if not launcher.exists():
            pytest.skip("no mpiexec")
        add(folder, BASIC + "md_steps 200\nmd_ensemble nve\nmd_members 2\n")
        moment = (folder / "md_member_02" / "md.out", 1, 1000)
        ended = run_and_signal(folder, 3, "SIGTERM", moment, launcher=[str(launcher), "-n", "2"])
        assert ended.returncode == 143
        assert "Normal termination" not in ended.stdout
        told = "NOT FINISHED: mode 3, stopped by SIGTERM; `bnnp --mode 3 --restart` continues"
        assert ended.stdout.count(told) == 1
        assert read_md_out(folder / "md_member_01" / "md.out")["step"][-1] == 200
        assert read_md_out(folder / "md_member_02" / "md.out")["step"][-1] < 200
        result = subprocess.run(
            [str(launcher), "-n", "2", sys.executable, "-m", "bnnp", "--mode", "3", "--restart"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert result.returncode == 0, result.stderr
        assert read_md_out(folder / "md_member_02" / "md.out")["step"][-1] == 200


class TestMistakes:
    @pytest.mark.parametrize(
        ("extra", "message"),
        [
            ("md_steps 10\n", "stage 1 is nvt, which needs a temperature"),
            ("md_steps 10\nmd_ensemble nve\n", "velocities are to be drawn, but at which temperature"),
            ("md_steps 10 20\nmd_temperature 300 400 500\n", "md_temperature has 3 values for 2 stages"),
            ("md_steps 10\nmd_temperature 300 900\n", "a ramp is written 300:1200"),
            (
                "md_steps 10 5\nmd_temperature 300\nmd_ensemble nvt nve nvt\n",
                "md_ensemble has 3 values for 2 stages",
            ),
            ("md_steps 10\nmd_temperature 0\n", "a thermostat needs more than 0 K"),
            ("md_steps 10\nmd_temperature -3\n", "a temperature is negative"),
            ("md_steps 10\nmd_temperature 300\nmd_thermostat_time 2\n", "must be several time steps of 1 fs"),
            (
                "md_steps 10\nmd_temperature 300\nmd_structure 3\n",
                "structure 3 is wanted, but input.data has 2",
            ),
            (
                "md_steps 10\nmd_temperature 300\nmd_structure no.xyz\n",
                "no.xyz cannot be read by ASE: no such file",
            ),
            ("md_steps 10\nmd_velocities continued\nmd_ensemble nve\n", "has no velocities to continue with"),
            (
                "md_steps 10\nmd_temperature 300\nmd_ensemble nve\nmc_masks resample\n",
                "cannot be used for nve (stage 1)",
            ),
            (
                "md_steps 10\nmd_temperature 300\nmd_uncertainty_stop forces 0.1\n",
                "has no calibration. Write `md_uncertainty_stop raw forces 0.1`",
            ),
            (
                "md_steps 10\nmd_temperature 300\nmd_uncertainty_warn energy q99\n",
                "is a quantile of the calibration set, but uncertainty.data has no calibration",
            ),
            (
                "md_steps 10\nmd_temperature 300\nmd_members 11\n",
                "11 members are wanted, but the potential has 10",
            ),
            (
                "md_steps 10\nmd_temperature 300\nmd_members 2\nmd_uncertainty_stop raw forces 1\n",
                "md_members runs single samples",
            ),
            (
                "md_steps 10\nmd_temperature 300\nmc_samples 0\nmd_uncertainty_stop raw forces 1\n",
                "has no Monte Carlo samples",
            ),
            ("md_steps 0\nmd_temperature 300\n", "is 0 but must be at least 1"),
            (
                "md_steps 10\nmd_temperature 300\nmd_driving_force 1e-3\n",
                "stage 1: a driving force without md_heat_flux",
            ),
            (
                "md_steps 9 9\nmd_temperature 9\nmd_ensemble nvt nve\nmd_driving_force 0 1\nmd_heat_flux 1\n",
                "stage 2: a driving force needs nvt at one temperature with nose_hoover or bussi, got NVE",
            ),
            (
                "md_steps 10\nmd_temperature 300:400\nmd_driving_force 1e-3\nmd_heat_flux 1\n",
                "stage 1: a driving force needs nvt at one temperature",
            ),
            (
                "md_steps 9\nmd_temperature 9\nmd_thermostat langevin\nmd_driving_force 1\nmd_heat_flux 1\n",
                "stage 1: a driving force needs nvt",
            ),
            ("md_steps 10\nmd_temperature 300:\n", "expects a number or a ramp such as 300:1200, got `300:`"),
            (
                "md_steps 10\nmd_temperature 300\nmd_uncertainty_stop raw speed 1\n",
                "expects one of energy, forces, extrapolations",
            ),
            ("md_steps 10\nmd_temperature 300\nmd_uncertainty_stop raw\n", "expects pairs such as"),
        ],
    )
    def test_message(self, extra: str, message: str, folder: Path) -> None:
        add(folder, extra)
        result = run(folder)
        assert result.exit_code == 1, result.output
        assert message in result.stderr
        assert "input.nn" in result.stderr or "md_uncertainty" in result.stderr
        assert not (folder / "md.out").exists()

    def test_a_slab_stays_one(self, folder: Path) -> None:
        """Its trajectory says so, and its energies are those of ASE."""
        write_data(folder, pbc=(True, True, False))
        add(folder, "md_steps 3\nmd_temperature 300\nmd_ensemble nve\nmd_write_every 1\n")
        simulate(folder)
        for frame in ase.io.read(folder / "trajectory.extxyz", ":"):
            assert frame.pbc.tolist() == [True, True, False]
            energy = frame.get_potential_energy()
            frame.calc = BNNP(folder, warn=False)
            assert frame.get_potential_energy() == pytest.approx(energy, rel=1e-6)

    def test_npt_of_a_molecule_and_an_unknown_element(self, folder: Path) -> None:
        write_data(folder, pbc=False)
        add(folder, "md_steps 5\nmd_temperature 300\nmd_ensemble npt\n")
        assert "npt needs a cell" in run(folder).stderr
        write_data(folder, pbc=(True, True, False))
        assert "npt needs a cell" in run(folder).stderr
        gold = bulk("Au", cubic=True)
        ase.io.write(folder / "gold.xyz", gold)
        add(folder, "md_structure gold.xyz\n")
        assert "element Au is not in this potential, which knows Cu" in run(folder).stderr

    def test_check_finds_them(self, folder: Path) -> None:
        add(folder, "md_steps 10 20\nmd_temperature 300:600 600\nmd_ensemble nvt nve\n")
        with contextlib.chdir(folder):
            good = CliRunner().invoke(main, ["--check", "--mode", "3"])
            add(folder, "md_thermostat bussi bussi bussi\n")
            bad = CliRunner().invoke(main, ["--check", "--mode", "3"])
        assert good.exit_code == 0
        assert "NVT, 10 steps of 1 fs (0.01 ps), 300 to 600 K by Nose-Hoover chains" in " ".join(
            good.stdout.split()
        )
        assert bad.exit_code == 1
        assert "md_thermostat has 3 values for 2 stages" in bad.stderr

    @pytest.mark.parametrize("trained", [True, False])
    def test_check_estimates_the_time(self, trained: bool, folder: Path) -> None:
        add(folder, BASIC.replace("every 5\n", "every 100\n") + "md_steps 300 100\nmd_ensemble nvt nve\n")
        if not trained:
            add(folder, "dropout_rate 0.1\nmc_samples 10\n")
            (folder / "weights.029.data").unlink()
        with contextlib.chdir(folder):
            result = CliRunner().invoke(main, ["--check", "--mode", "3"])
        assert result.exit_code == 0, result.output
        text = " ".join(result.stdout.split())
        assert ("the potential here" if trained else "random networks") in text
        assert "32 atoms, 10 samples" in text
        assert "at 41 of 401 configurations" in text
        assert float(re.search(r"time of 400 steps .*?(\d+) steps/s", text)[1]) > 1.0

    def test_restart_without_dynamics_is_a_usage_error(self, folder: Path) -> None:
        result = run(folder, "--restart")
        assert result.exit_code == 2
        assert "no md_steps" in result.stderr
