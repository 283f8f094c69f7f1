"""bnnp convert: units, labels, selection of frames, and errors that name file and frame."""

from __future__ import annotations

import gzip
from pathlib import Path

import ase.io
import convert
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from click.testing import CliRunner, Result

from bnnp.errors import InputError
from bnnp.io.ase_atoms import from_atoms, to_atoms
from bnnp.io.ase_labels import LabelKeys, find_labels
from bnnp.io.input_data import StructureFile, read_structures, write_structures
from bnnp.io.prediction import predicted
from bnnp.io.trajectory import format_frame
from bnnp.prediction import Estimate, Prediction
from bnnp.structure import SET_LABELS, Set, Structure
from bnnp.units import ATOMIC, METAL

BOHR, HARTREE = 0.529177210903, 27.211386245988  # Angstrom and eV, CODATA 2018; 2014 differs by 9e-9


def run(*arguments: object) -> Result:
    return CliRunner().invoke(convert.main, [str(argument) for argument in arguments])


def crystal(shift: float = 0.0, **results: object) -> Atoms:
    """Two atoms in a cell, with labels."""
    atoms = Atoms("GeTe", [[0.0, 0.0, 0.0], [3.0 + shift, 0.0, 0.0]], cell=[6.0, 6.0, 6.0], pbc=True)
    labels = {"energy": -2.0 - shift, "forces": [[0.5, 0.0, 0.0], [-0.5, 0.0, 0.0]], **results}
    atoms.calc = SinglePointCalculator(
        atoms, **{key: value for key, value in labels.items() if value is not None}
    )
    return atoms


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Ten frames, energies -2.0, -2.1, ..., one gzipped extended-xyz file."""
    path = tmp_path / "md.extxyz.gz"
    ase.io.write(path, [crystal(0.1 * i, stress=0.01 * np.arange(6) + 0.01 * i) for i in range(10)])
    return path


class TestUnits:
    def test_atomic(self, frames: Path, tmp_path: Path) -> None:
        assert run("--units", "atomic", frames, tmp_path / "input.data").exit_code == 0
        structure = next(read_structures(tmp_path / "input.data"))
        assert structure.energy == pytest.approx(-2.0 / HARTREE, rel=2e-8)
        np.testing.assert_allclose(structure.positions[1], [3.0 / BOHR, 0, 0], rtol=4e-8)
        np.testing.assert_allclose(structure.cell, 6.0 / BOHR * np.eye(3), rtol=4e-8)
        np.testing.assert_allclose(structure.forces[0], [0.5 / HARTREE * BOHR, 0, 0], rtol=4e-8)
        np.testing.assert_allclose(structure.stress, 0.01 * np.arange(6) / HARTREE * BOHR**3, rtol=4e-8)

    def test_metal_is_unchanged(self, frames: Path, tmp_path: Path) -> None:
        result = run(frames, tmp_path / "input.data")
        assert "(Angstrom and eV, units metal); write `units metal` into input.nn" in result.output
        structure = next(read_structures(tmp_path / "input.data"))
        assert structure.energy == -2.0
        np.testing.assert_array_equal(structure.positions[1], [3.0, 0, 0])
        np.testing.assert_allclose(structure.stress, 0.01 * np.arange(6), atol=1e-12)

    @pytest.mark.parametrize("units", [ATOMIC, METAL], ids=lambda units: units.name)
    def test_there_and_back(self, units) -> None:  # noqa: ANN001
        atoms = crystal(0.3, stress=np.arange(6.0))
        again = to_atoms(from_atoms(atoms, units), units)
        np.testing.assert_allclose(again.positions, atoms.positions, rtol=1e-14)
        np.testing.assert_allclose(again.cell, atoms.cell, rtol=1e-14)
        np.testing.assert_allclose(again.get_forces(), atoms.get_forces(), rtol=1e-14)
        np.testing.assert_allclose(again.get_stress(), atoms.get_stress(), rtol=1e-14)
        assert again.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), rel=1e-14)
        assert again.get_potential_energy(force_consistent=True) == again.get_potential_energy()

    def test_input_data_to_extxyz_and_back(self, frames: Path, tmp_path: Path) -> None:
        first, xyz, second = tmp_path / "a.data", tmp_path / "b.extxyz", tmp_path / "c.data"
        assert run(frames, first, "--label", "melt", "--set", "test").exit_code == 0
        assert run(first, xyz).exit_code == 0
        assert run(xyz, second).exit_code == 0
        atoms = ase.io.read(xyz, 3)
        assert atoms.get_potential_energy() == pytest.approx(-2.3)
        assert atoms.get_distance(0, 1, mic=True) == pytest.approx(2.7)
        for one, two in zip(read_structures(first), read_structures(second), strict=True):
            np.testing.assert_allclose(one.positions, two.positions, atol=1e-7)
            np.testing.assert_allclose(one.stress, two.stress, atol=1e-7)
            assert (two.info["group"], two.subset, two.info["source"]) == (
                "melt",
                Set.TEST,
                one.info["source"],
            )

    def test_group_has_priority_and_the_method_survives(self, tmp_path: Path) -> None:
        """In either order of the two keys in the comment line of an extxyz file."""
        for number, words in enumerate(("group=melt config_type=md", "config_type=md group=melt")):
            path = tmp_path / f"{number}.xyz"
            path.write_text(f'1\nLattice="4 0 0 0 4 0 0 0 4" {words} method=xc:PBE energy=-1.0\nAr 0 0 0\n')
            assert run(path, tmp_path / f"{number}.data", "--no-labels").exit_code == 0
            (structure,) = read_structures(tmp_path / f"{number}.data", require_labels=False)
            assert (structure.info["group"], structure.info["method"]) == ("melt", "xc:PBE")

    def test_input_data_to_input_data_is_exact(self, frames: Path, tmp_path: Path) -> None:
        assert run(frames, tmp_path / "a.data").exit_code == 0
        assert run(tmp_path / "a.data", tmp_path / "b.data").exit_code == 0
        assert (tmp_path / "a.data").read_text() == (tmp_path / "b.data").read_text()


class TestLabels:
    def test_free_energy_goes_first(self) -> None:
        assert from_atoms(crystal(free_energy=-7.0), METAL).energy == -7.0

    def test_energy_and_forces_without_calculator(self) -> None:
        atoms = crystal()
        atoms.calc = None
        atoms.info["energy"] = -3.0
        atoms.arrays["forces"] = np.ones((2, 3))
        structure = from_atoms(atoms, METAL)
        assert structure.energy == -3.0
        np.testing.assert_array_equal(structure.forces, np.ones((2, 3)))

    def test_other_keys(self) -> None:
        atoms = crystal()
        atoms.info["REF_energy"] = -3.0
        atoms.arrays["REF_forces"] = np.ones((2, 3))
        structure = from_atoms(atoms, METAL, find_labels(atoms, LabelKeys("REF_energy", "REF_forces")))
        assert structure.energy == -3.0
        np.testing.assert_array_equal(structure.forces, np.ones((2, 3)))

    @pytest.mark.parametrize("check", [False, True], ids=["convert", "check"])
    @pytest.mark.parametrize("kind", ["calculator", "trajectory", "output.data"])
    def test_predictions_are_not_taken_without_a_word(self, kind: str, check: bool, tmp_path: Path) -> None:
        """Frames of ASE with a bnnp potential, of bnnp's dynamics, and of mode 3; a reference among them."""
        path = tmp_path / ("output.data" if kind == "output.data" else "frames.extxyz")
        found, reference = crystal(), crystal(0.2)
        if kind == "calculator":
            found.info["energy_std"] = 0.1
            ase.io.write(path, [found, reference])
        elif kind == "trajectory":
            path.write_text(format_frame(found, 10, 1, 5.0))
            ase.io.write(path, reference, append=True)
        else:
            zeros = Estimate(np.zeros((2, 3)))
            empty = np.zeros((2, 0))
            prediction = Prediction(Estimate(-1.0), Estimate(np.zeros(2)), zeros, None, empty, np.zeros(2))
            one, other = (from_atoms(atoms, ATOMIC) for atoms in (found, reference))
            write_structures(path, [predicted(one, prediction), other])
        target = [] if check else [tmp_path / "input.data"]
        result = run("--units", "atomic", *["--check"] * check, path, *target)
        assert result.exit_code == 0, result.output
        text = " ".join(result.output.split())
        assert "WARNING: the energies and forces of 1 of 2 structures are PREDICTIONS" in text
        if not check:
            marks = [s.info.get("labels") for s in read_structures(tmp_path / "input.data")]
            assert marks == ["predicted", None]
            bare = run("--units", "atomic", path, tmp_path / "bare.data", "--no-labels")
            assert "PREDICTIONS" not in bare.output

    def test_labels_under_another_name_are_references(self) -> None:
        atoms = crystal()
        atoms.info |= {"REF_energy": -3.0, "energy_std": 0.1}
        atoms.arrays["REF_forces"] = np.ones((2, 3))
        labels = find_labels(atoms, LabelKeys(energy="REF_energy"))
        assert "labels" not in from_atoms(atoms, METAL, labels).info

    def test_forces_of_constrained_atoms_are_kept(self) -> None:
        atoms = crystal()
        atoms.set_constraint(FixAtoms([0, 1]))
        np.testing.assert_array_equal(from_atoms(atoms, METAL).forces[:, 0], [0.5, -0.5])

    def test_full_stress_tensor(self) -> None:
        stress = np.array([[1.0, 6.0, 5.0], [6.0, 2.0, 4.0], [5.0, 4.0, 3.0]])
        atoms = crystal()
        atoms.info["stress"] = stress
        np.testing.assert_array_equal(from_atoms(atoms, METAL).stress, [1, 2, 3, 4, 5, 6])

    def test_free_molecule(self) -> None:
        atoms = crystal()
        atoms.pbc = False
        structure = from_atoms(atoms, METAL)
        assert structure.cell is None
        assert structure.stress is None

    def test_real_file_without_stress(self, shared: Path, tmp_path: Path) -> None:
        """Values read off the file with zcat: first frame at 300 K."""
        path = shared / "data/gete/gete_300K.extxyz.gz"
        result = run("--units", "metal", "--every", 4, "--max", 2, path, tmp_path / "input.data")
        assert result.exit_code == 0, result.output
        first, second = read_structures(tmp_path / "input.data", elements=("Ge", "Te"))
        assert first.energy == -35581.22265625
        np.testing.assert_array_equal(first.forces[0], [-0.37722403, 0.40711054, 0.10401758])
        np.testing.assert_array_equal(first.positions[1], [4.00015259, 7.01145124, 8.26215744])
        assert second.info["source"] == "gete/gete_300K.extxyz.gz:5"
        assert "Ge108Te108" in result.output


