"""Calibration through the executable: at the end of mode 2, in mode 3, its columns, its mistakes."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from plotting.dynamics import read_run, run_figure
from test_train import MPIEXEC, alloys, invoke, prepare, twin

from bnnp.errors import InputError
from bnnp.interfaces.ase import BNNP
from bnnp.io.ase_atoms import to_atoms
from bnnp.io.calibration_section import format_calibration, parse_calibration
from bnnp.io.descriptor_file import DescriptorFile
from bnnp.io.input_data import read_structures, write_structures
from bnnp.io.md_out import read_md_out
from bnnp.io.uncertainty_data import read_uncertainty
from bnnp.log import Log
from bnnp.modes.calibrate.observations import Worth, observe, without_symmetric
from bnnp.modes.calibrate.report import constant_sigmas, report_calibration
from bnnp.modes.simulate.plan import read_plan
from bnnp.potential.loading import load
from bnnp.settings.settings import load_settings
from bnnp.structure import Set, Structure
from bnnp.uncertainty.calibration import Calibration, Observations, Quantity
from bnnp.uncertainty.maps import Quadratic
from bnnp.uncertainty.scores import zms
from bnnp.units import ATOMIC, METAL, Units

SETTINGS = "optimizer adam\ndropout_rate 0.1\nepochs 12\nbatch_size 4\n"
COUNTS = {Set.TRAIN: 16, Set.TEST: 4, Set.CALIBRATION: 40, Set.OUTSIDE: 12}


def stretched(structure: Structure) -> Structure:
    """All lengths 10 % longer; the labels are of no account."""
    assert structure.cell is not None
    return replace(structure, positions=1.1 * structure.positions, cell=1.1 * structure.cell)


def data() -> list[Structure]:
    sets = [name for name, count in COUNTS.items() for _ in range(count)]
    found = [replace(s, subset=name) for s, name in zip(alloys(len(sets)), sets, strict=True)]
    return [stretched(s) if s.subset == Set.OUTSIDE else s for s in found]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A directory in which mode 2 has calibrated at its end, and its log."""
    folder = prepare(tmp_path_factory.mktemp("calibrated") / "run", SETTINGS, data())
    result = invoke(folder, 2)
    assert result.exit_code == 0, result.output
    return folder, result.output


@pytest.fixture
def folder(trained: tuple[Path, str], tmp_path: Path) -> Path:
    shutil.copytree(trained[0], tmp_path / "run")
    return tmp_path / "run"


def table(path: Path) -> dict[str, np.ndarray]:
    """Columns of a file by their names in its header."""
    names = path.read_text().splitlines()[0][2:].split("|")[0].split()
    return dict(zip(names, np.loadtxt(path, ndmin=2).T, strict=True))


def add(folder: Path, text: str) -> None:
    with open(folder / "input.nn", "a") as file:
        file.write(text)


def header(path: Path) -> str:
    return path.read_text().splitlines()[0]


def section(folder: Path) -> tuple[str, ...]:
    return read_uncertainty(folder / "uncertainty.data").sections["calibration"]


