"""bnnp convert: DeePMD-kit's npy systems, directories of RuNNer and n2p2, dumps of LAMMPS."""

from __future__ import annotations

import gzip
import re
import shutil
from pathlib import Path

import convert
import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result

from bnnp.io.input_data import read_structures, write_structures
from bnnp.structure import Set, Structure

BOHR, HARTREE = 0.529177210903, 27.211386245988  # Angstrom and eV, CODATA 2018; 2014 differs by 9e-9
KCAL = 0.0433641153  # kcal/mol in eV


def run(*arguments: object) -> Result:
    return CliRunner().invoke(convert.main, [str(argument) for argument in arguments])


def converted(tmp_path: Path, *arguments: object) -> list[Structure]:
    target = tmp_path / "out.data"
    result = run("--overwrite", "--units", "metal", *arguments, target)
    assert result.exit_code == 0, result.output
    return list(read_structures(target))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


class TestDeepmd:
    @pytest.fixture
    def system(self, tmp_path: Path, rng: np.random.Generator) -> Path:
        """Three frames of Ge Te Te in two sets; the energy of frame i is -10 - i."""
        path = tmp_path / "systems" / "GeTe2"
        box = np.array([[6.0, 0, 0], [1.0, 7.0, 0], [0, 0.5, 8.0]])
        for number, frames in enumerate([(0, 1), (2,)]):
            folder = path / f"set.{number:03d}"
            folder.mkdir(parents=True)
            np.save(folder / "coord.npy", rng.uniform(0, 6, (len(frames), 9)).astype(np.float32))
            np.save(folder / "box.npy", np.tile(box.ravel(), (len(frames), 1)))
            np.save(folder / "energy.npy", np.array([-10.0 - i for i in frames]))
            np.save(folder / "force.npy", np.array([np.arange(9.0) + i for i in frames]))
            np.save(folder / "virial.npy", np.array([[1, 6, 5, 6, 2, 4, 5, 4, 3.0] for _ in frames]))
        (path / "type.raw").write_text("0\n1\n1\n")
        (path / "type_map.raw").write_text("Ge\nTe\n")
        return path

    def test_frames(self, system: Path, tmp_path: Path) -> None:
        found = converted(tmp_path, system)
        assert [structure.energy for structure in found] == [-10.0, -11.0, -12.0]
        assert found[0].symbols == ["Ge", "Te", "Te"]
        np.testing.assert_array_equal(found[2].forces, np.arange(9.0).reshape(3, 3) + 2)
        np.testing.assert_array_equal(found[0].cell[1], [1.0, 7.0, 0.0])
        # virial = -volume * stress, 6 * 7 * 8 cubic Angstrom
        np.testing.assert_allclose(found[0].stress, -np.array([1.0, 2, 3, 4, 5, 6]) / 336.0)
        assert found[2].info["source"] == "systems/GeTe2:3"

    def test_parent_directory_and_choice(self, system: Path, tmp_path: Path) -> None:
        found = converted(tmp_path, "--skip", 1, "--no-stress", system.parent)
        assert [(s.energy, s.stress) for s in found] == [(-11.0, None), (-12.0, None)]

    def test_atomic_units(self, system: Path, tmp_path: Path) -> None:
        assert run("--units", "atomic", system, tmp_path / "a.data").exit_code == 0
        first = next(read_structures(tmp_path / "a.data"))
        assert first.energy == pytest.approx(-10.0 / HARTREE)
        assert first.cell[0, 0] == pytest.approx(6.0 / BOHR)
        assert first.forces[0, 1] == pytest.approx(BOHR / HARTREE)
        assert first.stress[0] == pytest.approx(-(BOHR**3) / HARTREE / 336.0)

    def test_mixed_and_free(self, system: Path, tmp_path: Path) -> None:
        for number in (0, 1):
            folder = system / f"set.{number:03d}"
            n_frames = len(np.load(folder / "energy.npy"))
            np.save(folder / "real_atom_types.npy", np.tile([1, 0, 1], (n_frames, 1)))
        (system / "nopbc").touch()
        found = converted(tmp_path, system)
        assert found[0].symbols == ["Te", "Ge", "Te"]
        assert (found[0].cell, found[0].stress) == (None, None)

    def test_what_is_left_aside_is_named(self, system: Path, tmp_path: Path) -> None:
        """Parameters of a frame, on which its energy may depend, and the virial of a molecule."""
        np.save(system / "set.000/fparam.npy", [[1000.0], [3000.0]])
        np.save(system / "set.001/spin.npy", np.ones((1, 9)))
        (system / "nopbc").touch()
        result = run(system, tmp_path / "a.data")
        assert (
            "left aside, with the number of structures that have it: fparam (2), spin (1)," in result.output
        )
        assert "virial (3)" in result.output

    @pytest.mark.parametrize(
        ("file", "shape", "message"),
        [
            ("box", (2, 6), "box.npy: 12 numbers in the shape (2, 6), expected 9 for each of 2 frames"),
            ("energy", (3,), "energy.npy: 3 numbers in the shape (3,), expected 1 for each of 2 frames"),
            ("virial", (9,), "virial.npy: 9 numbers in the shape (9,), expected 9 for each of 2 frames"),
        ],
    )
    def test_shapes(
        self, system: Path, tmp_path: Path, file: str, shape: tuple[int, ...], message: str
    ) -> None:
        np.save(system / f"set.000/{file}.npy", np.ones(shape))
        result = run(system, tmp_path / "a.data")
        assert result.exit_code == 1
        assert message in " ".join(result.output.split())

    @pytest.mark.parametrize(
        ("file", "text", "message"),
        [
            ("type_map.raw", "Ge\n", "there is type 1, but type_map.raw names 1 element"),
            ("type.raw", "0\n1\n99999999999999999999\n", "type.raw: cannot be read as numbers of types"),
            ("type_map.raw", "Ge\nXy\n", "`Xy` is no chemical symbol"),
            ("set.000/force.npy", "rubbish", "force.npy: cannot be read as numbers"),
        ],
    )
    def test_errors(self, system: Path, tmp_path: Path, file: str, text: str, message: str) -> None:
        (system / file).write_text(text)
        result = run(system, tmp_path / "a.data")
        assert result.exit_code == 1
        assert message in result.output
        assert not (tmp_path / "a.data").exists()

    def test_padding_is_no_atom(self, system: Path, tmp_path: Path) -> None:
        """Type -1 fills the rows of a mixed system; Python would take it for the last element."""
        for number, types in enumerate([[[0, -1, 1], [1, 1, 0]], [[-1, 0, -1]]]):
            np.save(system / f"set.{number:03d}" / "real_atom_types.npy", types)
        found = converted(tmp_path, system)
        assert [structure.symbols for structure in found] == [["Ge", "Te"], ["Te", "Te", "Ge"], ["Ge"]]
        np.testing.assert_array_equal(found[0].forces, np.arange(9.0).reshape(3, 3)[[0, 2]])
        np.testing.assert_array_equal(found[2].forces, [np.arange(3.0, 6.0) + 2])
        coord = np.load(system / "set.000/coord.npy")[0].reshape(3, 3)
        np.testing.assert_array_equal(found[0].positions, coord[[0, 2]])

    @pytest.mark.parametrize("wrong", [2, -2])
    def test_types_without_element(self, system: Path, tmp_path: Path, wrong: int) -> None:
        np.save(system / "set.000/real_atom_types.npy", [[0, 1, 1], [0, 1, wrong]])
        result = run(system, tmp_path / "a.data")
        assert result.exit_code == 1
        assert "set.000/real_atom_types.npy frame 2: there is type " in result.output
        assert f"type {wrong}, but type_map.raw names 2 elements, types 0 to 1" in result.output
        np.save(system / "set.000/real_atom_types.npy", [[-1, -1, -1], [0, 1, 1]])
        assert "frame 1: there is no atom" in run(system, tmp_path / "a.data").output
        np.save(system / "set.000/real_atom_types.npy", [[0, 0.5, 1], [0, 1, 1]])
        assert "frame 1: a type is no whole number" in run(system, tmp_path / "a.data").output

    def test_text(self, system: Path, tmp_path: Path) -> None:
        """The same system as lines of text reads as the npy files do."""
        expected = converted(tmp_path, system)
        for name in ("coord", "box", "energy", "force", "virial"):
            parts = [np.load(system / f"set.{k:03d}/{name}.npy").reshape(2 - k, -1) for k in (0, 1)]
            np.savetxt(system / f"{name}.raw", np.concatenate(parts), fmt="%.17g")
        for folder in ("set.000", "set.001"):
            shutil.rmtree(system / folder)
        self.equal(converted(tmp_path, system), expected)
        (system / "energy.raw").write_text("-10 nonsense")
        assert "energy.raw: cannot be read as numbers" in run(system, tmp_path / "a.data").output

    @pytest.mark.parametrize("group", ["/", "systems/GeTe2"])
    def test_hdf5(self, system: Path, tmp_path: Path, group: str) -> None:
        """dpdata's deepmd/hdf5: the files are datasets, in the root or in groups."""
        expected = converted(tmp_path, system)
        with h5py.File(tmp_path / "all.hdf5", "w") as file:
            place = file.require_group(group)
            place["type.raw"], place["type_map.raw"] = [0, 1, 1], np.array(["Ge", "Te"], dtype="S")
            for array in system.rglob("*.npy"):
                place[f"{array.parent.name}/{array.name}"] = np.load(array)
        found = converted(tmp_path, tmp_path / "all.hdf5")
        self.equal(found, expected)
        assert found[2].info["source"].endswith(f"all.hdf5#{group}:3")
        for free in (False, True):
            with h5py.File(tmp_path / "all.hdf5", "a") as file:
                file.require_group(group).require_dataset("nopbc", (), bool)[()] = free
            assert [s.periodic for s in converted(tmp_path, tmp_path / "all.hdf5")] == [not free] * 3

    def test_oldest_names_of_hdf5(self, system: Path, tmp_path: Path) -> None:
        """cells, coords, ..., as the first versions of dpdata wrote them."""
        expected, path = converted(tmp_path, system), tmp_path / "old.hdf5"
        old = {"coord": "coords", "box": "cells", "energy": "energies", "force": "forces"}
        with h5py.File(path, "w") as file:
            file["type.raw"], file["type_map.raw"] = [0, 1, 1], np.array(["Ge", "Te"], dtype="S")
            for array in system.rglob("*.npy"):
                name = old.get(array.stem, "virials")
                file[f"{array.parent.name}/{name}.npy"] = np.load(array)
        self.equal(converted(tmp_path, path), expected)
        with h5py.File(path, "a") as file:
            file["set.000/energy.npy"] = [1.0, 2.0]
        assert "set.000: energy.npy and energies.npy; remove one" in run(path, tmp_path / "a.data").output

    def test_a_virial_is_symmetric(self, system: Path, tmp_path: Path) -> None:
        virial = np.load(system / "set.000/virial.npy")
        virial[1, 3:6] = 0.0
        np.save(system / "set.000/virial.npy", virial)
        result = run(system, tmp_path / "a.data")
        assert result.exit_code == 1
        assert "set.000 frame 2: its virial is no symmetric matrix" in result.output

    def test_cells_and_numbers_that_are_none(self, system: Path, tmp_path: Path) -> None:
        path = system / "set.000/box.npy"
        box = np.load(path)
        for place, value, message in ((8, 0.0, "frame 1: its cell has no volume"), (0, 1e300, "above 1e.12")):
            changed = box.copy()
            changed[0, place] = value
            np.save(path, changed)
            result = run(system, tmp_path / "a.data")
            assert result.exit_code == 1
            assert re.search(message, result.output)

    def test_displaced_numbers(self, system: Path, tmp_path: Path) -> None:
        """Bytes inserted among the numbers: the last ones stand behind the end that the head tells."""
        file = system / "set.000/force.npy"
        data = file.read_bytes()
        file.write_bytes(data[:-64] + bytes(8) + data[-64:])
        result = run(system, tmp_path / "a.data")
        assert "force.npy: cannot be read as numbers (ValueError: it is longer" in result.output
        file.write_bytes(data)
        for version in ("earliest", "latest"):
            path = tmp_path / f"{version}.hdf5"
            with h5py.File(path, "w", libver=(version, "latest")) as whole:
                whole["type.raw"], whole["type_map.raw"] = [0], np.array(["Ge"], dtype="S")
                whole["set.000/coord.npy"], whole["nopbc"] = np.ones((400, 3)), True
                whole["set.000/energy.npy"], whole["set.000/force.npy"] = np.ones(400), np.ones((400, 3))
            assert len(converted(tmp_path, path)) == 400
            data = path.read_bytes()
            path.write_bytes(data[:-64] + bytes(8) + data[-64:])
            result = run(path, tmp_path / "a.data")
            assert result.exit_code == 1
            assert f"has {len(data) + 8} bytes, but {len(data)} by its head: damaged" in result.output

    @staticmethod
    def equal(found: list[Structure], expected: list[Structure]) -> None:
        for one, other in zip(found, expected, strict=True):
            assert (one.energy, one.symbols) == (other.energy, other.symbols)
            for name in ("positions", "cell", "forces", "stress"):
                np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-15)

    def test_without_forces(self, system: Path, tmp_path: Path) -> None:
        (system / "set.001/force.npy").unlink()
        result = run(system, tmp_path / "a.data")
        assert "GeTe2:3 has no force; --no-labels" in result.output


