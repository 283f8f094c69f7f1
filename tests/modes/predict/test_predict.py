"""Mode 3 through the executable: known potentials, uncertainty, physics of the files, ranks, mistakes."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from scipy.stats import spearmanr

from bnnp.cli import main
from bnnp.descriptors.neighbors import find_neighbors
from bnnp.descriptors.scaling import Scaling
from bnnp.errors import InputError
from bnnp.io.input_data import read_structures, write_structures
from bnnp.io.scaling_data import ScalingData
from bnnp.io.uncertainty_data import UncertaintyData
from bnnp.modes.predict.report import limits_of_prediction
from bnnp.network.dense import Network
from bnnp.network.initial import initial_network
from bnnp.network.masks import Masks
from bnnp.potential.assessment import Assessment
from bnnp.potential.files import PotentialFiles
from bnnp.potential.loading import load
from bnnp.potential.member import Member
from bnnp.settings.settings import Settings, load_settings
from bnnp.structure import Structure
from bnnp.uncertainty.extrapolation import Tally
from bnnp.uncertainty.metrics import ErrorSum
from bnnp.uncertainty.ranking import spearman_ceiling

SAMPLES = 10
RATES = (0.0, 0.2, 0.2)
INPUT = """\
number_of_elements 2
elements Te Ge
units metal
threads 1
remove_atom_energies
atom_energy Ge -2.0
atom_energy Te -3.0
cutoff_type 2
scale_symmetry_functions
center_symmetry_functions
global_hidden_layers_short 2
global_nodes_short 7 6
global_activation_short t t l
calculate_forces
calculate_stress
nn_type_short 1
use_short_nn
mc_samples 10
global_symfunction_short 2 0.05 0.0 6.0
global_symfunction_short 2 0.50 1.5 6.0
global_symfunction_short 3 0.05 1.0 1.0 5.0
global_symfunction_short 9 0.05 -1.0 4.0 5.0
"""


def rocksalt(seed: int, spread: float = 0.25) -> Structure:
    """Eight atoms of GeTe, displaced."""
    generator = np.random.default_rng(seed)
    corners = 3.0 * np.array(np.meshgrid([0, 1], [0, 1], [0, 1])).reshape(3, 8).T
    numbers = np.where(corners.sum(axis=1) % 6 < 1, 32, 52)
    noise = generator.uniform(-spread, spread, (8, 3))
    forces = generator.normal(size=(8, 3))
    return Structure(numbers, corners + noise, 6.0 * np.eye(3), energy=-20.0 + seed, forces=forces)


def make_potential(folder: Path, text: str = INPUT, seed: int = 0) -> Settings:
    """A random network with masks, scaled on six structures; another one for every `seed`."""
    (folder / "input.nn").write_text(text)
    settings = load_settings(folder / "input.nn", 3)
    descriptor = settings.model.descriptor()
    rows: dict[str, list[np.ndarray]] = {element: [] for element in settings.model.elements}
    for structure in map(rocksalt, range(seed, seed + 6)):
        pairs = find_neighbors(structure.positions, structure.cell, descriptor.radius, structure.numbers)
        types = np.array(
            [settings.model.elements.index(symbol) for symbol in structure.symbols], dtype=np.int32
        )
        values = descriptor.values(types, pairs)
        for number, element in enumerate(settings.model.elements):
            rows[element].append(values[types == number])
    scalings = {element: Scaling.of(np.concatenate(values)) for element, values in rows.items()}
    spread = ScalingData(scalings, (-9.0, 9.0), settings.model.fingerprint)
    networks: dict[str, Network] = {}
    for number, element in enumerate(settings.model.elements):
        generator = np.random.default_rng(seed + number)
        shape = settings.model.architecture[element]
        networks[element] = initial_network(shape, len(scalings[element]), generator, "nguyen_widrow")
    masks = Masks.draw(1, SAMPLES, RATES, {element: network.sizes for element, network in networks.items()})
    data = UncertaintyData.of(masks, networks)
    PotentialFiles(settings.model, networks, spread, data).write(folder)
    return settings


def launch(folder: Path, *prefix: str) -> subprocess.CompletedProcess[str]:
    """The program started as a user does, under a launcher if one is named."""
    command = [*prefix, sys.executable, "-m", "bnnp", "--mode", "3"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def executable(folder: Path, *prefix: str) -> str:
    """Its output, when all went well."""
    result = launch(folder, *prefix)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def columns_of(log: str, group: str) -> dict[str, str]:
    """A row of the table of mode 3, by the names of the columns: of all pieces if it is too wide for one."""
    found: dict[str, str] = {}
    headers = [line for line in log.splitlines() if line.split()[:1] == ["group"]]
    rows = [line for line in log.splitlines() if line.split()[:1] == [group]]
    for header, row in zip(headers, rows, strict=True):
        names = re.split(r"\s{2,}", header.strip())
        assert len(set(names)) == len(names)
        assert found.keys() & {*names} <= {"group"}
        found |= dict(zip(names, row.split(), strict=True))
    return found


def run(folder: Path) -> Result:
    """The same command in this process, which saves loading the libraries every time."""
    with contextlib.chdir(folder):
        return CliRunner().invoke(main, ["--mode", "3"])


def predict(folder: Path) -> str:
    result = run(folder)
    assert result.exit_code == 0, result.output
    return result.stdout


def flat(log: str) -> str:
    """A log without its line breaks."""
    return " ".join(log.split())


def column(path: Path, name: str) -> np.ndarray:
    names = path.read_text().splitlines()[0][2:].split("|")[0].split()
    return np.loadtxt(path, ndmin=2)[:, names.index(name)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Potential and six structures, two of them free, in two groups."""
    make_potential(tmp_path)
    structures = [
        replace(rocksalt(seed), index=seed, info={"group": ("cold", "hot")[seed % 2]}) for seed in range(6)
    ]
    structures[2] = replace(structures[2], cell=None)
    write_structures(tmp_path / "input.data", structures)
    return tmp_path