class TestSelection:
    def test_frames_of_each_file(self, frames: Path, tmp_path: Path) -> None:
        other = tmp_path / "other.extxyz"
        ase.io.write(other, [crystal(0.01 * i) for i in range(5)])
        result = run("--skip", 1, "--every", 3, "--max", 2, frames, other, tmp_path / "input.data")
        assert result.exit_code == 0, result.output
        sources = [s.info["source"].rpartition("/")[2] for s in StructureFile(tmp_path / "input.data")]
        assert sources == ["md.extxyz.gz:2", "md.extxyz.gz:5", "other.extxyz:2", "other.extxyz:5"]
        assert "md.extxyz.gz: 2 frames" in result.output
        assert "4 structures (4 periodic, 2 with stress), 8 atoms" in result.output

    def test_structures_of_input_data(self, frames: Path, tmp_path: Path) -> None:
        assert run("--units", "metal", frames, tmp_path / "a.data").exit_code == 0
        result = run("--units", "metal", "--skip", 8, "--no-stress", tmp_path / "a.data", tmp_path / "b.data")
        assert result.exit_code == 0, result.output
        structures = list(read_structures(tmp_path / "b.data"))
        assert [s.energy for s in structures] == pytest.approx([-2.8, -2.9])
        assert [s.stress for s in structures] == [None, None]

    def test_append(self, frames: Path, tmp_path: Path) -> None:
        for skip, subset in enumerate(SET_LABELS):
            words = ("--skip", skip, "--max", 1, "--set", subset, "--append")
            assert run(*words, frames, tmp_path / "input.data").exit_code == 0
        assert [s.subset for s in StructureFile(tmp_path / "input.data")] == list(Set)

    def test_append_leaves_out_what_is_there(self, frames: Path, tmp_path: Path) -> None:
        data = tmp_path / "input.data"
        assert run("--max", 4, frames, data).exit_code == 0
        result = run("--max", 6, "--set", "test", "--append", frames, data)
        assert result.exit_code == 0, result.output
        assert f"as {data} has them already: 4 structures" in result.stdout
        assert "(1-4)" in result.stdout
        assert [s.subset for s in StructureFile(data)] == [None] * 4 + [Set.TEST] * 2
        before = data.read_bytes()
        assert f"Nothing added to: {data}" in run("--max", 6, "--append", frames, data).stdout
        assert data.read_bytes() == before

    @pytest.mark.parametrize(("change", "added"), [(3e-10, False), (1e-6, True)])
    @pytest.mark.parametrize("word", ["atom", "lattice", "energy"])
    def test_append_knows_copies_with_other_last_digits(
        self, frames: Path, tmp_path: Path, word: str, change: float, added: bool
    ) -> None:
        """The first number of the first line of a kind, changed."""
        data, copy = tmp_path / "input.data", tmp_path / "copy.data"
        assert run("--max", 1, frames, data).exit_code == 0
        lines = data.read_text().splitlines()
        at = next(number for number, line in enumerate(lines) if line.startswith(word))
        words = lines[at].split()
        words[1] = f"{float(words[1]) * (1.0 + change) + change:.14f}"
        lines[at] = " ".join(words)
        copy.write_text("\n".join(lines) + "\n")
        result = run("--append", copy, data)
        assert result.exit_code == 0, result.output
        assert len(StructureFile(data)) == 1 + added
        assert ("has them already" in result.stdout) is not added

    def test_append_compares_the_methods(self, frames: Path, tmp_path: Path) -> None:
        data, other = tmp_path / "input.data", tmp_path / "other.data"
        assert run("--max", 4, "--append", frames, data).exit_code == 0
        text = data.read_text()
        for path, cutoff, energy in ((data, 400, ""), (other, 520, "1")):
            marked = text.replace("comment ", f"comment method=xc:PBE,encut:{cutoff} ")
            path.write_text(marked.replace("charge 0.0", f"charge {energy}0.0"))
        result = run("--append", other, data)
        assert result.exit_code == 0, result.output
        assert "do not belong together, ENCUT (eV)" in result.stderr
        assert f"400 in {data}; 520 in {other}" in result.stderr

    def test_without_labels(self, tmp_path: Path) -> None:
        ase.io.write(tmp_path / "POSCAR", Atoms("GeTe", [[0, 0, 0], [3, 0, 0]], cell=[6, 6, 6], pbc=True))
        result = run("--no-labels", "--units", "metal", tmp_path / "POSCAR", tmp_path / "input.data")
        assert result.exit_code == 0, result.output
        structure = next(read_structures(tmp_path / "input.data", require_labels=False))
        assert (structure.energy, structure.forces) == (None, None)


