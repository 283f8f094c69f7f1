"""bnnp select: farthest points against a greedy search by hand, uncertainty, energy window."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import select_structures
from click.testing import CliRunner, Result
from farthest_points import farthest_atoms, farthest_points, standardize, structure_points
from formats.change_units import change_units

from bnnp.descriptors.neighbors import find_neighbors
from bnnp.descriptors.scaling import Scaling
from bnnp.descriptors.survey import element_types
from bnnp.io.calibration_section import CalibrationData, checksums, format_calibration
from bnnp.io.input_data import StructureFile, read_structures, write_structures
from bnnp.io.scaling_data import ScalingData
from bnnp.io.uncertainty_data import UncertaintyData
from bnnp.network.initial import initial_network
from bnnp.network.masks import Masks
from bnnp.potential.files import PotentialFiles
from bnnp.potential.loading import load
from bnnp.settings.settings import load_settings
from bnnp.structure import Structure
from bnnp.uncertainty.calibration import Calibration, Quantity
from bnnp.uncertainty.maps import Quadratic
from bnnp.units import ATOMIC, METAL

INPUT = """\
number_of_elements 2
elements Te Ge
units metal
threads 1
cutoff_type 2
scale_symmetry_functions
global_hidden_layers_short 1
global_nodes_short 6
global_activation_short t l
nn_type_short 1
use_short_nn
global_symfunction_short 2 0.05 0.0 6.0
global_symfunction_short 2 0.50 1.5 6.0
global_symfunction_short 3 0.05 1.0 1.0 5.0
"""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(select_structures.main, [str(argument) for argument in arguments])


def crystal(seed: int, spread: float) -> Structure:
    """Eight atoms of GeTe near a cubic grid; the energy is -20 + seed / 10."""
    rng = np.random.default_rng(seed)
    corners = 3.0 * np.array(np.meshgrid([0, 1], [0, 1], [0, 1])).reshape(3, 8).T
    return Structure(
        numbers=np.where(corners.sum(axis=1) % 6 < 1, 32, 52),
        positions=corners + rng.uniform(-spread, spread, (8, 3)),
        cell=6.0 * np.eye(3),
        energy=-20.0 + 0.1 * seed,
        forces=rng.normal(size=(8, 3)),
        info={"source": f"md:{seed}"},
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """input.nn and thirty structures that are alike, but for number 7 and number 21."""
    monkeypatch.chdir(tmp_path)
    Path("input.nn").write_text(INPUT)
    structures = [crystal(seed, 0.6 if seed in (7, 21) else 0.02) for seed in range(30)]
    write_structures("input.data", structures)
    return tmp_path


def chosen(path: Path | str = "out.data") -> list[int]:
    return [int(s.info["source"].partition(":")[2]) for s in read_structures(path, require_labels=False)]


class TestPoints:
    def test_greedy_by_hand(self) -> None:
        """The next point maximizes the distance to the nearest chosen one; the first is the most central."""
        points = np.random.default_rng(0).normal(size=(40, 3))
        found = farthest_points(points, 12)
        order = found.order.tolist()
        assert order[0] == np.argmin(np.linalg.norm(points - points.mean(axis=0), axis=1))
        for count in range(1, 12):
            distances = np.linalg.norm(points[:, None] - points[order[:count]], axis=-1).min(axis=1)
            assert order[count] == np.argmax(distances)
            assert found.distances[count] == pytest.approx(distances.max())
        last = np.linalg.norm(points[:, None] - points[order], axis=-1).min(axis=1)
        assert found.radius == pytest.approx(last.max())

    def test_radius_and_points_that_are_there(self) -> None:
        points = np.array([[0.0], [1.0], [5.0], [5.2], [9.0]])
        found = farthest_points(points, 5, before=np.array([[0.5]]), radius=1.0)
        assert found.order.tolist() == [4, 2]
        assert found.radius == pytest.approx(0.5)

    def test_atoms_see_what_means_hide(self) -> None:
        """One odd atom of a hundred moves the mean a little, but is the farthest atom by far."""
        rng = np.random.default_rng(1)
        structures = [{"Ge": rng.normal(scale=0.1, size=(100, 4))} for _ in range(6)]
        structures[4]["Ge"][50] += 3.0
        structures[2]["Ge"] += 0.8
        points = structure_points(structures)
        first = int(np.argmin(np.linalg.norm(points - points.mean(axis=0), axis=1)))
        assert farthest_points(points, 2, points[[first]]).order[0] == 2
        assert farthest_atoms(structures, 1, [structures[first]]).order[0] == 4

    def test_atoms_by_brute_force(self) -> None:
        rng = np.random.default_rng(2)
        structures = [{"Ge": rng.normal(size=(3, 2)), "Te": rng.normal(size=(2, 5))} for _ in range(8)]
        found = farthest_atoms(structures, 5)
        picked = [int(found.order[0])]
        for expected in found.order[1:]:
            scores = [
                max(
                    min(
                        np.sqrt(np.mean((atom - other) ** 2))
                        for index in picked
                        for other in structures[index][element]
                    )
                    for element in ("Ge", "Te")
                    for atom in structure[element]
                )
                for structure in structures
            ]
            assert expected == int(np.argmax(scores))
            picked.append(int(expected))

    def test_standard_deviations_over_atoms(self) -> None:
        rng = np.random.default_rng(3)
        raw = [{"Ge": rng.normal(5.0, [1.0, 100.0, 0.0], size=(4, 3))} for _ in range(5)]
        rows = np.concatenate([features["Ge"] for features in standardize(raw)])
        np.testing.assert_allclose(rows.mean(axis=0), 0.0, atol=1e-12)
        np.testing.assert_allclose(rows.std(axis=0), [1.0, 1.0, 0.0], atol=1e-12)


class TestFarthest:
    def test_more_than_there_are(self, folder: Path) -> None:
        result = run("--number", 99, "input.data", "out.data")
        assert result.exit_code == 0, result.output
        assert "note: --number 99 asks for more than there are" in result.output
        assert len(chosen()) == 30

    def test_copies_are_left_out(self, folder: Path) -> None:
        structures = list(StructureFile("input.data"))
        moved = replace(structures[3], positions=structures[3].positions + 0.3)
        write_structures("input.data", [*structures, moved, structures[5]])
        result = run("--number", 32, "input.data", "out.data")
        assert "2 structures left out as the same as one of them" in result.output
        assert len(chosen()) == 30

    @pytest.mark.parametrize("space", ["structures", "atoms"])
    def test_odd_structures_are_found(self, folder: Path, space: str) -> None:
        result = run("--number", 3, "--space", space, "input.data", "out.data")
        assert result.exit_code == 0, result.output
        assert {7, 21} < set(chosen())
        assert "3 farthest ones" in result.output
        assert chosen() == sorted(chosen())

    def test_features_do_not_depend_on_units(self, folder: Path) -> None:
        """The same structures in bohr, from a directory that says so, are chosen by the same functions."""
        Path("bohr").mkdir()
        Path("bohr/input.nn").write_text("units atomic\n")
        structures = [change_units(s, METAL, ATOMIC) for s in read_structures("input.data")]
        write_structures("bohr/input.data", structures)
        assert run("-n", 8, "input.data", "metal.data").exit_code == 0
        result = run("-n", 8, "--input", "input.nn", "bohr/input.data", "bohr/out.data")
        assert result.exit_code == 0, result.output
        assert chosen("bohr/out.data") == chosen("metal.data")
        assert next(read_structures("bohr/out.data")).cell[0, 0] == pytest.approx(6.0 / 0.52917721)

    def test_structures_are_unchanged(self, folder: Path) -> None:
        run("--number", 30, "input.data", "out.data")
        assert Path("out.data").read_text() == Path("input.data").read_text()

    def test_beside_what_is_there(self, folder: Path) -> None:
        file = StructureFile("input.data")
        write_structures("there.data", [file[7], file[0]])
        assert run("-n", 1, "--beside", "there.data", "input.data", "out.data").exit_code == 0
        assert chosen() == [21]

    def test_radius(self, folder: Path) -> None:
        assert run("--radius", 0.5, "input.data", "out.data").exit_code == 0
        assert {7, 21} < set(chosen())
        assert len(chosen()) < 30

    @pytest.mark.slow
    def test_the_file_of_mode_1_gives_the_same(self, folder: Path) -> None:
        done = subprocess.run([sys.executable, "-m", "bnnp", "--mode", "1"], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        options = ("--features", "symmetry_functions.h5")
        assert run("-n", 8, "input.data", "computed.data").exit_code == 0
        assert run("-n", 8, *options, "input.data", "stored.data").exit_code == 0
        assert chosen("stored.data") == chosen("computed.data")
        with open("input.data", "a") as file:
            file.write(Path("stored.data").read_text())
        result = run("-n", 8, *options, "input.data", "other.data")
        assert result.exit_code == 1
        assert "run mode 1 again" in result.output


class TestEnergy:
    def test_window_in_ev_per_atom(self, folder: Path) -> None:
        """Energies rise by 0.1 eV a structure of eight atoms: 0.05 eV/atom are four steps."""
        result = run("--energy-window", 0.0501, "input.data", "out.data")
        assert result.exit_code == 0, result.output
        assert chosen() == [0, 1, 2, 3, 4]

    @pytest.mark.parametrize(("units", "steps"), [("metal", 5), ("atomic", 1)])
    def test_without_settings(self, folder: Path, units: str, steps: int) -> None:
        """0.1 hartree a structure of eight atoms are 0.34 eV/atom, more than the window."""
        Path("input.nn").unlink()
        result = run("--units", units, "--energy-window", 0.0501, "input.data", "out.data")
        assert result.exit_code == 0, result.output
        assert chosen() == list(range(steps))
        assert run("--energy-window", 0.0501, "--overwrite", "input.data", "out.data").exit_code == 0
        assert chosen() == [0, 1, 2, 3, 4]

    def test_units_that_the_distances_deny_are_doubted(self, folder: Path) -> None:
        """As bnnp convert and bnnp functions do, for each file that is read."""
        Path("input.nn").unlink()
        right = run("--units", "metal", "--energy-window", 0.0501, "input.data", "out.data")
        assert "WARNING" not in right.output
        wrong = run("--units", "atomic", "--energy-window", 0.0501, "--overwrite", "input.data", "out.data")
        assert wrong.exit_code == 0
        told = " ".join(wrong.output.split())
        assert "WARNING: input.data: this looks like Angstrom" in told
        assert told.count("Is --units atomic right?") == 1

    def test_units_of_the_run_that_wrote_it(self, folder: Path) -> None:
        """The input.nn beside the file counts, not the one of this directory."""
        Path("run").mkdir()
        Path("input.data").rename("run/candidates.data")
        Path("input.nn").rename("run/input.nn")
        Path("input.nn").write_text(INPUT.replace("metal", "atomic"))
        refused = run("--energy-window", 0.0501, "run/candidates.data", "out.data")
        assert "out.data would be in Angstrom and eV, but the input.nn beside it means `units atomic`" in (
            refused.output
        )
        result = run("--energy-window", 0.0501, "run/candidates.data", "run/out.data")
        assert result.exit_code == 0, result.output
        assert chosen("run/out.data") == [0, 1, 2, 3, 4]
        assert "--units atomic contradicts" in (
            run("--units", "atomic", "-n", 2, "run/candidates.data", "run/b.data").output
        )

    def test_each_composition_has_its_own(self, folder: Path) -> None:
        structures = list(read_structures("input.data"))
        numbers = structures[20].numbers.copy()
        numbers[:] = 32
        structures[20] = replace(structures[20], numbers=numbers, energy=900.0)
        write_structures("input.data", structures)
        assert run("--energy-window", 0.0001, "input.data", "out.data").exit_code == 0
        assert chosen() == [0, 20]


class TestUncertainty:
    @pytest.fixture
    def potential(self, folder: Path) -> Path:
        """A random network with masks."""
        settings = load_settings("input.nn", 3)
        descriptor = settings.model.descriptor()
        rows: dict[str, list[np.ndarray]] = {element: [] for element in settings.model.elements}
        for structure in read_structures("input.data"):
            pairs = find_neighbors(structure.positions, structure.cell, descriptor.radius, structure.numbers)
            types = element_types(structure, settings.model.elements)
            values = descriptor.values(types, pairs)
            for number, element in enumerate(settings.model.elements):
                rows[element].append(values[types == number])
        scalings = {element: Scaling.of(np.concatenate(parts)) for element, parts in rows.items()}
        spread = ScalingData(scalings, (-9.0, 9.0), settings.model.fingerprint)
        networks = {
            element: initial_network(
                settings.model.architecture[element],
                len(scalings[element]),
                np.random.default_rng(number),
                "nguyen_widrow",
            )
            for number, element in enumerate(settings.model.elements)
        }
        path = folder / "potential"
        path.mkdir()
        (path / "input.nn").write_text(INPUT)
        masks = Masks.draw(
            1, 10, (0.0, 0.2), {element: network.sizes for element, network in networks.items()}
        )
        data = UncertaintyData.of(masks, networks)
        PotentialFiles(settings.model, networks, spread, data).write(path)
        return path

    @pytest.mark.parametrize("of", ["forces", "energy"])
    def test_the_largest_sigmas(self, folder: Path, potential: Path, of: str) -> None:
        model = load(potential)
        found = [model.predict(structure) for structure in read_structures("input.data")]
        if of == "forces":
            sigmas = [1000.0 * np.linalg.norm(one.forces.std, axis=1).max() for one in found]
        else:
            sigmas = [1000.0 * one.energy.std / 8 for one in found]
        options = ("--potential", potential, "--sigma-of", of)
        result = run("--by", "uncertainty", "-n", 4, *options, "input.data", "out.data")
        assert result.exit_code == 0, result.output
        assert chosen() == sorted(np.argsort(sigmas)[-4:].tolist())
        assert "most uncertain ones; sigma: raw (uncalibrated), 10 Monte Carlo samples" in result.output
        limit = float(np.sort(sigmas)[10] + np.sort(sigmas)[11]) / 2.0
        result = run("--min-sigma", limit, *options, "--overwrite", "input.data", "out.data")
        assert result.exit_code == 0, result.output
        assert chosen() == np.flatnonzero(np.array(sigmas) >= limit).tolist()

    def test_a_calibrated_potential_has_calibrated_sigmas(self, folder: Path, potential: Path) -> None:
        """Twice the raw ones of the energy; the output says so, also of forces, which stay raw."""
        raw = [1000.0 * load(potential).predict(s).energy.std / 8 for s in read_structures("input.data")]
        model, path = load(potential), potential / "uncertainty.data"
        twice = Quantity(Quadratic(0.0, 4.0, 0.0, 1e9), np.ones(1), {})
        calibration = Calibration("mc", twice, {}, None, 10, 40)
        text = format_calibration(
            CalibrationData(
                "mc", checksums([member.networks for member in model.members]), {"mc": calibration}
            )
        )
        path.write_text(path.read_text() + "\n".join(["[calibration]", *text, ""]))
        limit = float(np.sort(raw)[10] + np.sort(raw)[11])
        options = ("--potential", potential, "--overwrite", "--min-sigma", limit)
        result = run(*options, "--sigma-of", "energy", "input.data", "out.data")
        assert result.exit_code == 0, result.output
        assert chosen() == np.flatnonzero(np.array(raw) >= limit / 2.0).tolist()
        assert "or more; sigma: calibrated (mc) on 40 structures; raw (uncalibrated): forces" in result.output

    def test_without_masks(self, folder: Path, potential: Path) -> None:
        (potential / "uncertainty.data").unlink()
        result = run("--min-sigma", 1, "--potential", potential, "input.data", "out.data")
        assert result.exit_code == 1
        assert "no uncertainty.data" in result.output

    def test_without_potential(self, folder: Path) -> None:
        result = run("--min-sigma", 1, "input.data", "out.data")
        assert result.exit_code == 1
        assert "--potential" in result.output


class TestErrors:
    def test_nothing_to_choose_by(self, folder: Path) -> None:
        assert run("input.data", "out.data").exit_code == 2

    def test_no_settings_for_symmetry_functions(self, folder: Path) -> None:
        Path("input.nn").unlink()
        result = run("-n", 2, "input.data", "out.data")
        assert result.exit_code == 1
        assert "input.nn: no such file" in result.output
        assert "name an input.nn with --input" in result.output

    def test_nothing_left(self, folder: Path) -> None:
        structures = [replace(s, energy=None) for s in read_structures("input.data")]
        write_structures("input.data", structures)
        result = run("--energy-window", 1.0, "input.data", "out.data")
        assert result.exit_code == 1
        assert "structure 1" in result.output
        assert not Path("out.data").exists()

    def test_output_is_kept(self, folder: Path) -> None:
        Path("out.data").write_text("precious")
        assert "exists; add --overwrite" in run("-n", 2, "input.data", "out.data").output
        assert "is the input, too" in run("-n", 2, "input.data", "input.data").output
        assert Path("out.data").read_text() == "precious"

    def test_element_that_input_nn_does_not_know(self, folder: Path) -> None:
        structure = crystal(1, 0.1)
        numbers = structure.numbers.copy()
        numbers[0] = 51
        write_structures("input.data", [structure, replace(structure, numbers=numbers)])
        result = run("-n", 1, "input.data", "out.data")
        assert result.exit_code == 1
        assert "structure 2" in result.output
        assert "Sb is not among `elements`" in result.output


def test_hold_out_takes_blocks_of_each_trajectory_and_the_rest_is_kept(folder: Path) -> None:
    """Two trajectories of 40 frames that move little, and 20 structures that have nothing to do with each
    other: 10 % of each group, the frames in one piece."""
    rng = np.random.default_rng(1)
    structures = []
    for label in ("hot", "cold"):
        start = crystal(1, 0.3)
        for _ in range(40):
            start = replace(start, positions=start.positions + rng.normal(0.0, 0.01, (8, 3)))
            structures.append(replace(start, info={"group": label}))
    structures += [replace(crystal(seed, 1.4), info={"group": "random"}) for seed in range(20)]
    for number, structure in enumerate(structures):
        structure.info["source"] = f"md:{number}"
    write_structures("input.data", structures)
    result = run("input.data", "out.data", "--units", "metal", "--hold-out", 0.1, "--rest", "rest.data")
    assert result.exit_code == 0, result.output
    held, rest = chosen(), chosen("rest.data")
    assert sorted([*held, *rest]) == list(range(100))
    hot, cold, others = ([k for k in held if low <= k < high] for low, high in ((0, 40), (40, 80), (80, 100)))
    assert len(others) == 2
    for frames in (hot, cold):
        assert frames == list(range(frames[0], frames[0] + len(frames)))
        assert 4 <= len(frames) <= 5
    again = run("input.data", "rest.data", "--units", "metal", "--hold-out", 0.1, "--rest", "rest.data")
    assert again.exit_code == 2
    assert "--rest and OUTPUT are the same file" in again.output