class TestKnownPotentials:
    """Energies and forces of n2p2 and SIMPLE-NN reproduced; input.nn is theirs, but for check_units."""

    @staticmethod
    def run(shared: Path, name: str, tmp_path: Path) -> Path:
        for source in (shared / "reference" / name).iterdir():
            if source.name in ("input.nn", "input.data", "scaling.data") or source.name.startswith("weights"):
                shutil.copyfile(source, tmp_path / source.name)
        with open(tmp_path / "input.nn", "a") as file:
            file.write("\ncheck_units .false.\n")  # sio2_70 is in Angstrom, which n2p2 need not know
        executable(tmp_path)
        return shared / "reference" / name

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["water_28", "sio2_70"])
    def test_one_large_structure(self, shared: Path, name: str, tmp_path: Path) -> None:
        """energy.out and nnforces.out of n2p2's nnp-predict."""
        reference = self.run(shared, name, tmp_path)
        energy = np.loadtxt(reference / "energy.out", ndmin=2)
        assert column(tmp_path / "energy.out", "Ennp") == pytest.approx(energy[:, 3], rel=1e-12)
        forces = np.loadtxt(reference / "nnforces.out")[:, 5:8]
        np.testing.assert_allclose(np.loadtxt(tmp_path / "nnforces.out")[:, 5:8], forces, rtol=0, atol=1e-9)

    @pytest.mark.slow
    def test_normalized_potential(self, shared: Path, tmp_path: Path) -> None:
        """RPBE-D3 water with n2p2's mean_energy, conv_energy and conv_length; atomic energies, too."""
        reference = self.run(shared, "H2O_RPBE-D3", tmp_path)
        lines = [line.split() for line in (reference / "ref_energy.txt").read_text().splitlines()[1:]]
        totals = [float(line[2]) for line in lines if line[0] != "A"]
        assert column(tmp_path / "energy.out", "Ennp") == pytest.approx(totals, rel=1e-13)
        atomic = [float(line[4]) for line in lines if line[0] == "A"]
        assert column(tmp_path / "nnatoms.out", "Ennp_atom") == pytest.approx(atomic, rel=1e-12)
        forces = np.loadtxt(reference / "ref_forces.txt", usecols=(3, 4, 5))
        np.testing.assert_allclose(np.loadtxt(tmp_path / "nnforces.out")[:, 5:8], forces, rtol=0, atol=1e-9)