def write_xyz(path: Path, comment: str, columns: str = "forces") -> Path:
    """Two frames of two atoms in 6 * 6 * 6 cubic Angstrom with a comment line of one's own."""
    head = (
        f'2\nLattice="6 0 0 0 6 0 0 0 6" pbc="T T T" Properties=species:S:1:pos:R:3:{columns}:R:3 {comment}\n'
    )
    path.write_text(2 * (head + "Si 0 0 0 0.1 0.2 0.3\nSi 2.3 0 0 -0.1 -0.2 -0.3\n"))
    return path


def first_of(tmp_path: Path, *arguments: object) -> Structure:
    result = run("--overwrite", *arguments, tmp_path / "out.data")
    assert result.exit_code == 0, result.output
    return next(read_structures(tmp_path / "out.data"))


class TestKeys:
    """What ASE's reader of extxyz makes of the labels; the choice itself is tested in tests/io."""

    @pytest.mark.parametrize("key", ["stress", "Stress"])
    @pytest.mark.parametrize("text", ["1 2 3 4 5 6", "1d0 2D0 3.0d0 4 5 6", "1 6 5 6 2 4 5 4 3"])
    def test_stress_of_six_and_of_nine_numbers(self, tmp_path: Path, key: str, text: str) -> None:
        path = write_xyz(tmp_path / "a.xyz", f'energy=-9 {key}="{text}"')
        np.testing.assert_array_equal(first_of(tmp_path, path).stress, [1, 2, 3, 4, 5, 6])
        assert first_of(tmp_path, "--no-stress", path).stress is None

    @pytest.mark.parametrize("text", ["1 2 3 4 5", "large", "1 2 ***** 4 5"])
    def test_what_is_no_stress(self, tmp_path: Path, text: str) -> None:
        path = write_xyz(tmp_path / "a.xyz", f'energy=-9 stress="{text}"')
        result = run(path, tmp_path / "out.data")
        assert result.exit_code == 1
        assert "a.xyz frame 1: `stress` " in result.output
        assert "--energy-key" not in result.output
        assert first_of(tmp_path, "--no-stress", path).energy == -9.0

    @pytest.mark.parametrize("key", ["virial", "virials", "dft_virial"])
    def test_virial(self, tmp_path: Path, key: str) -> None:
        """sigma = -W / V, V = 216 cubic Angstrom."""
        path = write_xyz(tmp_path / "a.xyz", f'energy=-9 {key}="0.27 0 0 0 0.54 0 0 0 0.81"')
        options = ["--virial-key", "dft_virial"] if key == "dft_virial" else []
        stress = first_of(tmp_path, *options, path).stress
        np.testing.assert_allclose(stress, [-0.00125, -0.0025, -0.00375, 0, 0, 0])

    @pytest.mark.parametrize(("pbc", "periodic"), [('pbc="T T T"', True), ('PBC="F F F"', False)])
    def test_keys_in_small_and_capital_letters(self, tmp_path: Path, pbc: str, periodic: bool) -> None:
        """GPUMD reads and writes them so; ASE alone would see a molecule, or forces nowhere."""
        path = write_xyz(tmp_path / "a.xyz", "energy=-9")
        text = path.read_text().replace("Lattice", "lattice").replace("Properties", "properties")
        path.write_text(text.replace('pbc="T T T"', pbc))
        found = first_of(tmp_path, path)
        assert found.periodic == periodic
        np.testing.assert_array_equal(found.forces[0], [0.1, 0.2, 0.3])

    def test_left_aside_is_counted_by_name(self, tmp_path: Path) -> None:
        path = write_xyz(tmp_path / "a.xyz", 'energy=-9 REF_stress="1 2 3 4 5 6" dft_energy=-8')
        result = run(path, tmp_path / "out.data")
        assert "left aside, with the number of structures that have it: REF_stress (2), dft_energy (2)" in (
            result.output
        )
        assert "REF_stress (2)" in " ".join(run("--check", path).output.split())

    def test_the_energy_that_is_not_the_free_one_is_left_aside(self, tmp_path: Path) -> None:
        """Unless both are the same."""
        path = write_xyz(tmp_path / "a.xyz", "energy=-9 free_energy=-9.5")
        assert "energy (2)" in run(path, tmp_path / "out.data").output
        assert next(read_structures(tmp_path / "out.data")).energy == -9.5
        path = write_xyz(tmp_path / "a.xyz", "energy=-9 free_energy=-9")
        assert "left aside" not in run("--overwrite", path, tmp_path / "out.data").output

    def test_a_stress_that_is_no_symmetric_matrix(self, tmp_path: Path) -> None:
        path = write_xyz(tmp_path / "a.xyz", 'energy=-9 stress="1 2 3 4 5 6 7 8 9"')
        result = run(path, tmp_path / "out.data")
        assert result.exit_code == 1
        assert "a.xyz frame 1: `stress` is no symmetric matrix" in result.output
        path = write_xyz(tmp_path / "a.xyz", 'energy=-9 stress="1 2 3 2 5 6 3 6 9"')
        assert run("--units", "metal", path, tmp_path / "out.data").exit_code == 0
        stress = next(read_structures(tmp_path / "out.data")).stress
        np.testing.assert_allclose(stress, [1, 5, 9, 6, 3, 2], rtol=1e-12)

    def test_a_key_that_no_frame_has(self, tmp_path: Path) -> None:
        path = write_xyz(tmp_path / "a.xyz", "energy=-9")
        result = run("--stress-key", "REF_stress", path, tmp_path / "out.data")
        assert result.exit_code == 1
        assert "no periodic frame has `REF_stress`" in result.output
        assert not (tmp_path / "out.data").exists()
        both = run("--stress-key", "a", "--virial-key", "b", path, tmp_path / "out.data")
        assert both.exit_code == 2

    @pytest.mark.parametrize("mark", ["converged=F", "scf_converged=False", "converged=no"])
    def test_frames_that_did_not_converge(self, tmp_path: Path, mark: str) -> None:
        path = write_xyz(tmp_path / "a.xyz", f"energy=-9 {mark}")
        result = run(path, tmp_path / "out.data")
        assert result.exit_code == 1
        assert f"a.xyz frame 1: `{mark.partition('=')[0]}=" in result.output
        assert "its calculation did not converge" in " ".join(result.output.split())
        assert run("--no-labels", path, tmp_path / "b.data").exit_code == 0
        good = write_xyz(path, "energy=-9 converged=T ionic_converged=F")
        assert run(good, tmp_path / "out.data").exit_code == 0

    def test_a_virial_is_no_stress(self, tmp_path: Path) -> None:
        path = write_xyz(tmp_path / "a.xyz", 'energy=-9 virials="1 0 0 0 1 0 0 0 1"')
        result = run("--stress-key", "virials", path, tmp_path / "out.data")
        assert result.exit_code == 1
        assert "--stress-key names `virials`, which is a virial by its name" in result.output

    @pytest.mark.parametrize("packed", [False, True])
    def test_a_row_with_a_column_too_many(self, tmp_path: Path, packed: bool) -> None:
        """ASE drops the last one, so that a number too many in the middle shifts those behind it."""
        path = tmp_path / ("run.extxyz.gz" if packed else "run.extxyz")
        ase.io.write(path, [crystal(0.1), crystal(0.2)], format="extxyz")
        text = (gzip.decompress(path.read_bytes()) if packed else path.read_bytes()).decode()
        lines = text.splitlines()
        size = len(lines) // 2
        words = lines[size + 3].split()
        lines[size + 3] = " ".join([*words[:2], "0.5", *words[2:]])
        text = "\n".join(lines) + "\n"
        path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
        result = run(path, tmp_path / "input.data")
        assert result.exit_code == 1
        assert f"line {size + 4}: 8 columns, but Properties of this frame names 7" in result.output

    @pytest.mark.parametrize("second", ["energy=-8", "energy = -8", 'energy="-8"'])
    def test_a_key_that_is_given_twice(self, tmp_path: Path, second: str) -> None:
        path = write_xyz(tmp_path / "a.xyz", f"energy=-9 {second}")
        result = run(path, tmp_path / "out.data")
        assert result.exit_code == 1
        assert "a.xyz frame 1: `energy` is `-9 and " in result.output
        assert run(write_xyz(path, "energy=-9 energy=-9"), tmp_path / "out.data").exit_code == 0

    def test_labels_without_names(self, frames: Path, tmp_path: Path) -> None:
        run(frames, tmp_path / "a.data")
        result = run("--energy-key", "REF_energy", tmp_path / "a.data", tmp_path / "b.data")
        assert result.exit_code == 1
        assert "labels have no names in this format; leave out --energy-key REF_energy" in result.output

    def test_units_that_a_file_states(self, tmp_path: Path) -> None:
        path = write_xyz(tmp_path / "a.xyz", 'energy=-9 stress="1 0 0 0 1 0 0 0 1" stress-unit=GPa')
        np.testing.assert_allclose(first_of(tmp_path, path).stress[:3], 1.0 / 160.21766208)
        write_xyz(path, "energy=-9 energy-unit=furlong")
        assert "a.xyz frame 1: `energy-unit=furlong` is no unit" in (run(path, tmp_path / "b.data").output)

    @pytest.mark.parametrize(
        ("comment", "columns"), [("energy=-7.0d0", "forces"), ("REF_energy=-7", "REF_forces")]
    )
    def test_energies_of_other_programs(self, tmp_path: Path, comment: str, columns: str) -> None:
        path = write_xyz(tmp_path / "a.xyz", comment, columns)
        options = ["--energy-key", "REF_energy"] if "REF" in comment else []
        assert first_of(tmp_path, *options, path).energy == -7.0