class TestMode2:
    def test_log(self, trained: tuple[Path, str]) -> None:
        text = trained[1]
        assert re.search(r"structures +40, 12 out of the domain, 30 Monte Carlo samples", text)
        for name in ("energy", "forces Cu", "forces Au", "stress"):
            assert (
                len(re.findall(rf"^  {name} +(quadratic|isotonic) ", text, re.MULTILINE)) == 2
            )  # mc, hybrid
        assert text.count("Next: `bnnp --mode 3`") == 1
        assert text.index("quadratic") < text.index("Next: `bnnp --mode 3`")

    def test_a_constant_sigma_is_named(self, trained: tuple[Path, str]) -> None:
        kind = parse_calibration(section(trained[0])).kinds["mc"]
        assert list(constant_sigmas(kind)) == []
        flat = replace(kind, quantiles={**kind.quantiles, "energy": np.linspace(1.0, 1.009, 103)})
        assert list(constant_sigmas(flat)) == ["sigma of the energy"]

    def test_an_element_without_calibration_is_named(self, folder: Path) -> None:
        """Forces in its structures stay raw, and no threshold of calibrated forces is possible."""
        kind = parse_calibration(section(folder)).kinds["mc"]
        assert kind.describe(("Cu", "Au")) == kind.describe()
        partly = replace(kind, forces={"Cu": kind.forces["Cu"]})
        assert partly.describe(("Cu", "Au")).endswith("; raw (uncalibrated): forces in structures with Au")
        add(folder, "md_steps 10\nmd_ensemble nve\nmd_uncertainty_stop forces 0.5\n")
        settings = load_settings(folder / "input.nn", 3)
        assert read_plan(settings, kind).stop
        with pytest.raises(InputError, match="no calibration of the forces of all elements"):
            read_plan(settings, partly)

    def test_what_the_stress_is_calibrated_with(self, trained: tuple[Path, str]) -> None:
        potential, structure = load(trained[0]), data()[0]
        assert structure.stress is not None
        prediction = potential.predict(structure)
        assert prediction.stress is not None
        assert prediction.parts is not None
        assert prediction.parts.stress is not None
        found = observe(potential, lambda _: structure, [0], frozenset(), 0)["stress"]
        np.testing.assert_allclose(found.errors, prediction.stress.value - structure.stress, rtol=1e-12)
        np.testing.assert_allclose(found.parts, prediction.parts.stress, rtol=1e-12)

    @pytest.mark.parametrize("digits", [16, 8, 5])
    def test_a_symmetric_crystal_has_no_share(self, digits: int, trained: tuple[Path, str]) -> None:
        """No force acts in an hcp crystal, not even where a file has five digits of 4 a / sqrt(3)."""
        crystal = bulk("Cu", "hcp", a=2.6, c=4.246)
        positions, cell = (np.round(each, digits) for each in (crystal.positions, crystal.cell.array))
        structure = Structure(crystal.numbers, positions, cell, energy=-7.0, forces=np.full((2, 3), 2e-4))
        found = observe(load(trained[0]), lambda _: structure, [0], frozenset(), 0)["forces Cu"]
        assert len(found.errors) == 6
        assert len(without_symmetric("forces Cu", found, METAL).errors) == 0

    def test_calibrated_structures_are_not_trained_on(self, trained: tuple[Path, str]) -> None:
        with DescriptorFile.open(trained[0] / "symmetry_functions.h5") as file:
            assert np.bincount(file.subset).tolist() == list(COUNTS.values())
        points = sorted(trained[0].glob("trainpoints.*.out"))[0].read_text().splitlines()
        assert sum(not line.startswith("#") for line in points) == COUNTS[Set.TRAIN]

    def test_potential_directory_has_the_calibration(self, trained: tuple[Path, str]) -> None:
        assert section(trained[0] / "potential") == section(trained[0])
        potential = load(trained[0] / "potential")
        assert potential.calibration is not None
        assert potential.calibration.kind == "hybrid"

    @pytest.mark.slow
    def test_too_few_structures_are_a_warning_and_uncalibrated(
        self, trained: tuple[Path, str], tmp_path: Path
    ) -> None:
        few = [s for s in data() if s.subset != Set.CALIBRATION][:20] + [
            s for s in data() if s.subset == Set.CALIBRATION
        ][:9]
        folder = prepare(tmp_path / "few", SETTINGS.replace("12", "1"), few)
        result = invoke(folder, 2)
        assert result.exit_code == 0
        assert "UNCALIBRATED: 9 structures" in " ".join(result.output.split())
        assert "calibration" not in read_uncertainty(folder / "uncertainty.data").sections
        assert invoke(folder, 3).exit_code == 0
        assert "std: raw (uncalibrated)" in header(folder / "energy.out")