class TestUncertainty:
    def test_every_sample_is_one_network(self, folder: Path) -> None:
        """Mean and standard deviation of plain potentials whose weights have the mask of one sample folded
        in."""
        predict(folder)
        potential = load(folder)
        (member,) = potential.members
        assert member.masks is not None
        energies, forces, stresses = [], [], []
        for number in range(SAMPLES):
            networks = {}
            for element, network in member.networks.items():
                factors = [mask[number][:, None] for mask in member.masks.scaled(element)]
                weights = tuple(a * b for a, b in zip(factors, network.weights, strict=True))
                networks[element] = replace(network, weights=weights)
            plain = replace(potential, members=(Member(networks),))
            results = [plain.predict(structure) for structure in read_structures(folder / "input.data")]
            energies.append([result.energy.value for result in results])
            forces.append(np.concatenate([result.forces.value for result in results]))
            stresses.append(results[0].stress.value)
        out = folder / "energy.out"
        np.testing.assert_allclose(column(out, "Ennp"), np.mean(energies, axis=0), rtol=1e-12)
        np.testing.assert_allclose(column(out, "Ennp_std"), np.std(energies, axis=0, ddof=1), rtol=1e-9)
        table = np.loadtxt(folder / "nnforces.out")
        np.testing.assert_allclose(table[:, 5:8], np.mean(forces, axis=0), atol=1e-12)
        np.testing.assert_allclose(table[:, 8:11], np.std(forces, axis=0, ddof=1), atol=1e-12)
        std = np.std(stresses, axis=0, ddof=1)[[[0, 5, 4], [5, 1, 3], [4, 3, 2]]]
        np.testing.assert_allclose(np.loadtxt(folder / "nnstress.out")[:3, 4:], std, atol=1e-13)

    def test_without_the_file_it_is_the_plain_network(self, folder: Path) -> None:
        (folder / "uncertainty.data").unlink()
        log = predict(folder)
        assert "no uncertainty.data: the plain network, without standard deviations" in flat(log)
        assert "sigma" not in log
        assert "std" not in (folder / "energy.out").read_text()

    def test_one_sample_has_no_standard_deviation(self, folder: Path) -> None:
        (folder / "input.nn").write_text(INPUT.replace("mc_samples 10", "mc_samples 1"))
        predict(folder)
        assert "std" not in (folder / "nnforces.out").read_text()

    def test_no_samples_are_the_plain_network(self, folder: Path) -> None:
        (folder / "input.nn").write_text(INPUT.replace("mc_samples 10", "mc_samples 0"))
        assert "mc_samples 0, uncertainty.data is not used" in predict(folder)
        assert "std" not in (folder / "energy.out").read_text()

    @pytest.mark.parametrize(
        ("line", "warnings"),
        [
            ("", 0),
            ("dropout_rate 0.2\ndropout_rate_input 0\n", 0),
            ("dropout_rate 0.2 0.1\n", 1),
            ("dropout_rate_input 0.1\n", 1),
        ],
    )
    def test_other_dropout_rates_have_no_effect(self, folder: Path, line: str, warnings: int) -> None:
        predict(folder)
        before = (folder / "energy.out").read_bytes()
        (folder / "input.nn").write_text(INPUT + line)
        log = " ".join(predict(folder).split())
        assert log.count("has no effect in mode 3: the masks of uncertainty.data were drawn with") == warnings
        assert (folder / "energy.out").read_bytes() == before

    def test_header_and_log_say_that_it_is_raw(self, folder: Path) -> None:
        log = predict(folder)
        assert "raw (uncalibrated), 10 Monte Carlo samples" in log
        for name in ("energy.out", "nnforces.out", "nnstress.out", "nnatoms.out"):
            assert "std: raw (uncalibrated), 10 Monte Carlo samples" in (folder / name).read_text()

    def test_samples_are_nested(self, folder: Path) -> None:
        """Four samples of a file with ten are those of a file with four; twenty continue its seed."""
        means = {}
        for wanted in (4, 20):
            (folder / "input.nn").write_text(INPUT.replace("mc_samples 10", f"mc_samples {wanted}"))
            log = predict(folder)
            means[wanted] = column(folder / "energy.out", "Ennp")
            assert ("10 there, the others from its seed 1" in flat(log)) == (wanted == 20)
        potential = load(folder)
        networks = potential.members[0].networks
        sizes = {element: network.sizes for element, network in networks.items()}
        for wanted in (4, 20):
            masks = Masks.draw(1, wanted, RATES, sizes)
            direct = replace(potential, members=(Member(networks, masks),))
            structures = read_structures(folder / "input.data")
            expected = [direct.predict(structure).energy.value for structure in structures]
            np.testing.assert_allclose(means[wanted], expected, rtol=1e-13)


class TestPhysics:
    """Derivatives of what stands in energy.out, against what stands in the other files."""

    def test_forces_are_minus_the_gradient_of_the_mean(self, folder: Path) -> None:
        step = 1e-4  # Angstrom: error of the central difference ~ step^2 E''' ~ 1e-8 eV/Angstrom
        structure = rocksalt(1)
        moved = [structure]
        for atom, axis, sign in ((0, 0, 1), (0, 0, -1), (5, 2, 1), (5, 2, -1)):
            positions = structure.positions.copy()
            positions[atom, axis] += sign * step
            moved.append(replace(structure, positions=positions))
        write_structures(folder / "input.data", moved)
        predict(folder)
        energy = column(folder / "energy.out", "Ennp")
        forces = np.loadtxt(folder / "nnforces.out")[:8, 5:8]
        assert forces[0, 0] == pytest.approx(-(energy[1] - energy[2]) / (2 * step), abs=2e-7)
        assert forces[5, 2] == pytest.approx(-(energy[3] - energy[4]) / (2 * step), abs=2e-7)

    def test_stress_is_minus_the_strain_derivative(self, folder: Path) -> None:
        """RuNNer's sign: s = -(1/V) dE/d(strain)."""
        step = 2e-6  # third derivatives of 1e3 eV/Angstrom^3 and rounding both leave less than 2e-9
        structure = rocksalt(1)
        assert structure.cell is not None
        strained = [structure]
        for row, other, sign in ((0, 0, 1), (0, 0, -1), (1, 2, 1), (1, 2, -1)):
            strain = np.eye(3)
            strain[row, other] += sign * step
            moved = structure.positions @ strain.T
            strained.append(replace(structure, positions=moved, cell=structure.cell @ strain.T))
        write_structures(folder / "input.data", strained)
        predict(folder)
        energy = column(folder / "energy.out", "Ennp")
        stress = np.loadtxt(folder / "nnstress.out")[:3, 1:4]
        assert stress[0, 0] == pytest.approx(-(energy[1] - energy[2]) / (2 * step) / 216.0, abs=2e-9)
        assert stress[1, 2] == pytest.approx(-(energy[3] - energy[4]) / (2 * step) / 216.0, abs=2e-9)

    def test_atomic_energies_and_offset_add_up(self, folder: Path) -> None:
        predict(folder)
        atoms = column(folder / "nnatoms.out", "Ennp_atom").reshape(6, 8).sum(axis=1)
        offset = column(folder / "energy.out", "E_offset")
        np.testing.assert_allclose(offset, -2.0 * 4 - 3.0 * 4)
        np.testing.assert_allclose(column(folder / "energy.out", "Ennp"), atoms + offset, rtol=1e-14)