class TestUnitsOfInputData:
    @pytest.fixture
    def metal_run(self, frames: Path, tmp_path: Path) -> Path:
        """A run with `units metal` and its candidates.data."""
        folder = tmp_path / "run"
        folder.mkdir()
        run("--units", "metal", frames, folder / "candidates.data")
        (folder / "input.nn").write_text("elements Ge Te\nunits metal # as the data\nnodes_of_others 3\n")
        return folder

    def test_input_nn_beside_an_input(self, metal_run: Path, tmp_path: Path) -> None:
        """Today's candidates of a metal run are in Angstrom, whatever RuNNer's files are in."""
        result = run(metal_run / "candidates.data", tmp_path / "out.extxyz")
        told = "candidates.data was read in Angstrom and eV (`units metal` of the input.nn beside it)"
        assert told in result.output
        atoms = ase.io.read(tmp_path / "out.extxyz", 0)
        assert (atoms.cell[0, 0], atoms.get_potential_energy()) == (6.0, -2.0)
        assert run("--units", "atomic", metal_run / "candidates.data", tmp_path / "b.data").exit_code == 0
        assert next(read_structures(tmp_path / "b.data")).energy == pytest.approx(-2.0 / HARTREE)

    @pytest.mark.parametrize(
        ("settings", "options", "told"),
        [
            (
                "elements Ge Te\nunits metal\n",
                [],
                "Angstrom and eV (`units metal` of the input.nn beside it)",
            ),
            ("elements Ge Te\n", [], "bohr and hartree (the default of the input.nn beside it)"),
            ("", ["--units", "atomic"], "bohr and hartree (--units atomic)"),
            ("", [], "Angstrom and eV (the default)"),
        ],
    )
    def test_which_units_are_recognized_and_why(
        self, frames: Path, tmp_path: Path, settings: str, options: list[str], told: str
    ) -> None:
        """By --check and by the conversion, of a file and of its directory."""
        folder = tmp_path / "study"
        folder.mkdir()
        run("--units", "atomic" if told.startswith("bohr") else "metal", frames, folder / "input.data")
        if settings:
            (folder / "input.nn").write_text(settings)
        data = folder / "input.data"
        for words in ([data, tmp_path / "a.extxyz"], ["--check", data], [folder, tmp_path / "b.extxyz"]):
            assert told in " ".join(run(*options, *words).output.split())

    @pytest.mark.parametrize("check", [False, True])
    def test_contradiction(self, metal_run: Path, tmp_path: Path, check: bool) -> None:
        target = ["--check"] if check else [tmp_path / "out.extxyz"]
        result = run("--units", "atomic", metal_run / "candidates.data", *target)
        assert result.exit_code == 1
        assert "--units atomic contradicts `units metal` of the input.nn beside it" in result.output
        assert run("--check", metal_run / "candidates.data").exit_code == 0

    def test_input_nn_beside_the_output(self, frames: Path, tmp_path: Path) -> None:
        (tmp_path / "input.nn").write_text("units atomic\n")
        assert run(frames, tmp_path / "input.data").exit_code == 0
        assert next(read_structures(tmp_path / "input.data")).energy == pytest.approx(-2.0 / HARTREE)
        result = run("--units", "metal", frames, tmp_path / "other.data")
        assert "contradicts `units atomic` of the input.nn beside it, with which it would" in result.output
        (tmp_path / "input.nn").write_text("units furlong\n")
        assert "input.nn line 1: units is `furlong`" in run(frames, tmp_path / "other.data").output

    def test_bohr_that_nobody_states_is_refused(self, frames: Path, tmp_path: Path) -> None:
        run("--units", "atomic", frames, tmp_path / "a.data")
        result = run(tmp_path / "a.data", tmp_path / "out.extxyz")
        assert result.exit_code == 1
        assert "looks like bohr and hartree, and neither --units nor" in result.output
        (tmp_path / "input.nn").write_text("elements Ge Te\n")  # atomic is the default of the keyword
        assert run(tmp_path / "a.data", tmp_path / "out.extxyz").exit_code == 0
        assert ase.io.read(tmp_path / "out.extxyz").cell[0, 0] == pytest.approx(6.0)