@pytest.fixture(scope="module", params=["mc", "hybrid"])
def predicted(
    request: pytest.FixtureRequest,
    trained: tuple[Path, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("predicted") / "run"
    shutil.copytree(trained[0], folder)
    add(folder, f"calculate_forces\ncalculate_stress\nuncertainty {request.param}\n")
    result = invoke(folder, 3)
    assert result.exit_code == 0, result.output
    assert f"calibrated ({request.param}) on 40 structures and 12 out of the domain" in " ".join(
        result.output.split()
    )
    return folder, request.param


class TestColumns:
    def test_headers_say_which(self, predicted: tuple[Path, str]) -> None:
        folder, kind = predicted
        for name in ("energy.out", "nnforces.out", "nnstress.out"):
            assert (
                f"std: calibrated ({kind}) on 40 structures and 12 out of the domain; std_raw: 30 Monte Carlo"
                in (header(folder / name))
            )
        assert re.search(r"std: raw \(an atomic energy .*\), 30 Monte Carlo", header(folder / "nnatoms.out"))

    def test_columns_are_map_and_samples(self, predicted: tuple[Path, str]) -> None:
        folder, kind = predicted
        calibration = parse_calibration(section(folder)).kinds[kind]
        plain = replace(load(folder), calibration=None, statistics=None)
        energies, forces, stress = (
            table(folder / f"{name}.out") for name in ("energy", "nnforces", "nnstress")
        )
        for row, structure in list(enumerate(read_structures(folder / "input.data")))[::9]:
            raw = plain.predict(structure)
            assert raw.energy.std is not None
            assert raw.forces.std is not None
            assert energies["Ennp_std_raw"][row] == pytest.approx(raw.energy.std, rel=1e-9)
            atoms = forces["Conf."] == row + 1
            np.testing.assert_allclose(forces["fy_std_raw"][atoms], raw.forces.std[:, 1], rtol=1e-7)
            lines = stress["Conf."] == row + 1
            np.testing.assert_allclose(stress["s_i1_std_raw"][lines][0], raw.stress.std[0], rtol=1e-7)
            assert calibration.energy is not None
            sums, least, most = energies["Ennp_std_raw"][row] / len(structure), 0.0, np.inf
            if kind == "hybrid":
                parts = load(folder).predict(structure, sigma=False).parts
                assert parts is not None
                shown = [energies[f"E_std_{part}"][row] for part in ("MC", "LL", "d")]
                np.testing.assert_allclose(shown, calibration.energy.weights * parts.energy[:3], rtol=1e-9)
                most = np.hypot(sums, calibration.energy.inside) * (1.0 + parts.energy[3])
                sums, least = np.linalg.norm(shown), calibration.energy.least * parts.energy[2]
            expected = min(max(calibration.energy.map(sums), least), most)
            assert energies["Ennp_std_per_atom"][row] == pytest.approx(expected, rel=1e-9)
        assert not np.allclose(energies["Ennp_std"], energies["Ennp_std_raw"])

    def test_output_data_has_both(self, predicted: tuple[Path, str]) -> None:
        energies = table(predicted[0] / "energy.out")
        for row, structure in enumerate(read_structures(predicted[0] / "output.data")):
            assert float(structure.info["energy_std"]) == pytest.approx(energies["Ennp_std"][row])
            assert float(structure.info["energy_std_raw"]) == pytest.approx(energies["Ennp_std_raw"][row])

    def test_calibrated_sigma_has_the_size_of_the_errors(self, predicted: tuple[Path, str]) -> None:
        forces = table(predicted[0] / "nnforces.out")
        inside = (forces["Conf."] > 20) & (forces["Conf."] <= 60)
        errors = (forces["fx"] - forces["fxRef"])[inside]
        assert 0.7 < zms(errors, forces["fx_std"][inside]) < 1.4

    def test_ase(self, predicted: tuple[Path, str]) -> None:
        structure = next(iter(read_structures(predicted[0] / "input.data")))
        atoms = to_atoms(structure, METAL)
        atoms.calc = BNNP(load(predicted[0]))
        energies, forces = table(predicted[0] / "energy.out"), table(predicted[0] / "nnforces.out")
        spread = atoms.calc.get_property("forces_std", atoms)
        np.testing.assert_allclose(spread[:, 2], forces["fz_std"][:8], rtol=1e-6)
        np.testing.assert_allclose(atoms.arrays["forces_std_raw"][:, 2], forces["fz_std_raw"][:8], rtol=1e-6)
        assert atoms.info["energy_std"] == pytest.approx(energies["Ennp_std"][0], rel=1e-8)
        assert atoms.info["energy_std_raw"] == pytest.approx(energies["Ennp_std_raw"][0], rel=1e-8)


class TestStopRule:
    """Thresholds in calibrated units and as quantiles of the calibration set; columns of md.out."""

    RUN = "md_steps 20\nmd_temperature 300\nmd_uncertainty_every 10\nmd_log_every 10\nmd_write_every 10\n"

    def test_columns_of_md_out_and_the_trajectory(self, folder: Path) -> None:
        add(folder, self.RUN)
        assert invoke(folder, 3).exit_code == 0
        found, names = read_md_out(folder / "md.out"), ("E_std", "E_std_raw", "F_std_max", "F_std_max_raw")
        assert "std: calibrated (hybrid) on 40 structures" in (folder / "md.out").read_text().splitlines()[0]
        frames = ase.io.read(folder / "trajectory.extxyz", index=":")
        for row, frame in enumerate(frames):
            spread, raw = frame.arrays["forces_std"].max(), frame.arrays["forces_std_raw"].max()
            energies = (frame.info[name] / len(frame) for name in ("energy_std", "energy_std_raw"))
            expected = (*energies, spread, raw)
            for name, value in zip(names, expected, strict=True):
                assert found[name][row] == pytest.approx(value, rel=1e-5), name
        assert not np.allclose(found["E_std"], found["E_std_raw"])

    @pytest.mark.parametrize(
        ("threshold", "stops"),
        [("energy 1e-6", True), ("forces q0", True), ("energy 100", False), ("raw energy 100", False)],
    )
    def test_thresholds(self, threshold: str, stops: bool, folder: Path) -> None:
        """No force is as certain as the most certain one of 40; all are better than 100 eV."""
        add(folder, self.RUN + f"md_uncertainty_patience 1\nmd_uncertainty_stop {threshold}\n")
        result = invoke(folder, 3)
        assert result.exit_code == (3 if stops else 0), result.output

    def test_check_knows_the_calibration(self, folder: Path) -> None:
        """A calibrated threshold passes --check where there is a calibration, and before training."""
        add(folder, self.RUN + "md_uncertainty_stop forces q99\n")
        assert invoke(folder, 3, "--check").exit_code == 0
        text = (folder / "uncertainty.data").read_text().split("[calibration]")[0]
        (folder / "uncertainty.data").write_text(text)
        result = invoke(folder, 3, "--check")
        assert result.exit_code == 1
        assert "uncertainty.data has no calibration" in result.stderr
        for name in ("weights.029.data", "weights.079.data", "uncertainty.data"):
            (folder / name).unlink()
        assert invoke(folder, 3, "--check").exit_code == 0

    def test_a_quantile_is_its_number(self, folder: Path) -> None:
        calibration = load(folder).calibration
        assert calibration is not None
        add(folder, self.RUN + "md_uncertainty_warn forces q99\n")
        result = invoke(folder, 3)
        number = f"{1000 * calibration.quantile('forces', 99.0):.6g}"
        assert f"forces {number} meV/Angstrom (calibrated, q99 of 40 structures)" in " ".join(
            result.output.split()
        )
        run = read_run(folder / "md.out")
        assert run.limits["forces"] == [("warn q99", pytest.approx(calibration.quantile("forces", 99.0)))]
        legends = [axes.get_legend() for axes in run_figure(run).axes]
        labels = [text.get_text() for legend in legends if legend for text in legend.texts]
        assert f"warn q99: {float(number):.4g}" in labels
        (folder / "uncertainty.data").unlink()
        assert str(read_run(folder / "md.out").limits["forces"]) == "[('warn q99', nan)]"


class TestMode3:
    @pytest.mark.slow
    def test_it_calibrates_as_mode_2_did(self, folder: Path) -> None:
        before = section(folder)
        add(folder, "calibrate\n")
        assert invoke(folder, 3).exit_code == 0
        assert section(folder) == before
        assert section(folder / "potential") == before

    @pytest.mark.slow
    def test_another_file_pins_nothing_and_is_used_whole(self, folder: Path) -> None:
        write_structures(folder / "input.data", [replace(s, subset=None) for s in alloys(31, seed=3)])
        add(folder, "calibrate\n")
        result = invoke(folder, 3)
        assert result.exit_code == 0, result.output
        assert parse_calibration(section(folder)).kinds["mc"].structures == 31
        assert "no structures out of the domain" in result.output

    @pytest.mark.slow
    def test_a_group_out_of_the_domain(self, folder: Path) -> None:
        hot = [replace(stretched(s), subset=None, info={"group": "far out"}) for s in alloys(9, seed=4)]
        write_structures(folder / "input.data", [replace(s, subset=None) for s in alloys(31, seed=3)] + hot)
        add(folder, "calibrate\ncalibration_ood_group far out\nuncertainty hybrid\n")
        text = (folder / "input.data").read_text().replace('group="far out"', "group=far_out")
        (folder / "input.data").write_text(text)
        (folder / "input.nn").write_text((folder / "input.nn").read_text().replace("far out", "far_out"))
        result = invoke(folder, 3)
        assert result.exit_code == 0, result.output
        found = parse_calibration(section(folder))
        assert found.use == "hybrid"
        assert (found.kinds["mc"].structures, found.kinds["mc"].outside) == (31, 9)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda found: found[:9], "9 structures for the calibration, expected at least 10"),
            (lambda found: [replace(s, subset=Set.TRAIN) for s in found], "0 structures for the calibration"),
            (
                lambda found: [replace(s, energy=None) for s in found],
                "no structure for the calibration has an energy",
            ),
            (
                lambda found: [replace(s, energy=None) if k > 8 else s for k, s in enumerate(found)],
                "9 structures for the calibration have an energy, expected at least 10",
            ),
        ],
    )
    def test_sets_that_are_refused(self, change: object, message: str, folder: Path) -> None:
        found = [replace(s, subset=None) for s in alloys(31, seed=3)]
        write_structures(folder / "input.data", change(found))  # type: ignore[operator]
        add(folder, "calibrate\n")
        result = invoke(folder, 3)
        assert result.exit_code == 1
        assert message in result.stderr

    @pytest.mark.slow
    def test_structures_that_were_trained_on_are_refused(self, folder: Path) -> None:
        """The training set in another file, whose text is another one."""
        found = [replace(s, subset=None) for s in data() if s.subset != Set.TEST]
        shaken = [replace(s, positions=s.positions + 1e-7) for s in found]
        new = [replace(s, subset=None) for s in alloys(20, seed=3)]
        write_structures(folder / "input.data", [*new, *shaken])
        add(folder, "calibrate\n")
        before = section(folder)
        result = invoke(folder, 3)
        assert result.exit_code == 1
        text = " ".join(result.stderr.split())
        assert "structure 21" in text
        assert "as 16 of the 88 structures for the calibration are" in text
        assert section(folder) == before

    def test_without_the_training_set_nothing_can_be_checked(self, folder: Path) -> None:
        (folder / "symmetry_functions.h5").unlink()
        write_structures(folder / "input.data", [replace(s, subset=None) for s in alloys(31, seed=3)])
        add(folder, "calibrate\n")
        result = invoke(folder, 3)
        assert result.exit_code == 0, result.output
        assert "whether a structure was trained on cannot be checked" in " ".join(result.output.split())

    def test_labels_of_zero_are_no_references(self, folder: Path) -> None:
        empty = [
            replace(s, subset=None, energy=0.0, forces=np.zeros_like(s.positions)) for s in alloys(31, seed=3)
        ]
        write_structures(folder / "input.data", empty)
        add(folder, "calibrate\n")
        result = invoke(folder, 3)
        assert result.exit_code == 1
        assert "energies and forces of all structures (31) are 0" in " ".join(result.stderr.split())

    def test_no_such_group(self, folder: Path) -> None:
        write_structures(folder / "input.data", [replace(s, subset=None) for s in alloys(31, seed=3)])
        add(folder, "calibrate\ncalibration_ood_group nix\n")
        result = invoke(folder, 3)
        assert result.exit_code == 1
        assert "has `group=nix`" in " ".join(result.stderr.split())
        checked = invoke(folder, 3, "--check")
        assert checked.exit_code == 1
        assert "has `group=nix`" in " ".join(checked.stderr.split())

    def test_the_log_says_what_is_replaced_and_what_is_no_test(self, folder: Path) -> None:
        write_structures(folder / "input.data", [replace(s, subset=None) for s in alloys(31, seed=3)])
        add(folder, "calibrate\n")
        text = " ".join(invoke(folder, 3).output.split())
        assert "is calibrated already, on 40 structures; that is replaced" in text
        assert "31 of the structures predicted below were used for the calibration" in text

    @pytest.mark.parametrize("noise", [0.0, 0.1])
    def test_constant_errors(self, noise: float, folder: Path) -> None:
        """The references are the predictions of the potential itself, energies shifted: thirty equal errors
        are worth one, so the energies stay raw. Forces without any error tell nothing."""
        potential, rng = load(folder), np.random.default_rng(4)
        found = []
        for structure in alloys(30, seed=3):
            prediction = potential.predict(structure)
            found.append(
                replace(
                    structure,
                    subset=None,
                    energy=prediction.energy.value + 8.0,
                    forces=prediction.forces.value + rng.normal(0.0, noise, (len(structure), 3)),
                )
            )
        write_structures(folder / "input.data", found)
        add(folder, "calibrate\n")
        result = invoke(folder, 3)
        if noise == 0.0:
            assert result.exit_code == 1
            assert re.search(r"forces \w+: all errors \(\d+\) are 0", result.stderr)
            return
        assert result.exit_code == 0, result.output
        text = " ".join(result.output.split())
        assert "worth 1.0 independent ones: their size is known to 71 % only" in text
        assert "3.8 times larger (Student's t)" in text
        shift, noise = map(float, re.findall(r"a group (\S+) meV/atom", text))
        per_atom = 8.0 * load(folder).units.mev / len(found[0])
        assert (shift, noise) == (pytest.approx(per_atom, rel=1e-2), pytest.approx(0.0, abs=1e-6 * per_atom))
        used = load(folder)
        sigma = [used.predict(s).energy.std / 8.0 for s in found]
        assert np.sqrt(np.mean(1.0 / np.square(sigma))) == pytest.approx(1.0 / 3.838, rel=0.02)
        assert "raw" not in used.describe_std()

    def test_without_samples(self, folder: Path) -> None:
        add(folder, "calibrate\n")
        text = (folder / "input.nn").read_text().replace("mc_samples 30", "mc_samples 0")
        (folder / "input.nn").write_text(text)
        result = invoke(folder, 3)
        assert result.exit_code == 1
        assert "nothing to calibrate" in result.stderr
        assert re.search(r"input.nn line \d+: nothing", result.stderr)