class TestReport:
    def test_table_by_group(self, folder: Path) -> None:
        log = predict(folder)
        row = columns_of(log, "hot")
        assert max(map(len, log.splitlines())) <= 80
        assert row["structures"] == "3"
        energy = np.loadtxt(folder / "energy.out")
        error = 1000 * (energy[1::2, 3] - energy[1::2, 2]) / 8
        assert float(row["E RMSE"]) == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-3)
        assert float(row["E bias"]) == pytest.approx(error.mean(), rel=1e-3)
        assert float(row["E sigma"]) == pytest.approx(1000 * energy[1::2, 7].mean(), rel=1e-3)
        forces = np.loadtxt(folder / "nnforces.out")
        odd = forces[forces[:, 0] % 2 == 0]
        rmse = 1000 * np.sqrt(np.mean((odd[:, 5:8] - odd[:, 2:5]) ** 2))
        assert float(row["F RMSE"]) == pytest.approx(rmse, rel=1e-3)
        assert columns_of(log, "total")["structures"] == "6"

    def test_root_mean_square_score(self, folder: Path) -> None:
        """sqrt(ZMS) of energies and force components: 1 would be a sigma of the right size."""
        log = predict(folder)
        assert "1 = sigma has the right size on average" in flat(log)
        total = columns_of(log, "total")
        energy, force = (float(total[f"{name} sqrt(ZMS)"]) for name in "EF")
        table = np.loadtxt(folder / "energy.out")
        scores = (table[:, 3] - table[:, 2]) / 8 / table[:, 7]  # sigma is per atom
        assert energy == pytest.approx(np.sqrt(np.mean(scores**2)), rel=1e-3)
        table = np.loadtxt(folder / "nnforces.out")
        scores = (table[:, 5:8] - table[:, 2:5]) / table[:, 8:11]
        assert force == pytest.approx(np.sqrt(np.mean(scores**2)), rel=1e-3)

    def test_rank_correlation(self, folder: Path) -> None:
        """Of sigma and error, as the files have them; with 6 energies nothing is said about these."""
        log = flat(predict(folder))
        table = np.loadtxt(folder / "nnforces.out")
        errors, sigma = np.abs(table[:, 5:8] - table[:, 2:5]).ravel(), table[:, 8:11].ravel()
        found = re.search(r"from these sigmas: forces (-?[\d.]+) \((-?[\d.]+)\)", log)
        assert found is not None
        assert float(found[1]) == pytest.approx(spearmanr(sigma, errors).statistic, abs=0.0051)
        ceiling = spearman_ceiling(sigma, np.random.default_rng(1), 200)
        assert float(found[2]) == pytest.approx(ceiling, abs=0.07)  # 4 times the spread of a mean over 20
        write_structures(folder / "input.data", [rocksalt(seed) for seed in range(10)])
        log = flat(predict(folder))
        errors = np.abs(column(folder / "energy.out", "Ennp") - column(folder / "energy.out", "Eref"))
        sigma = np.loadtxt(folder / "energy.out")[:, 7]
        found = re.search(r"from these sigmas: energies (-?[\d.]+) ", log)
        assert found is not None
        assert float(found[1]) == pytest.approx(spearmanr(sigma, errors).statistic, abs=0.0051)
        bare = [replace(rocksalt(seed), energy=None, forces=None) for seed in range(10)]
        write_structures(folder / "input.data", bare)
        assert "rank correlation" not in flat(predict(folder))

    def test_every_column_says_what_it_is_of(self, folder: Path) -> None:
        """With references of energy, forces and stress, and without any."""
        stress = np.array([1.0, 2.0, 3.0, 0.1, 0.2, 0.3]) / 100.0
        labeled = [replace(rocksalt(seed), stress=stress, info={"group": "all"}) for seed in range(3)]
        write_structures(folder / "input.data", labeled)
        found = columns_of(predict(folder), "all")
        numbers = np.loadtxt(folder / "nnstress.out").reshape(3, 3, 7)
        reference = -stress[[[0, 5, 4], [5, 1, 3], [4, 3, 2]]]
        voigt = (slice(None), [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1])
        error = (numbers[:, :, 1:4] - reference)[voigt]
        score = error / numbers[:, :, 4:][voigt]
        assert float(found["S RMSE"]) == pytest.approx(np.sqrt(np.mean(error**2)) * 160.21766, rel=1e-3)
        assert float(found["S sqrt(ZMS)"]) == pytest.approx(np.sqrt(np.mean(score**2)), rel=1e-3)
        bare = [replace(s, energy=None, forces=None, stress=None) for s in labeled]
        write_structures(folder / "input.data", bare)
        names = ["group", "structures", "E sigma", "F sigma", "S sigma", "pressure"]
        assert list(columns_of(predict(folder), "all")) == names

    def test_isolated_atoms_have_no_score_of_forces(self, folder: Path) -> None:
        """Nothing but rounding: error and sigma are 0, their ratio is nothing."""
        far = 50.0 * np.arange(3.0)[:, None] * np.array([1.0, 0.0, 0.0])
        alone = Structure(np.array([32, 52, 52]), far, None, -8.0, np.full((3, 3), 9.8e-15))
        write_structures(folder / "input.data", [replace(alone, info={"group": "alone"})])
        found = columns_of(predict(folder), "alone")
        assert [found[f"F {name}"] for name in ("RMSE", "MAE", "sigma")] == ["0", "0", "0"]
        assert "F sqrt(ZMS)" not in found
        assert float(found["E sqrt(ZMS)"]) > 0.0

    def test_structures_without_labels(self, folder: Path) -> None:
        lines = ["begin", *(f"atom {x} {y} {z} Ge" for x, y, z in rocksalt(1).positions.tolist()), "end", ""]
        (folder / "input.data").write_text("\n".join(lines))
        log = predict(folder)
        assert "RMSE" not in log
        assert np.isnan(column(folder / "energy.out", "Eref")).all()
        assert np.isfinite(column(folder / "energy.out", "Ennp_std")).all()

    def test_energy_only(self, folder: Path) -> None:
        text = INPUT.replace("calculate_forces\n", "").replace("calculate_stress\n", "")
        (folder / "input.nn").write_text(text)
        (folder / "nnforces.out").write_text("of a former run\n")
        log = predict(folder)
        assert "nnforces.out is from a former run" in log
        assert not (folder / "nnstress.out").exists()
        (first, *_) = read_structures(folder / "output.data", require_labels=False)
        assert first.forces is None

    def test_other_unit_of_length_is_noticed(self, folder: Path) -> None:
        """GeTe in bohr where Angstrom is expected stops the run; nothing is said where the unit is right."""
        assert "this looks like" not in predict(folder)
        large = [
            replace(s, positions=s.positions / 0.529177, cell=None if s.cell is None else s.cell / 0.529177)
            for s in read_structures(folder / "input.data")
        ]
        write_structures(folder / "input.data", large)
        result = run(folder)
        assert result.exit_code == 1
        assert "ERROR: input.data: this looks like bohr" in result.output
        (folder / "input.nn").write_text(INPUT + "check_units .false.\n")
        log = " ".join(predict(folder).split())
        assert log.count("WARNING: this looks like bohr") == 1
        assert "remove `units metal` from input.nn" in log

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
    def test_without_a_gpu_cuda_is_an_error(self, folder: Path) -> None:
        (folder / "input.nn").write_text(INPUT + "device cuda\n")
        with pytest.raises(InputError, match="PyTorch sees no GPU"):
            load(folder)

    def test_torch_gives_the_same_numbers(self, folder: Path) -> None:
        """As `device cuda` does, but in torch on the CPU."""
        structure = next(iter(read_structures(folder / "input.data")))
        expected = load(folder).predict(structure)
        got = load(folder).with_options(device="cpu:0").predict(structure)
        for name in ("energy", "forces", "stress"):
            for kind in ("value", "std"):
                found, wanted = (getattr(getattr(each, name), kind) for each in (got, expected))
                np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-10 * np.abs(wanted).max())

    def test_check_forces_computes_them(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without calculate_forces, too: with a limit below rounding the first structure stops the run."""
        text = INPUT.replace("calculate_forces\n", "").replace("calculate_stress\n", "")
        (folder / "input.nn").write_text(text + "check_forces\n")
        predict(folder)
        assert (folder / "nnforces.out").exists()
        monkeypatch.setattr("bnnp.modes.predict.structure.NET_FORCE", -1.0)
        result = run(folder)
        assert result.exit_code == 1
        assert "the forces add up to" in result.output

    def test_training_structures_do_not_extrapolate(self, folder: Path) -> None:
        write_structures(folder / "input.data", map(rocksalt, range(6)))
        assert "no symmetry function left its training range" in predict(folder)

    def test_extrapolation(self, folder: Path) -> None:
        """One warning and a line an element; n2p2's lines if it is called as RuNNer is."""
        structures = [rocksalt(1), rocksalt(1, spread=0.6)]
        write_structures(folder / "input.data", structures)
        log = predict(folder)
        assert "symmetry functions of 1 of 2 structures, the first is structure 2" in flat(log)
        assert "### NNP" not in log
        table = log[log.index("worst function") :].splitlines()[2:]
        counts = [int(line.split()[1]) for line in table[: table.index("")]]
        assert "of the atoms, in 50 % of the structures, are outside of the training range" in flat(log)
        with open(folder / "input.nn", "a") as file:
            file.write("runner_mode 3\n")
        with contextlib.chdir(folder):
            result = CliRunner().invoke(main, [])
        text = result.stdout
        lines = [line for line in text.splitlines() if line.startswith("### NNP EXTRAPOLATION WARNING ###")]
        assert sum(counts) == len(lines) > 0
        assert {int(line.split()[6]) for line in lines} == {1}  # as n2p2 counts
        assert int(text[: text.index(" warnings; total time")].split()[-1]) >= len(lines)

    def test_energy_outside_the_training_range(self, folder: Path) -> None:
        """RuNNer's warning for the energy per atom without free atoms, from the last line of scaling.data."""
        lines = (folder / "scaling.data").read_text().splitlines()
        (folder / "scaling.data").write_text("\n".join([*lines[:-1], "-90.0 -80.0"]))
        log = predict(folder)
        assert "outside the training range: the energies of 6 of 6 structures" in flat(log)
        energy = (column(folder / "energy.out", "Ennp")[0] + 20.0) / 8
        assert f"the first of structure 1 (line 1): average per atom {energy:.8f}, limit -80.0" in flat(log)
        assert "eshort" not in log  # RuNNer's words are for programs that read its log
        with open(folder / "input.nn", "a") as file:
            file.write("runner_mode 3\n")
        with contextlib.chdir(folder):
            log = CliRunner().invoke(main, []).stdout
        assert (
            f"structure 1 (line 1): WARNING: eshort is .gt. eshortmax: average per atom {energy:.8f}" in log
        )

    def test_function_that_never_varied(self, folder: Path) -> None:
        """In a training set of one perfect crystal nothing varies; then an atom moves."""
        text = (folder / "scaling.data").read_text().splitlines()
        first = next(k for k, line in enumerate(text) if not line.startswith("#"))
        words = text[first].split()
        text[first] = " ".join([*words[:2], words[4], words[4], words[4], "0.0"])
        (folder / "scaling.data").write_text("\n".join(text) + "\n")
        _strip_identity(folder)
        log = predict(folder)
        assert "never varied" in log
        assert "the network knows nothing of them" in " ".join(log.split())


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_do_not_matter(folder: Path, ranks: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    launcher = Path(sys.executable).with_name("mpiexec")
    if not launcher.exists():
        pytest.skip("no mpiexec beside the Python that runs the tests")
    other = tmp_path_factory.mktemp("ranks")
    shutil.copytree(folder, other, dirs_exist_ok=True)
    log = predict(folder)
    parallel = executable(other, str(launcher), "-n", str(ranks))
    for name in ("energy.out", "nnforces.out", "nnstress.out", "nnatoms.out", "output.data"):
        assert (other / name).read_bytes() == (folder / name).read_bytes()
    results = [text[text.index("Results ---") : text.index("warning")] for text in (log, parallel)]
    assert results[0] == results[1]


def test_failure_on_another_rank_ends_all_and_leaves_nothing(folder: Path) -> None:
    launcher = Path(sys.executable).with_name("mpiexec")
    if not launcher.exists():
        pytest.skip("no mpiexec beside the Python that runs the tests")
    _coincident(folder)  # the second structure: rank 1
    before = sorted(path.name for path in folder.iterdir())
    result = launch(folder, str(launcher), "-n", "2")
    assert result.returncode == 1
    assert result.stderr.count("atoms 7 and 8 are 0 Angstrom apart") == 1
    assert sorted(path.name for path in folder.iterdir()) == before


def _strip_identity(folder: Path) -> None:
    """No file says any more which potential it belongs to, as those of RuNNer and n2p2."""
    for path in (*folder.glob("*.data"), *folder.glob("optweights.*")):
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if not line.startswith("# potential ")))