class TestErrors:
    def test_a_file_without_structures(self, tmp_path: Path) -> None:
        (tmp_path / "out.log").write_text("Entering Gaussian System\nnothing else\n")
        result = run("--format", "gaussian-out", tmp_path / "out.log", tmp_path / "input.data")
        assert result.exit_code == 1
        assert "ASE, which reads it as gaussian-out, finds no structure in it" in result.output
        assert "--skip" not in result.output

    def test_missing_energy(self, tmp_path: Path) -> None:
        ase.io.write(tmp_path / "a.extxyz", [crystal(), crystal(energy=None)])
        result = run(tmp_path / "a.extxyz", tmp_path / "input.data")
        assert result.exit_code == 1
        assert "a.extxyz frame 2: has no energy (there is: forces" in result.output
        assert "--energy-key" in result.output
        assert not (tmp_path / "input.data").exists()

    def test_missing_forces(self, tmp_path: Path) -> None:
        ase.io.write(tmp_path / "a.extxyz", crystal(forces=None))
        result = run(tmp_path / "a.extxyz", tmp_path / "input.data")
        assert result.exit_code == 1
        assert "frame 1: has no forces" in result.output

    def test_not_finite(self) -> None:
        with pytest.raises(InputError, match="forces: a number is not finite"):
            from_atoms(crystal(forces=[[np.nan, 0, 0], [0, 0, 0]]), METAL)

    def test_periodic_without_cell(self) -> None:
        atoms = crystal()
        atoms.cell[2] = 0.0
        with pytest.raises(InputError, match="the cell has no volume"):
            from_atoms(atoms, METAL)

    def test_bytes_that_are_no_text(self, tmp_path: Path) -> None:
        (tmp_path / "junk.extxyz").write_bytes(b"\x80\x81\x82\n\xff")
        result = run(tmp_path / "junk.extxyz", tmp_path / "input.data")
        assert result.exit_code == 1
        assert "codec" not in result.output
        assert "it is no text (byte 1 is no letter): binary, compressed or damaged; name the" in result.output

    def test_truncated_file(self, frames: Path, tmp_path: Path) -> None:
        text = gzip.decompress(frames.read_bytes()).decode()
        (tmp_path / "cut.extxyz").write_text(text[: len(text) - 100])
        result = run(tmp_path / "cut.extxyz", tmp_path / "input.data")
        assert result.exit_code == 1
        assert "ASE cannot read frame" in result.output
        assert not (tmp_path / "input.data").exists()

    def test_missing_file(self, tmp_path: Path) -> None:
        result = run(tmp_path / "nothing.xyz", tmp_path / "input.data")
        assert result.exit_code == 1
        assert "nothing.xyz: no such file" in result.output

    def test_existing_output_is_kept(self, frames: Path, tmp_path: Path) -> None:
        (tmp_path / "input.data").write_text("precious")
        result = run(frames, tmp_path / "input.data")
        assert result.exit_code == 1
        assert "--append or --overwrite" in result.output
        assert (tmp_path / "input.data").read_text() == "precious"
        assert run(frames, tmp_path / "input.data", "--overwrite").exit_code == 0

    def test_output_is_an_input(self, frames: Path) -> None:
        result = run("--overwrite", frames, frames)
        assert result.exit_code == 1
        assert "is an input and the output" in result.output

    def test_nothing_chosen(self, frames: Path, tmp_path: Path) -> None:
        result = run("--skip", 100, frames, tmp_path / "input.data")
        assert result.exit_code == 1
        assert "none of its frames is chosen" in result.output

    def test_usage(self) -> None:
        assert run("only_one_name").exit_code == 2