@pytest.mark.slow
@pytest.mark.skipif(not MPIEXEC.exists(), reason="no mpiexec")
class TestRanks:
    """Two ranks, of which only the first has the outcomes."""

    def run(self, folder: Path, mode: int, setup: str = "") -> subprocess.CompletedProcess[str]:
        code = f"{setup}\nfrom bnnp.cli import main\nmain(['--mode', '{mode}'])"
        return subprocess.run(
            [str(MPIEXEC), "-n", "2", sys.executable, "-c", code],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def test_the_same_as_one_process(self, folder: Path) -> None:
        before = section(folder)
        add(folder, "calibrate\n")
        result = self.run(folder, 3)
        assert result.returncode == 0, result.stdout + result.stderr
        assert section(folder) == before

    def test_an_error_of_the_fit_is_one_message(self, folder: Path) -> None:
        """Thirty errors of zero tell nothing of the size of errors; both ranks end."""
        potential = load(folder)
        equal = [
            replace(s, subset=None, energy=potential.predict(s).energy.value, forces=None, stress=None)
            for s in alloys(30, seed=3)
        ]
        write_structures(folder / "input.data", equal)
        add(folder, "calibrate\n")
        result = self.run(folder, 3)
        assert result.returncode == 1
        assert result.stderr.count("ERROR: ") == 1
        assert "energy: all errors (30) are 0, so they tell nothing" in " ".join(result.stderr.split())
        assert "Traceback" not in result.stderr

    def test_a_structure_that_cannot_be_predicted(self, folder: Path) -> None:
        """In mode 3 an error; at the end of mode 2 a warning, and no advice as if all were well."""
        setup = (
            "import bnnp.modes.calibrate.run as calibrate\n"
            "from bnnp.errors import NumericalError\n"
            "observe = calibrate.observe\n"
            "def failing(*arguments):\n"
            "    if arguments[-1] == 1:\n"
            "        raise NumericalError('structure 2: no energy')\n"
            "    return observe(*arguments)\n"
            "calibrate.observe = failing"
        )
        trained = self.run(folder, 2, setup)
        assert trained.returncode == 0, trained.stdout + trained.stderr
        assert "stay UNCALIBRATED: structure 2: no energy" in trained.stdout
        assert "the calibration failed" in trained.stdout
        assert "predicts the structures" not in trained.stdout
        add(folder, "calibrate\n")
        result = self.run(folder, 3, setup)
        assert result.returncode == 1
        assert result.stderr.count("ERROR: structure 2: no energy") == 1
        assert "Traceback" not in result.stderr


class TestMistakes:
    def replace_in(self, folder: Path, pattern: str, by: str) -> None:
        path = folder / "uncertainty.data"
        text, count = re.subn(pattern, by, path.read_text(), flags=re.MULTILINE)
        assert count
        path.write_text(text)

    @pytest.mark.parametrize(
        ("pattern", "by", "message"),
        [
            (r"\[calibration\]\nversion 3", "[calibration]\nversion 7", "version 7, but this bnnp knows 3"),
            (r"^(weights Cu [0-9a-f]+) *$(?=\nweights Au [0-9a-f]+\nmc)", r"\1", ""),
            (
                r"^mc energy map quadratic.*$|^mc energy map isotonic.*$",
                "mc energy map cubic 1",
                "cut short or damaged",
            ),
            (r"^mc stress conformal.*$", "", "cut short or damaged"),
            (r"^use hybrid$", "", "`use` or `weights` is missing"),
            (r"^(mc quantiles energy \S+) .*$", r"\1", "cut short or damaged"),
        ],
    )
    def test_damage(self, pattern: str, by: str, message: str, folder: Path) -> None:
        self.replace_in(folder, pattern, by)
        result = invoke(folder, 3)
        assert result.exit_code == (1 if message else 0)
        assert message in result.output + result.stderr

    def test_other_weights(self, folder: Path) -> None:
        lines = (folder / "uncertainty.data").read_text().split("[calibration]")
        changed = re.sub(r"^(weights Cu )\w{8}", r"\g<1>00000000", lines[1], flags=re.MULTILINE)
        (folder / "uncertainty.data").write_text("[calibration]".join([lines[0], changed]))
        result = invoke(folder, 3)
        assert result.exit_code == 1
        assert "was made with other weights" in result.stderr

    def test_hybrid_without_a_calibration(self, folder: Path) -> None:
        text = (folder / "uncertainty.data").read_text().split("[calibration]")[0]
        (folder / "uncertainty.data").write_text(text)
        add(folder, "uncertainty hybrid\n")
        result = invoke(folder, 3)
        assert result.exit_code == 1
        assert "`uncertainty hybrid` needs a calibration" in result.stderr

    def test_other_number_of_samples_is_a_warning(self, folder: Path) -> None:
        (folder / "input.nn").write_text(
            (folder / "input.nn").read_text().replace("mc_samples 30", "mc_samples 12")
        )
        result = invoke(folder, 3)
        assert "the calibration was made with 30 Monte Carlo samples, here are 12" in result.output


def test_section_reads_back_as_it_was_written(trained: tuple[Path, str]) -> None:
    lines = section(trained[0])
    assert format_calibration(parse_calibration(lines)) == lines


@pytest.mark.slow
def test_retrained_networks_have_no_calibration_of_the_former_ones(folder: Path) -> None:
    write_structures(folder / "input.data", [s for s in data() if s.subset in (Set.TRAIN, Set.TEST)])
    assert invoke(folder, 1).exit_code == 0
    assert invoke(folder, 2).exit_code == 0
    assert list(read_uncertainty(folder / "uncertainty.data").sections) == ["domain"]


@pytest.mark.slow
def test_ensemble_without_dropout_is_calibrated_too(trained: tuple[Path, str], tmp_path: Path) -> None:
    settings = "dropout_rate 0\nepochs 2\nbatch_size 4\nensemble_size 3\n"
    folder = twin(trained[0], tmp_path / "ensemble", settings)
    result = invoke(folder, 2)
    assert result.exit_code == 0, result.output
    assert "UNCALIBRATED" not in result.output
    for place in (folder, folder / "potential"):
        potential = load(place)
        assert potential.samples == 3
        assert potential.calibration is not None
        assert potential.calibration.samples == 3
    add(folder, "calculate_forces\n")
    assert invoke(folder, 3).exit_code == 0
    assert "std: calibrated (hybrid)" in header(folder / "energy.out")
    (folder / "input.nn").write_text(
        (folder / "input.nn").read_text().replace("ensemble_size 3", "ensemble_size 1")
    )
    assert "calibrat" not in invoke(folder, 3).stderr  # one network without masks has no sigma to calibrate


@pytest.mark.parametrize("units", [METAL, ATOMIC])
def test_what_symmetry_makes_zero_is_left_out(units: Units) -> None:
    """Forces in meV/Angstrom with their sigma: two zeros by symmetry (one with the noise of a reference); a
    prediction without error; an atom without neighbors in the cutoff, whose reference is not zero."""
    errors, sigmas = np.array([0.0, 0.5, 0.0, 40.0]), np.array([1e-14, 1e-12, 20.0, 0.0])
    scale = 1.0 / units.mev_per_angstrom
    numbers, inside = np.arange(4), np.zeros(4, dtype=bool)
    found = Observations(scale * errors, scale * sigmas[:, None], numbers, inside, sigmas)
    assert without_symmetric("forces Si", found, units).structure.tolist() == [2, 3]
    assert without_symmetric("energy", found, units).structure.tolist() == [0, 1, 2, 3]
    stress = replace(found, errors=errors / 1000.0 / units.gpa, parts=sigmas[:, None] / 1000.0 / units.gpa)
    assert without_symmetric("stress", stress, units).structure.tolist() == [2, 3]


def test_a_part_without_weight_is_explained() -> None:
    scores = dict.fromkeys(("raw", "calibrated", "coverage", "ence", "area", "quadratic", "isotonic"), 1.0)

    def told(weight: float) -> str:
        quantity = Quantity(Quadratic(0.0, 1.0, 0.0, 1.0), np.array([weight, 1.0, 1.0]), {90: 1.6}, scores)
        stream = io.StringIO()
        calibration = Calibration(
            "hybrid", quantity, {"Si": replace(quantity, weights=np.ones(3))}, None, 9, 30
        )
        report_calibration(Log(stream, enabled=True), {"hybrid": calibration}, Worth(30.0), METAL)
        return " ".join(stream.getvalue().split())

    assert "x MC is 0 for energy: beside the other parts" in told(0.0)
    assert "is 0 for" not in told(0.5)