def _edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    """Replace the first `old` in the file `name`."""

    def change(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1))

    return change


def _remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _cut(name: str) -> Callable[[Path], None]:
    """Half of the lines, as a full disk leaves it."""

    def change(folder: Path) -> None:
        lines = (folder / name).read_text().splitlines(keepends=True)
        (folder / name).write_text("".join(lines[: len(lines) // 2]))

    return change


def _without_sigma(folder: Path) -> None:
    rows = (folder / "scaling.data").read_text().splitlines()
    rows = [" ".join(row.split()[:5]) for row in rows if not row.startswith("#")]
    (folder / "scaling.data").write_text("\n".join(rows))
    _edit("input.nn", "center_symmetry_functions\n", "")(folder)
    _edit("input.nn", "scale_symmetry_functions", "scale_symmetry_functions_sigma")(folder)


def _swap(folder: Path) -> None:
    one, two = folder / "weights.032.data", folder / "weights.052.data"
    text = one.read_text()
    one.write_text(two.read_text())
    two.write_text(text)


def _other(*names: str) -> Callable[[Path], None]:
    """Files of another training of the same input.nn, with other weights and ranges."""

    def change(folder: Path) -> None:
        other = folder.parent / f"{folder.name}_other"
        other.mkdir()
        make_potential(other, seed=100)
        for name in names:
            shutil.copyfile(other / name, folder / name)

    return change


def _rounded(folder: Path) -> None:
    """Ten decimals, the header kept."""
    path = folder / "weights.032.data"
    lines = [line.split(maxsplit=1) for line in path.read_text().splitlines()]
    text = (" ".join((a, b) if a == "#" else (f"{float(a):.10f}", b)) for a, b in lines)
    path.write_text("\n".join(text) + "\n")


def _coincident(folder: Path) -> None:
    positions = rocksalt(2).positions[[0, 1, 2, 3, 4, 5, 6, 6]]
    write_structures(folder / "input.data", [rocksalt(1), replace(rocksalt(2), positions=positions)])


POTENTIAL = ("scaling.data", "uncertainty.data", "weights.032.data", "weights.052.data")

# what is refused with and without uncertainty.data
MIXTURES: dict[str, tuple[Callable[[Path], object], str]] = {
    "activation": (_edit("input.nn", "t t l", "s t l"), "the networks of input.nn (now Ge 10-7-6-1 (s t l)"),
    "no centering": (_edit("input.nn", "center_symmetry_functions\n", ""), "in input.nn (now scale 0.0 1.0)"),
    "sigma scaling": (
        lambda folder: [
            _edit("input.nn", "center_symmetry_functions\n", "")(folder),
            _edit("input.nn", "scale_symmetry_functions", "scale_symmetry_functions_sigma")(folder),
        ],
        "in input.nn (now sigma 0.0 1.0)",
    ),
    "interval": (_edit("input.nn", "threads 1\n", "scale_max_short 2\n"), "(now both 0.0 2.0)"),
    "normalised nodes": (_edit("input.nn", "threads 1\n", "normalize_nodes\n"), "(t t l), normalize_nodes)"),
    "normalisation": (
        _edit("input.nn", "threads 1\n", "mean_energy -1\nconv_energy 2\nconv_length 1\n"),
        "conv_length of input.nn (now -1.0 2.0 1.0)",
    ),
    "free atoms": (_edit("input.nn", "Ge -2.0", "Ge -2.5"), "(now Ge -2.5, Te -3.0)"),
    "swapped": (_swap, "the numbers in weights.032.data; the numbers in weights.052.data"),
    "rounded": (_rounded, "remove the line `# potential` from scaling.data, weights.032.data,"),
    "range edited": (_edit("scaling.data", "E-01", "E-02"), "the numbers in scaling.data"),
    "other scaling": (_other("scaling.data"), "scaling.data and weights.032.data belong to different"),
    "one other network": (
        _other("weights.052.data"),
        "differ in ranges, weights.032, weights.052. A training was stopped while it wrote them",
    ),
    "all other networks": (_other("weights.032.data", "weights.052.data"), "belong to different potentials"),
    "other, without its line": (
        lambda folder: [
            _other("weights.052.data")(folder),
            _edit("weights.052.data", "# potential ", "# ")(folder),
        ],
        "the numbers in weights.052.data",
    ),
}


@pytest.mark.parametrize("masks", [True, False])
@pytest.mark.parametrize("name", MIXTURES)
def test_what_does_not_belong_together_is_refused(folder: Path, name: str, masks: bool) -> None:
    change, expected = MIXTURES[name]
    if not masks:
        (folder / "uncertainty.data").unlink()
    change(folder)
    result = run(folder)
    assert result.exit_code == 1
    assert expected in " ".join(result.stderr.split())
    assert "run mode 2 again" in " ".join(result.stderr.split())


def test_masks_of_another_training_are_refused(folder: Path) -> None:
    _other("uncertainty.data")(folder)
    result = run(folder)
    assert result.exit_code == 1
    assert "scaling.data and uncertainty.data belong to different" in " ".join(result.stderr.split())


def test_masks_of_other_weights_are_refused_without_the_line(folder: Path) -> None:
    _strip_identity(folder)
    _edit("weights.032.data", "1 a ", "2 a ")(folder)
    assert "made for other weights of Ge" in " ".join(run(folder).stderr.split())


def test_a_whole_other_potential_is_accepted(folder: Path) -> None:
    _other(*POTENTIAL)(folder)
    predict(folder)


def test_files_without_the_line_are_accepted(folder: Path) -> None:
    """Those of RuNNer and n2p2; so is a change that is meant."""
    _strip_identity(folder)
    (folder / "uncertainty.data").unlink()
    _edit("input.nn", "t t l", "s t l")(folder)
    predict(folder)


MISTAKES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no weights": (_remove("weights.052.data"), "weights.052.data: no such file"),
    "not renamed": (
        lambda folder: (folder / "weights.052.data").rename(folder / "optweights.052.out"),
        "copy it to weights.052.data",
    ),
    "truncated weights": (_cut("weights.052.data"), "the network of Te in input.nn, 10-7-6-1 (t t l)"),
    "NaN weights": (_edit("weights.032.data", " a ", " a\nnan a "), "line 6: the value is nan"),
    "other architecture": (_edit("input.nn", "short 7 6", "short 7 7"), "10-7-7-1"),
    "other functions": (_edit("input.nn", "0.50 1.5 6.0", "0.40 1.5 6.0"), "made for other elements, symm"),
    "no scaling.data": (_remove("scaling.data"), "scaling.data: no such file"),
    "truncated scaling.data": (_cut("scaling.data"), "belongs to another network"),
    "sigma without a column": (_without_sigma, "`scale_symmetry_functions_sigma` needs sigma"),
    "masks of other weights": (_edit("weights.032.data", "1 a ", "2 a "), "the numbers in weights.032.data"),
    "damaged masks": (_cut("uncertainty.data"), "uncertainty.data: the mask of"),
    "unknown element": (_edit("input.data", " Ge ", " Sb "), "Sb"),
    "coincident atoms": (_coincident, "structure 2 (line 16): atoms 7 and 8 are 0 Angstrom apart"),
    "no data": (_remove("input.data"), "input.data"),
    "truncated data": (_cut("input.data"), "input.data"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(folder: Path, name: str) -> None:
    change, expected = MISTAKES[name]
    change(folder)
    before = sorted(path.name for path in folder.iterdir())
    result = run(folder)
    assert result.exit_code == 1
    assert expected in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert sorted(path.name for path in folder.iterdir()) == before  # nothing half-written


def limits(groups: dict[str, list[float]], *tallies: Tally) -> tuple[list[str], int]:
    """Limits of energies with these errors in each group, all with a sigma of 1."""
    found = {
        name: Assessment(len(e), energy=ErrorSum.of(np.array(e), np.zeros(len(e)), np.ones(len(e))))
        for name, e in groups.items()
    }
    report = SimpleNamespace(
        groups=found, total=sum(found.values(), Assessment()), outside=[1] * bool(tallies),
        tallies=dict(enumerate(tallies)), potential=SimpleNamespace(calibration=None, samples=1),
    )  # fmt: skip
    texts, _, lowered = limits_of_prediction(report)  # type: ignore[arg-type]
    return texts, lowered


class TestLimits:
    def test_the_group_whose_sigma_has_the_wrong_size_is_named(self) -> None:
        """Errors of 1, 5 and 0.1 sigma; of all, sqrt((1 + 25 + 0.01) / 3) = 2.94."""
        texts, lowered = limits({"cold": [1.0] * 20, "hot": [5.0] * 20, "ideal": [0.1] * 20})
        assert texts == [
            "standard deviations of the energies are 2.9 times too small on average",
            "standard deviations of the energies are 5 times too small in group hot",
            "standard deviations of the energies are 10 times too large in group ideal",
        ]
        assert lowered == 1
        assert limits({"cold": [1.0] * 20, "hot": [1.0] * 20}) == ([], 0)

    def test_chance_is_no_fault_of_sigma(self) -> None:
        """|z| of one normal number is above 2 in 4.6 %, above 3 in 0.27 %, below 0.1 in 8 % of all cases."""
        for error, named in ((2.0, False), (3.0, True), (0.1, False)):
            texts, _ = limits({"cold": [1.0] * 1000, "one": [error]})
            assert bool(texts) == named

    def test_extrapolation_counts(self) -> None:
        for outside, lowered in ((4, 0), (5, 1), (49, 1), (50, 2)):
            texts, found = limits({"all": [1.0] * 20}, Tally(np.ones(1, int), np.ones(1), outside, 100))
            assert texts[0].startswith(f"extrapolation: {outside} % of the atoms, in 5 % of the structures")
            assert found == lowered