class TestTrees:
    @pytest.fixture
    def structure(self) -> Structure:
        return Structure(
            numbers=np.array([32, 52]),
            positions=np.array([[0.0, 0, 0], [5.0, 0, 0]]),
            cell=10.0 * np.eye(3),
            energy=-2.0,
            forces=np.array([[0.1, 0, 0], [-0.1, 0, 0]]),
        )

    def test_units_beside(self, structure: Structure, tmp_path: Path) -> None:
        """One study in bohr (nothing said, so --units or bnnp's default decides), one that says metal."""
        for folder, settings in (("a", "elements Ge Te\n"), ("b", "units metal # eV\n")):
            (tmp_path / "study" / folder).mkdir(parents=True)
            write_structures(tmp_path / "study" / folder / "input.data", [structure])
            (tmp_path / "study" / folder / "input.nn").write_text(settings)
        assert run("--units", "atomic", tmp_path / "study", tmp_path / "all.data").exit_code == 0
        first, second = read_structures(tmp_path / "all.data")
        assert (first.energy, first.info["source"]) == (-2.0, "a/input.data:1")
        assert second.energy == pytest.approx(-2.0 / HARTREE)
        assert second.positions[1, 0] == pytest.approx(5.0 / BOHR)
        assert second.forces[0, 0] == pytest.approx(0.1 * BOHR / HARTREE)

    def test_sets_of_n2p2(self, structure: Structure, tmp_path: Path) -> None:
        (tmp_path / "study").mkdir()
        write_structures(tmp_path / "study/train.data", [structure, structure])
        write_structures(tmp_path / "study/test.data", [structure])
        assert [s.subset for s in converted(tmp_path, tmp_path / "study")] == [Set.TRAIN, Set.TRAIN, Set.TEST]

    def test_nothing_there(self, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        result = run(tmp_path / "empty", tmp_path / "a.data")
        assert result.exit_code == 1
        assert "neither systems of DeePMD-kit (type.raw) nor input.data" in result.output


class TestDumps:
    COLUMNS = "id type x y z fx fy fz"

    def dump(self, columns: str, energy: bool = False, element: bool = False) -> str:
        """Two frames in a skewed box that does not begin at 0, atoms not in order."""
        text = ""
        for step in (0, 500):
            text += f"ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n2\n"
            text += "ITEM: BOX BOUNDS xy xz yz pp pp pp\n-1 6 1\n2 9 0\n0 8 0\n"
            text += f"ITEM: ATOMS {columns}{' element' * element}{' c_pe' * energy}\n"
            for atom, kind in ((2, "Te"), (1, "Ge")):
                kind_number = 1 if kind == "Ge" else 2
                text += f"{atom} {kind_number} {1.5 * atom} 3.0 1.0 {0.25 * atom} 0.5 {step}.0"
                text += f" {kind}" * element + f" {-1.5 * atom}" * energy + "\n"
        return text

    LOG = (
        "LAMMPS (22 Jul 2025)\n   Step          Temp          PotEng     \n"
        "         0   300    -7.25\n       500   290    -7.5\nLoop time of 0.1 on 1 procs\n"
    )

    def test_energy_of_a_column(self, tmp_path: Path) -> None:
        (tmp_path / "md.dump").write_text(self.dump(self.COLUMNS, energy=True, element=True))
        first, second = converted(tmp_path, tmp_path / "md.dump")
        assert first.symbols == ["Ge", "Te"]
        assert first.energy == pytest.approx(-4.5)
        np.testing.assert_allclose(first.forces, [[0.25, 0.5, 0.0], [0.5, 0.5, 0.0]])
        np.testing.assert_allclose(second.forces[:, 2], [500.0, 500.0])
        np.testing.assert_allclose(first.cell, [[6.0, 0, 0], [1.0, 7.0, 0], [0, 0, 8.0]])
        np.testing.assert_allclose(first.positions[1] - first.positions[0], [1.5, 0, 0])

    def test_energy_of_the_log(self, tmp_path: Path) -> None:
        with gzip.open(tmp_path / "melt.lammpstrj.gz", "wt") as file:
            file.write(self.dump(self.COLUMNS))
        (tmp_path / "log.lammps").write_text(self.LOG)
        options = ("--types", "Ge Te", "--log", tmp_path / "log.lammps")
        found = converted(tmp_path, *options, tmp_path / "melt.lammpstrj.gz")
        assert [structure.energy for structure in found] == pytest.approx([-7.25, -7.5])
        found = converted(tmp_path, *options, "--skip", 1, tmp_path / "melt.lammpstrj.gz")
        assert [structure.energy for structure in found] == pytest.approx([-7.5])
        assert found[0].info["source"].endswith("melt.lammpstrj.gz:2")

    def test_pressures_of_a_log_are_no_stress(self, tmp_path: Path) -> None:
        (tmp_path / "md.dump").write_text(self.dump(self.COLUMNS, element=True))
        log = "Step PotEng Pxx Pyy c_pxxx\n0 -7.25 1 2 3\n500 -7.5 1 2 3\nLoop time of 0.1 on 1 procs\n"
        for text, found in ((log, True), (self.LOG, False)):
            (tmp_path / "log.lammps").write_text(text)
            options = ("--overwrite", "--log", tmp_path / "log.lammps", tmp_path / "md.dump")
            result = run(*options, tmp_path / "a.data")
            assert result.exit_code == 0, result.output
            assert ("no structure has a stress: Pxx, Pyy of " in result.stdout) is found
            assert "0 with stress" in result.stdout

    def test_real_units(self, tmp_path: Path) -> None:
        (tmp_path / "md.dump").write_text(self.dump(self.COLUMNS, energy=True, element=True))
        first = converted(tmp_path, "--lammps-units", "real", tmp_path / "md.dump")[0]
        assert first.energy == pytest.approx(-4.5 * KCAL)
        assert first.forces[0, 1] == pytest.approx(0.5 * KCAL)

    @pytest.mark.parametrize("where", ["dump", "log"])
    def test_units_that_the_files_state(self, tmp_path: Path, where: str) -> None:
        stated = {"dump": "ITEM: UNITS\nreal\n", "log": "units real\n"}[where]
        text, log = self.dump(self.COLUMNS, energy=where == "dump", element=True), self.LOG
        if where == "dump":
            text = stated + text
        else:
            log = stated + log
        (tmp_path / "md.dump").write_text(text)
        (tmp_path / "log.lammps").write_text(log)
        options = ["--log", tmp_path / "log.lammps"] if where == "log" else []
        first = converted(tmp_path, *options, tmp_path / "md.dump")[0]
        assert first.energy == pytest.approx((-4.5 if where == "dump" else -7.25) * KCAL)
        assert first.forces[0, 1] == pytest.approx(0.5 * KCAL)
        result = run("--lammps-units", "metal", *options, tmp_path / "md.dump", tmp_path / "a.data")
        assert result.exit_code == 1
        assert "contradicting units of LAMMPS" in result.output
        assert "says `real`, --lammps-units says `metal`" in result.output

    def test_units_that_nobody_states_are_said(self, tmp_path: Path) -> None:
        (tmp_path / "md.dump").write_text(self.dump(self.COLUMNS, energy=True, element=True))
        result = run(tmp_path / "md.dump", tmp_path / "a.data")
        assert "states no units: read in LAMMPS' units metal" in result.output
        refused = run("--lammps-units", "lj", tmp_path / "md.dump", tmp_path / "b.data")
        assert "units `lj` of LAMMPS cannot be converted" in refused.output

    def with_columns(self, names: dict[str, float]) -> str:
        """The dump with more columns of the same number in each row."""
        lines = self.dump(self.COLUMNS, element=True).splitlines()
        for number, line in enumerate(lines):
            if line.startswith("ITEM: ATOMS"):
                lines[number] += "".join(f" {name}" for name in names)
            elif line.split()[-1] in ("Ge", "Te"):
                lines[number] += "".join(f" {value}" for value in names.values())
        return "\n".join(lines) + "\n"

    @pytest.mark.parametrize("kinetic", ["c_keng", "c_ke", "v_kinetic_energy", "c_toteng", "f_ave_pe"])
    def test_energies_that_are_not_potential(self, tmp_path: Path, kinetic: str) -> None:
        (tmp_path / "md.dump").write_text(self.with_columns({kinetic: 100.0, "c_pe": -1.5}))
        result = run("--overwrite", tmp_path / "md.dump", tmp_path / "out.data")
        assert f"columns left aside: {kinetic}" in result.output
        assert next(read_structures(tmp_path / "out.data")).energy == -3.0
        (tmp_path / "md.dump").write_text(self.with_columns({kinetic: 100.0}))
        assert "no column of energies per atom" in run(tmp_path / "md.dump", tmp_path / "b.data").output

    def test_two_potential_energies(self, tmp_path: Path) -> None:
        """Which of two computes of pe/atom has all of it cannot be told; other computes are named."""
        (tmp_path / "md.dump").write_text(self.with_columns({"c_pe": -1.5, "c_pe2": -2.0}))
        result = run(tmp_path / "md.dump", tmp_path / "a.data")
        assert result.exit_code == 1
        assert "Name it with --energy-key: c_pe, c_pe2" in " ".join(result.output.split())
        (tmp_path / "md.dump").write_text(self.with_columns({"c_pe": -1.5, "c_kspace": -0.5}))
        result = run(tmp_path / "md.dump", tmp_path / "a.data")
        assert "columns left aside: c_kspace" in result.output
        assert next(read_structures(tmp_path / "a.data")).energy == -3.0

    def test_a_compute_by_the_names_of_the_manual(self, tmp_path: Path) -> None:
        """`compute peratom all pe/atom`; with an index it is that of the stress."""
        (tmp_path / "md.dump").write_text(self.with_columns({"c_peratom": -1.5, "c_peratom[1]": 9.0}))
        assert run(tmp_path / "md.dump", tmp_path / "out.data").exit_code == 0
        assert next(read_structures(tmp_path / "out.data")).energy == -3.0

    @pytest.mark.parametrize("other", ["c_eng[1]", "c_pea", "c_peratom"])
    def test_two_columns_of_energies(self, tmp_path: Path, other: str) -> None:
        (tmp_path / "md.dump").write_text(self.with_columns({"c_pe": -1.5, other: -2.5}))
        result = run(tmp_path / "md.dump", tmp_path / "a.data")
        assert result.exit_code == 1
        assert f"which column has the potential energies? Name it with --energy-key: c_pe, {other}" in (
            result.output
        )
        found = converted(tmp_path, "--energy-key", other, tmp_path / "md.dump")
        assert found[0].energy == -5.0

    def log_case(self, tmp_path: Path, log: str, *options: object, **columns: float) -> Result:
        """Both frames with this log; the output is out.data."""
        (tmp_path / "md.dump").write_text(self.with_columns(columns))
        (tmp_path / "log.lammps").write_text(log)
        arguments = (*options, "--overwrite", "--log", tmp_path / "log.lammps", tmp_path / "md.dump")
        return run(*arguments, tmp_path / "out.data")

    def test_two_runs_in_one_log(self, tmp_path: Path) -> None:
        other = self.LOG.replace("-7.25", "-70.0").replace("-7.5", "-80.0")
        result = self.log_case(tmp_path, self.LOG + other)
        assert result.exit_code == 1
        assert (
            "step 0 has two different PotEng, -7.25 in the table of line 2 and -70 in that" in result.output
        )
        assert self.log_case(tmp_path, self.LOG + self.LOG).exit_code == 0
        assert [s.energy for s in read_structures(tmp_path / "out.data")] == [-7.25, -7.5]
        continued = self.LOG + self.LOG.replace("         0   300    -7.25\n", "")
        assert self.log_case(tmp_path, continued).exit_code == 0

    def test_two_runs_in_one_dump(self, tmp_path: Path) -> None:
        """The log has the energies of one of them; a frame that only stands there twice is no matter."""
        (tmp_path / "log.lammps").write_text(self.LOG)
        text = self.dump(self.COLUMNS, element=True)
        options = (
            "--overwrite",
            "--log",
            tmp_path / "log.lammps",
            tmp_path / "md.dump",
            tmp_path / "out.data",
        )
        (tmp_path / "md.dump").write_text(text + text)
        assert run(*options).exit_code == 0
        (tmp_path / "md.dump").write_text(text + text.replace(" 3.0 1.0", " 3.1 1.0"))
        result = run(*options)
        assert result.exit_code == 1
        assert "md.dump step 0: the dump has this step twice" in result.output

    def test_column_and_log_must_agree(self, tmp_path: Path) -> None:
        result = self.log_case(tmp_path, self.LOG, c_pe=-1.5)
        assert "two different energies, -3 of the column c_pe and -7.25 of" in result.output
        assert self.log_case(tmp_path, self.LOG, "--max", 1, c_pe=-3.625).exit_code == 0
        assert self.log_case(tmp_path, self.LOG, "--energy-key", "c_pe", c_pe=-1.5).exit_code == 0
        assert next(read_structures(tmp_path / "out.data")).energy == -3.0

    @pytest.mark.parametrize(
        ("before", "message"),
        [
            ("thermo_modify norm yes\n", "line 3: PotEng is that of one atom (thermo_modify norm yes)"),
            ("thermo_modify flush yes norm yes lost warn\n", "PotEng is that of one atom"),
            ("units real\nunits metal\n", "several units, metal, real"),
            ("thermo_modify norm yes\nthermo_modify norm no\n", ""),
            ("thermo_modify norm yes\nthermo_style custom step pe\n", ""),
        ],
    )
    def test_what_a_log_says_of_its_energies(self, tmp_path: Path, before: str, message: str) -> None:
        result = self.log_case(tmp_path, before + self.LOG)
        assert result.exit_code == bool(message)
        assert message in result.output

    FORMS = {  # as LAMMPS (22 Jul 2025) writes them
        "yaml": (
            "  - [0, 300, -7.25, 1.5, ]\n  - [500, 290, -7.5, 1.5, ]\n",
            "---\nkeywords: ['Step', 'Temp', 'PotEng', 'Press', ]\ndata:\n{}...\n",
        ),
        "multi": (
            "".join(
                f"------------ Step {step:14d} ----- CPU =    0.1 (sec) -------------\n"
                f"TotEng   =  {energy + 1}  KinEng   =  1.0  Temp     =  300.0\n"
                f"PotEng   =  {energy}  E_bond   =  0.0  E_angle  =  0.0\nPress    =  1.5\n"
                for step, energy in ((0, -7.25), (500, -7.5))
            ),
            "{}",
        ),
    }

    @pytest.mark.parametrize("form", FORMS)
    def test_forms_of_thermo_output(self, tmp_path: Path, form: str) -> None:
        rows, frame = self.FORMS[form]
        end = "Loop time of 0.1 on 1 procs for 500 steps with 2 atoms\n"
        log = "LAMMPS (22 Jul 2025)\n" + frame.format(rows) + end
        assert self.log_case(tmp_path, log).exit_code == 0
        assert [s.energy for s in read_structures(tmp_path / "out.data")] == [-7.25, -7.5]
        assert "no structure has a stress: Press of" in self.log_case(tmp_path, log).output
        other = frame.format(rows.replace("-7.25", "-70.0"))
        assert "two different PotEng" in self.log_case(tmp_path, log + other + end).output
        more = log.replace("2 atoms", "3 atoms")
        assert "a run of 3 atoms, but the dump has 2" in self.log_case(tmp_path, more).output
        broken = self.log_case(tmp_path, log.replace("-7.5", "-nan"))
        assert re.search(
            r"log.lammps line \d+: PotEng of step 500 is `-nan`, expected a number", broken.output
        )

    def test_tables_without_potential_energies(self, tmp_path: Path) -> None:
        """`thermo_style one` and `yaml` have E_pair, in which energies of fixes are missing. A row of such a
        table is not taken for one of the table before, which an error had ended."""
        one = "   Step          Temp          E_pair\n         0   300   -7.0\n       500   290   -7.5\n"
        yaml = "keywords: ['Step', 'Temp', 'E_pair', ]\ndata:\n  - [0, 300, -7.0, ]\n"
        for text in (one, yaml):
            told = self.log_case(tmp_path, text).output
            assert "no thermo table with Step and PotEng" in told
            assert "the last one has Step Temp E_pair" in told
        before = "Step Temp PotEng\n0 300 -7.25\nERROR: Lost atoms\n"
        assert "no thermo table has step 500" in self.log_case(tmp_path, before + one).output

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ("ITEM: NUMBER", "ITEM: NUMBR", "line 1: this frame has not the sections TIMESTEP, NUMBER OF"),
            ("ITEM: ATOMS", "ITFM: ATOMS", "line 1: this frame has not the sections"),
            ("2 2 3.0", "1 2 3.0", "line 1: an id stands twice in this frame"),
            ("NUMBER OF ATOMS\n2", "NUMBER OF ATOMS\n1", "line 1: this frame has 2 rows for 1 atom,"),
            ("2 2 3.0 3.0", "2 2 3.03.0", "rows with other than 9 columns"),
            ("TIMESTEP\n0", "TIMESTEP\n-7.5", "line 1: step and number of atoms of this frame are no single"),
        ],
    )
    def test_damaged_frames(self, tmp_path: Path, old: str, new: str, message: str) -> None:
        """ASE would take the atoms of the next frame for those of the damaged one."""
        text = self.dump(self.COLUMNS, element=True)
        assert old in text
        (tmp_path / "log.lammps").write_text(self.LOG)
        (tmp_path / "md.dump").write_text(text.replace(old, new, 1))
        result = run("--log", tmp_path / "log.lammps", tmp_path / "md.dump", tmp_path / "a.data")
        assert result.exit_code == 1
        assert message in result.output
        (tmp_path / "md.dump").write_text(text[:-20])
        result = run("--log", tmp_path / "log.lammps", tmp_path / "md.dump", tmp_path / "a.data")
        assert "line 12: this frame has 2 rows for 2 atoms, or rows with other than 9" in result.output

    def test_log_of_more_atoms_than_the_dump(self, tmp_path: Path) -> None:
        log = self.LOG.replace("on 1 procs", "on 1 procs for 500 steps with 3 atoms")
        assert "a run of 3 atoms, but the dump has 2 at step 0" in self.log_case(tmp_path, log).output

    def test_a_log_that_is_cut_off(self, tmp_path: Path) -> None:
        """The last number may have lost digits."""
        cut = self.LOG[: self.LOG.index("-7.5") + 2]
        assert "no thermo table has step 500" in self.log_case(tmp_path, cut).output

    def test_types_without_a_name(self, tmp_path: Path) -> None:
        (tmp_path / "md.dump").write_text(self.dump(self.COLUMNS, energy=True))
        result = run("--types", "Ge", tmp_path / "md.dump", tmp_path / "a.data")
        assert "types go from 1 to 2, but --types names 1 from 1 on" in result.output
        zero = self.dump(self.COLUMNS, energy=True).replace("1 1 1.5", "1 0 1.5")
        (tmp_path / "md.dump").write_text(zero)
        result = run("--types", "Ge Te", tmp_path / "md.dump", tmp_path / "a.data")
        assert "types go from 0 to 2" in result.output
        (tmp_path / "md.dump").write_text(self.dump(self.COLUMNS, energy=True, element=True))
        result = run("--types", "Te Ge", tmp_path / "md.dump", tmp_path / "a.data")
        assert "--types contradicts the column `element`" in result.output

    def test_no_energy_is_not_zero(self, tmp_path: Path) -> None:
        (tmp_path / "md.dump").write_text(self.dump(self.COLUMNS, element=True))
        result = run(tmp_path / "md.dump", tmp_path / "a.data")
        assert result.exit_code == 1
        assert "no column of energies per atom (compute pe/atom), and no --log" in result.output

    def test_types_without_elements(self, tmp_path: Path) -> None:
        (tmp_path / "md.dump").write_text(self.dump(self.COLUMNS, energy=True))
        assert (
            "name the types from 1 on with --types" in run(tmp_path / "md.dump", tmp_path / "a.data").output
        )

    def test_without_forces(self, tmp_path: Path) -> None:
        text = self.dump(self.COLUMNS, energy=True, element=True).replace("fx fy fz", "vx vy vz")
        (tmp_path / "md.dump").write_text(text)
        assert "no columns fx fy fz" in run(tmp_path / "md.dump", tmp_path / "a.data").output