class TestWarnings:
    def test_partly_periodic_frames_are_counted(self, tmp_path: Path) -> None:
        """The comment keeps it, and convert says what RuNNer and n2p2 make of it."""
        slab = crystal()
        slab.pbc = (True, True, False)
        ase.io.write(tmp_path / "slab.extxyz", [slab, crystal(), slab])
        result = run("--units", "metal", tmp_path / "slab.extxyz", tmp_path / "input.data")
        assert result.exit_code == 0
        assert "2 frames are periodic along one or two lattice vectors only" in result.output
        found = [structure.pbc for structure in read_structures(tmp_path / "input.data")]
        assert found == [(True, True, False), (True, True, True), (True, True, False)]
        assert "(Angstrom and eV, units metal)" in result.stdout

    @pytest.mark.parametrize(("wrong", "unit"), [("atomic", "Angstrom"), ("metal", "bohr")])
    def test_data_read_in_the_wrong_units(self, frames: Path, tmp_path: Path, wrong: str, unit: str) -> None:
        right = {"atomic": "metal", "metal": "atomic"}[wrong]
        data, back = tmp_path / "input.data", tmp_path / "back.extxyz"
        assert "WARNING" not in run("--units", right, "--every", 2, frames, data).output
        fine = run("--units", right, data, back)
        assert "WARNING" not in fine.output
        assert f"input.data was read in {unit} and" in fine.stdout
        result = run("--units", wrong, "--overwrite", data, back)
        assert f"this looks like {unit}" in result.stderr
        assert f"Is --units {wrong} right?" in result.stderr

    def test_append_in_other_units_is_refused(self, frames: Path, tmp_path: Path) -> None:
        data = tmp_path / "input.data"
        run("--units", "metal", frames, data)
        before = data.read_bytes()
        result = run("--append", "--units", "atomic", frames, data)
        assert result.exit_code == 1
        assert "looks like Angstrom, but bohr was to be added" in result.stderr.replace("\n", " ")
        assert data.read_bytes() == before
        data.write_bytes(before[: before.index(b"end\n") + 4])
        assert run("--append", "--units", "metal", frames, data).exit_code == 0
        assert data.read_bytes() == before


@pytest.mark.parametrize("name", ["out.nonsense", "out.tar.bz9", "OUTCAR"])
def test_unknown_output_format_is_a_sentence(frames: Path, tmp_path: Path, name: str) -> None:
    result = run(frames, tmp_path / name)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert "ASE knows no format to write under this name" in result.stderr
    assert not (tmp_path / name).exists()


def test_what_a_format_cannot_hold_is_a_sentence(frames: Path, tmp_path: Path) -> None:
    """POSCAR holds one frame: ASE's exception becomes a message, or ASE writes what it can."""
    result = run(frames, tmp_path / "frame.cube")
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert "ASE cannot write this" in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["md.extxyz.gz"]
