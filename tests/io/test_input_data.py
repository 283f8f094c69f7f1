"""input.data: values, round trips, what is tolerated, and an error for each kind of bad input."""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import replace
from io import StringIO
from pathlib import Path

import ase.io
import numpy as np
import pytest
from formats.change_units import change_units

from bnnp.errors import InputError, NumericalError, OutputError
from bnnp.io import atom_lines
from bnnp.io.ase_atoms import from_atoms, to_atoms
from bnnp.io.atom_lines import parse_number
from bnnp.io.input_data import StructureFile, format_structure, read_structures, write_structures
from bnnp.structure import Set, Structure
from bnnp.units import ATOMIC, METAL

GOOD = """begin
comment rock salt, first
lattice 6.0 0.0 0.0
lattice 0.0 6.0 0.0
lattice 0.0 0.0 6.0
atom 0.0 0.0 0.0 Ge -0.1 0.0 0.01 0.02 0.03
atom 3.0 0.0 0.0 Te 0.1 0.0 -0.01 -0.02 -0.03
energy -123.456
charge 0.0
end
begin
atom 0.0 0.0 0.0 Te 0.0 0.0 0.0 0.0 0.5
atom 0.0 0.0 5.0 Te 0.0 0.0 0.0 0.0 -0.5
energy -1.5
end
"""


def save(folder: Path, text: str) -> Path:
    """An input.data with this text."""
    path = folder / "input.data"
    path.write_text(text, encoding="utf-8")
    return path


def random_structure(seed: int, periodic: bool = True, n_atoms: int = 7) -> Structure:
    """A structure whose numbers use all their digits."""
    rng = np.random.default_rng(seed)
    return Structure(
        numbers=rng.choice([1, 32, 52, 102], n_atoms),
        positions=rng.normal(scale=10.0, size=(n_atoms, 3)),
        cell=rng.normal(scale=3.0, size=(3, 3)) + 9 * np.eye(3) if periodic else None,
        energy=float(rng.normal(scale=1e4)),
        forces=rng.normal(scale=1e-3, size=(n_atoms, 3)),
        stress=rng.normal(size=6) if periodic else None,
        charge=-1.0,
        comment="frame of a melt",
        info={"group": "aimd_300K", "weight": "2.5", "source": "OUTCAR:17", "note": "two words"},
        subset=Set.TEST,
    )


def assert_same(a: Structure, b: Structure) -> None:
    """All that a file holds is equal, bit by bit."""
    arrays = "numbers", "positions", "cell", "forces", "stress", "charges", "dipole", "born_charges"
    for name in arrays:
        first, second = getattr(a, name), getattr(b, name)
        assert (first is None) == (second is None), name
        if first is not None:
            np.testing.assert_array_equal(first, second, err_msg=name)
    for name in ("energy", "charge", "comment", "info", "subset"):
        assert getattr(a, name) == getattr(b, name), name


@pytest.mark.parametrize("decimals", [None, 12])
def test_charges_of_atoms_survive(tmp_path: Path, decimals: int | None) -> None:
    """Those of 4th-generation data, which nothing here uses."""
    structure = replace(random_structure(3), charges=np.array([0.1, -0.25, 0.0, 1e-3, 0.0, 0.0, 0.149]))
    write_structures(tmp_path / "a.data", [structure, random_structure(4)], decimals)
    charged, plain = read_structures(tmp_path / "a.data")
    np.testing.assert_array_equal(charged.charges, structure.charges)
    assert plain.charges is None
    if decimals is None:
        assert_same(charged, structure)


def test_moments_survive_also_in_ase(tmp_path: Path) -> None:
    """Dipole moments and Born charges, in the comment line; RuNNer and n2p2 read the lines as before."""
    rng = np.random.default_rng(5)
    crystal = replace(random_structure(3), born_charges=rng.normal(size=(7, 3, 3)))
    molecule = replace(random_structure(4, periodic=False), dipole=rng.normal(size=3))
    write_structures(tmp_path / "a.data", [crystal, molecule])
    found = list(read_structures(tmp_path / "a.data"))
    for written, read in zip((crystal, molecule), found, strict=True):
        assert_same(written, read)
    assert {line.split()[0] for line in (tmp_path / "a.data").read_text().splitlines()} == {
        *("begin", "comment", "lattice", "atom", "energy", "charge", "end")
    }
    ase.io.write(tmp_path / "b.xyz", [to_atoms(each, ATOMIC) for each in found])
    images = ase.io.read(tmp_path / "b.xyz", index=":")
    crystal_again, molecule_again = (from_atoms(each, METAL) for each in images)
    assert molecule_again.dipole == pytest.approx(molecule.dipole * 0.529177210903, rel=1e-7)
    assert molecule_again.born_charges is None
    assert crystal_again.born_charges == pytest.approx(crystal.born_charges, abs=1e-7)
    assert change_units(molecule_again, METAL, ATOMIC).dipole == pytest.approx(molecule.dipole, rel=1e-7)
    bad = to_atoms(found[1], ATOMIC)
    bad.arrays["bec"] = np.zeros((7, 6))
    with pytest.raises(InputError, match="bec: expected an array of 7 x 3 x 3, got"):
        from_atoms(bad, METAL)


class TestRead:
    def test_values(self, tmp_path: Path) -> None:
        periodic, free = read_structures(save(tmp_path, GOOD))
        assert periodic.symbols == ["Ge", "Te"]
        np.testing.assert_array_equal(periodic.positions, [[0, 0, 0], [3, 0, 0]])
        np.testing.assert_array_equal(periodic.forces, [[0.01, 0.02, 0.03], [-0.01, -0.02, -0.03]])
        np.testing.assert_array_equal(periodic.cell, 6 * np.eye(3))
        assert periodic.energy == -123.456
        assert periodic.comment == "rock salt, first"
        assert (periodic.index, periodic.line) == (0, 1)
        assert free.cell is None
        assert free.charge == 0.0
        assert (free.index, free.line) == (1, 11)

    def test_lattice_lines_are_rows_in_order(self, tmp_path: Path) -> None:
        text = GOOD.replace("lattice 0.0 6.0 0.0", "lattice 1.0 7.0 2.0")
        cell = next(read_structures(save(tmp_path, text))).cell
        np.testing.assert_array_equal(cell, [[6, 0, 0], [1, 7, 2], [0, 0, 6]])

    def test_lines_in_any_order(self, tmp_path: Path) -> None:
        lines = GOOD.splitlines()
        shuffled = [lines[i] for i in (0, 7, 2, 5, 3, 8, 6, 4, 1)]  # atoms and vectors keep their order
        structure = next(read_structures(save(tmp_path, "\n".join([*shuffled, "end\n"]))))
        np.testing.assert_array_equal(structure.positions, [[0, 0, 0], [3, 0, 0]])
        np.testing.assert_array_equal(structure.cell, 6 * np.eye(3))
        assert structure.energy == -123.456

    @pytest.mark.parametrize(
        "change",
        [
            lambda text: "RuNNer data of a project\n\ncomment more\n" + text,
            lambda text: text.replace("\n", "\n\n# remark\n   \n"),
            lambda text: text.replace("\n", "\n  \t"),
            lambda text: text.replace(" ", " \t  "),
            lambda text: text.replace("\n", "\r\n"),
            lambda text: text.replace("0.02", "2.0d-02").replace("3.0", "0.3D+1"),
            lambda text: text.replace("energy -123.456", "energy -1.23456D2  # hartree"),
            lambda text: text.rstrip("\n"),
            lambda text: text.replace("0.1 0.0 -0.01", "1.0-120 0.0 -0.01"),
        ],
        ids=["header", "blank", "indented", "tabs", "crlf", "d", "D", "no newline", "bare exponent"],
    )
    def test_tolerates(self, tmp_path: Path, change) -> None:  # noqa: ANN001
        expected = list(read_structures(save(tmp_path, GOOD)))
        path = save(tmp_path, change(GOOD))
        for first, second, third in zip(expected, read_structures(path), StructureFile(path), strict=True):
            np.testing.assert_array_equal(first.positions, second.positions)
            np.testing.assert_array_equal(first.forces, second.forces)
            assert first.energy == second.energy
            assert_same(second, third)
            assert (second.line, second.index) == (third.line, third.index)

    def test_symbol_with_d_beside_fortran_exponent(self, tmp_path: Path) -> None:
        text = GOOD.replace("Ge", "Cd").replace("0.01", "1.0d-2")
        structure = next(read_structures(save(tmp_path, text)))
        assert structure.symbols == ["Cd", "Te"]
        assert structure.forces is not None
        assert structure.forces[0, 0] == 0.01

    def test_pinned_sets(self, tmp_path: Path) -> None:
        text = GOOD.replace("begin", "begin set=test", 1)
        assert [s.subset for s in read_structures(save(tmp_path, text))] == [Set.TEST, None]

    def test_comment_pairs(self, tmp_path: Path) -> None:
        comment = 'comment from MD group=melt weight=2.5 stress="1 2 3 4 5 6d0" source=a/OUTCAR:3 at 300 K'
        structure = next(read_structures(save(tmp_path, GOOD.replace("comment rock salt, first", comment))))
        assert structure.comment == "from MD at 300 K"
        assert structure.info == {"group": "melt", "weight": "2.5", "source": "a/OUTCAR:3"}
        assert structure.weight == 2.5
        np.testing.assert_array_equal(structure.stress, [1, 2, 3, 4, 5, 6])

    def test_unlabeled_structures_of_mode_3(self, tmp_path: Path) -> None:
        text = "begin\natom 0 0 0 Ge\natom 0 0 4 Te\nend\n"
        structure = next(read_structures(save(tmp_path, text), require_labels=False))
        assert structure.energy is None
        assert structure.forces is None
        assert structure.symbols == ["Ge", "Te"]

    @pytest.mark.parametrize(
        ("word", "value"),
        [("1.5", 1.5), ("1.5d-3", 1.5e-3), ("-2D+2", -200.0), (".5Q1", 5.0), ("1.0-103", 1e-103)],
    )
    def test_numbers_as_fortran_writes_them(self, word: str, value: float) -> None:
        assert parse_number(word) == value

    def test_structure_longer_than_one_chunk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        structure = random_structure(3, n_atoms=25)
        path = save(tmp_path, format_structure(structure))
        monkeypatch.setattr(atom_lines, "CHUNK", 4)
        assert_same(structure, next(read_structures(path)))

    def test_real_runner_file(self, shared: Path) -> None:
        """Twenty structures of liquid water from the n2p2 examples; numbers read off the file."""
        file = StructureFile(shared / "data/h2o/input.data", elements=("H", "O"))
        assert len(file) == 20
        assert file.n_atoms[0] == 192
        first = file[0]
        assert first.energy == -4900.37328433
        assert file[-1].energy == -4900.14395256
        assert first.comment == "written by RuNNerDecom"
        np.testing.assert_array_equal(first.positions[1], [5.246524320, 3.393061301, 3.627368536])
        np.testing.assert_array_equal(first.forces[1], [0.004517488, -0.000517262, 0.005052573])


class TestStructureFile:
    def test_any_order_equals_streaming(self, tmp_path: Path) -> None:
        path = tmp_path / "input.data"
        write_structures(path, (random_structure(seed, n_atoms=seed + 1) for seed in range(5)))
        file = StructureFile(path)
        streamed = list(read_structures(path))
        assert file.n_atoms.tolist() == [1, 2, 3, 4, 5]
        for i in (3, 0, 4, -1):
            assert_same(file[i], streamed[i])
            assert (file[i].index, file[i].line) == (streamed[i].index, streamed[i].line)
        with pytest.raises(IndexError, match="structure 6 of 5"):
            file[5]

    def test_can_be_sent_to_other_processes(self, tmp_path: Path) -> None:
        file = StructureFile(save(tmp_path, GOOD), elements=("Ge", "Te"))
        assert_same(pickle.loads(pickle.dumps(file))[1], file[1])

    def test_digest_is_of_the_bytes(self, tmp_path: Path) -> None:
        path = save(tmp_path, GOOD)
        assert StructureFile(path).digest == hashlib.sha256(path.read_bytes()).hexdigest()

    def test_file_changed_meanwhile(self, tmp_path: Path) -> None:
        file = StructureFile(save(tmp_path, GOOD))
        save(tmp_path, "# new\n" + GOOD)
        with pytest.raises(InputError, match="changed while it was being read"):
            file[1]

    def test_warns_about_border_words_in_comments(self, tmp_path: Path) -> None:
        text = GOOD.replace("first", "the beginning of the end")
        assert "line 1); bnnp reads them" in StructureFile(save(tmp_path, text)).warnings[0]
        assert StructureFile(save(tmp_path, GOOD)).warnings == ()

    def test_warns_about_charged_cells(self, tmp_path: Path) -> None:
        """n2p2 refuses them; free molecules may have a charge."""
        periodic, free = (random_structure(1, kind) for kind in (True, False))
        for structure, charge, warned in ((periodic, -1.0, 1), (periodic, -0.0, 0), (free, 2.0, 0)):
            text = format_structure(replace(structure, charge=charge))
            warnings = StructureFile(save(tmp_path, text)).warnings
            assert len(warnings) == warned
            assert all("n2p2 refuses" in warning and "line 1)" in warning for warning in warnings)


class TestWrite:
    @pytest.mark.parametrize("periodic", [True, False])
    @pytest.mark.parametrize("seed", range(3))
    def test_round_trip_is_exact(self, tmp_path: Path, seed: int, periodic: bool) -> None:
        structure = random_structure(seed, periodic)
        path = save(tmp_path, format_structure(structure))
        assert_same(structure, next(read_structures(path)))

    def test_round_trip_without_labels(self, tmp_path: Path) -> None:
        structure = Structure(numbers=np.array([8]), positions=np.zeros((1, 3)))
        path = save(tmp_path, format_structure(structure))
        assert_same(structure, next(read_structures(path, require_labels=False)))
        with pytest.raises(InputError, match="no `energy` line"):
            next(read_structures(path))

    def test_strict_layout(self) -> None:
        """What RuNNer and n2p2 need: nine columns, one keyword a line, nothing blank, lines in order."""
        lines = format_structure(random_structure(0)).splitlines()
        words = [line.split() for line in lines]
        assert [word[0] for word in words] == [
            "begin",
            "comment",
            *3 * ["lattice"],
            *7 * ["atom"],
            "energy",
            "charge",
            "end",
        ]
        assert {len(word) for word in words if word[0] == "atom"} == {10}
        assert {len(word[4]) for word in words if word[0] == "atom"} <= {1, 2}

    def test_never_begin_or_end_in_a_comment(self, tmp_path: Path) -> None:
        structure = Structure(
            numbers=np.array([8]),
            positions=np.zeros((1, 3)),
            energy=0.0,
            forces=np.zeros((1, 3)),
            comment="Beginning, then the end\nof a bending mode",
            info={"source": "begin/OUTCAR", "note": 'say "end"'},
        )
        text = format_structure(structure)
        assert text.lower().count("begin") == 1
        assert text.split().count("end") == 1
        assert "bending" in text
        again = next(read_structures(save(tmp_path, text)))
        assert again.comment == "starting, then the stop of a bending mode"
        assert again.info == {"source": "start/OUTCAR", "note": "say 'stop'"}

    def test_to_an_open_file(self) -> None:
        file = StringIO()
        assert write_structures(file, [random_structure(0), random_structure(1)]) == 2
        assert file.getvalue().count("begin") == 2

    def test_refuses_what_is_not_finite(self) -> None:
        structure = Structure(numbers=np.array([8]), positions=np.full((1, 3), np.nan))
        with pytest.raises(NumericalError, match="structure 1: positions is not finite"):
            format_structure(structure)

    def test_refuses_what_no_calculation_gives(self) -> None:
        """Squares and determinants of such numbers would be infinite."""
        for cell, energy in ((np.diag([1e308, 1.0, 1.0]), 0.0), (np.eye(3), -1e200)):
            structure = Structure(np.array([8]), np.zeros((1, 3)), cell, energy=energy)
            with pytest.raises(NumericalError, match="cannot be written to input.data"):
                format_structure(structure)

    def test_failure_leaves_the_former_file(self, tmp_path: Path) -> None:
        path = save(tmp_path, GOOD)
        bad = Structure(numbers=np.array([103]), positions=np.zeros((1, 3)))
        with pytest.raises(NumericalError, match="element Lr"):
            write_structures(path, [random_structure(0), bad])
        assert path.read_text() == GOOD
        assert list(tmp_path.iterdir()) == [path]

    def test_directory_missing(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match="cannot be written"):
            write_structures(tmp_path / "nowhere" / "input.data", [random_structure(0)])


BAD = {
    "unknown keyword": (
        "energy -123",
        "enery -123",
        r"line 8 \(structure 1\).*`enery`; did you mean `energy`",
    ),
    "two lattice lines": (
        "lattice 0.0 6.0 0.0\n",
        "",
        r"line 1 \(structure 1\).*2 `lattice` lines; expected 3",
    ),
    "four lattice lines": ("lattice 0.0 6.0", "lattice 1 1 1\nlattice 0.0 6.0", "4 `lattice` lines"),
    "singular cell": ("lattice 0.0 6.0 0.0", "lattice 3.0 0.0 0.0", r"structure 1.*volume of the cell is 0"),
    "short lattice line": ("lattice 0.0 6.0 0.0", "lattice 0.0 6.0", "line 4 .*2 values but must have 3"),
    "energy twice": ("energy -1.5", "energy -1.5\nenergy -1.5", r"line 15 \(structure 2\).*given twice"),
    "charge twice": ("charge 0.0", "charge 0.0\ncharge 0.0", "line 10 .*`charge` is given twice"),
    "energy missing": ("energy -1.5\n", "", r"line 11 \(structure 2\).*no `energy` line.*mode 3"),
    "energy without value": ("energy -1.5", "energy", "line 14 .*0 values but must have one number"),
    "energy is text": ("energy -1.5", "energy -1.5eV", "line 14 .*`-1.5eV` is not a number"),
    "energy is nan": ("energy -1.5", "energy NaN", "line 14 .*expected finite numbers"),
    "energy is absurd": ("energy -1.5", "energy 1e308", "line 14 .*finite numbers below 1e.12"),
    "position is absurd": ("5.0 Te", "1e300 Te", r"z is 1e.300, expected a finite number below 1e.12"),
    "position is inf": ("5.0 Te", "inf Te", r"line 13 \(structure 2\): z is inf, expected a finite number"),
    "force is nan": ("0.0 -0.5", "0.0 nan", r"line 13 \(structure 2\): fz is nan"),
    "force is stars": ("0.0 -0.5", "0.0 ******", r"line 13 \(structure 2\): fz is `\*\*\*\*\*\*`"),
    "too few values": (" 0.0 -0.5", "", r"line 13 \(structure 2\).*7 values but must have 9"),
    "too many values": (" -0.5", " -0.5 1", r"line 13 \(structure 2\).*10 values but must have 9"),
    "no forces": ("5.0 Te 0.0 0.0 0.0 0.0 -0.5", "5.0 Te", r"line 13 \(structure 2\).*4 values but must"),
    "no symbol": ("atom 3.0 0.0 0.0 Te", "atom 3.0 0.0 0.0 X1", r"line 7 .*`X1` is not a chemical symbol"),
    "symbol in capitals": ("3.0 0.0 0.0 Te", "3.0 0.0 0.0 TE", "line 7 .*not a chemical symbol; write `Te`"),
    "mistyped atom": ("atom 3.0", "atoms 3.0", "line 7 .*unknown keyword `atoms`; did you mean `atom`"),
    "no end": (
        "charge 0.0\nend\n",
        "charge 0.0\n",
        r"line 1 \(structure 1\).*no `end`, line 10 begins the next",
    ),
    "truncated": (
        "energy -1.5\nend\n",
        "energy",
        r"line 11 \(structure 2\).*the file stops at line 14.*truncated",
    ),
    "no atoms": (
        "atom 0.0 0.0 0.0 Te 0.0 0.0 0.0 0.0 0.5\natom 0.0 0.0 5.0 Te 0.0 0.0 0.0 0.0 -0.5\n",
        "",
        "no `atom`",
    ),
    "outside": ("charge 0.0\nend\n", "end\ncharge 0.0\n", "line 10: `charge 0.0` stands outside a structure"),
    "mistyped begin": ("begin\ncomment", "Begin\ncomment", "line 6: `atom 0.0 .* stands outside a structure"),
    "unknown set": ("begin\ncomment", "begin set=valid\ncomment", "line 1 .*`set=valid`; expected nothing"),
    "stress with five": ("first", 'stress="1 2 3 4 5"', "six finite numbers"),
    "stress of a molecule": ("energy -1.5", 'comment stress="1 2 3 4 5 6"\nenergy -1.5', "no `lattice`"),
    "stress line": (
        "charge 0.0\n",
        'comment\ncomment stress="1 2"\n',
        r"line 10 \(structure 1\): comment: .*six finite",
    ),
    "dipole with two": ("first", 'dipole="1 2"', 'dipole="1 2" has 2 values, expected 3 finite numbers'),
    "dipole line": ("charge 0.0\n", "comment dipole=nan\ncomment x\n", r"line 9 \(structure 1\): comment: d"),
    "Born charges": ("first", 'born_charges="1 2 3 4 5 6 7 8 9"', "has 9 values, expected 18 finite numbers"),
    "weight line": ("charge 0.0\n", "comment weight=-1\ncomment x\n", r"line 9 \(structure 1\): comment: w"),
    "weight": ("first", "weight=-1", "comment: weight=-1 must be zero or positive"),
    "weight text": ("first", "weight=high", "comment: `high` is not a number"),
}


class TestBadInput:
    @pytest.mark.parametrize("case", BAD)
    def test_message(self, tmp_path: Path, case: str) -> None:
        old, new, message = BAD[case]
        assert GOOD.count(old) >= 1
        path = save(tmp_path, GOOD.replace(old, new, 1))
        with pytest.raises(InputError, match=message) as error:
            list(read_structures(path))
        assert str(error.value).startswith("input.data line ")
        with pytest.raises(InputError) as indexed:
            list(StructureFile(path))
        assert str(indexed.value) == str(error.value)

    def test_element_not_in_input_nn(self, tmp_path: Path) -> None:
        path = save(tmp_path, GOOD)
        with pytest.raises(InputError, match=r"line 6 \(structure 1\): element Ge is not among.*\(Sb Te\)"):
            list(read_structures(path, elements=("Sb", "Te")))

    def test_some_atoms_with_forces_and_some_without(self, tmp_path: Path) -> None:
        path = save(tmp_path, GOOD.replace("5.0 Te 0.0 0.0 0.0 0.0 -0.5", "5.0 Te"))
        with pytest.raises(
            InputError, match=r"line 13 \(structure 2\): some atom lines.* end after the symbol"
        ):
            list(read_structures(path, require_labels=False))

    def test_fractional_coordinates(self, tmp_path: Path) -> None:
        atoms = "".join(f"atom {x} 0.5 0.5 Ge\n" for x in (0.1, 0.3, 0.5, 0.9))
        cell = "".join(f"lattice {row}\n" for row in ("9 0 0", "0 9 0", "0 0 9"))
        path = save(tmp_path, f"begin\n{cell}{atoms}end\n")
        with pytest.raises(InputError, match="look like fractional"):
            list(read_structures(path, require_labels=False))

    @pytest.mark.parametrize(("text", "lines"), [("", 0), ("# nothing\n\n", 2), ("some text\n", 1)])
    def test_no_structure(self, tmp_path: Path, text: str, lines: int) -> None:
        with pytest.raises(InputError, match=rf"holds no structure.*\({lines} lines? read\).*bnnp convert"):
            StructureFile(save(tmp_path, text))

    def test_file_missing(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"no such file .* name it with --data"):
            StructureFile(tmp_path / "input.data")

    def test_directory(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="cannot be read: Is a directory"):
            StructureFile(tmp_path)

    def test_compressed(self, tmp_path: Path) -> None:
        path = tmp_path / "input.data"
        path.write_bytes(b"\x1f\x8b\x08 and so on")
        with pytest.raises(InputError, match="compressed; unpack it with gunzip"):
            StructureFile(path)

    def test_byte_order_mark(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="byte order mark"):
            StructureFile(save(tmp_path, "\ufeff" + GOOD))


class TestForcesThatCount:
    def test_others_are_nan_and_written_as_zeros(self, tmp_path: Path) -> None:
        text = GOOD.replace("rock salt, first", "forces=2 energy=none").replace("energy -123.456\n", "")
        first, second = read_structures(save(tmp_path, text))
        assert first.energy is None
        np.testing.assert_array_equal(first.forces, [[np.nan] * 3, [-0.01, -0.02, -0.03]])
        assert second.energy == -1.5
        again = format_structure(first)
        assert "Te 0.1 0.0                    -0.01" in again
        assert np.array_equal(
            next(read_structures(save(tmp_path, again))).forces, first.forces, equal_nan=True
        )

    @pytest.mark.parametrize("text", ["3", "0", "2:1", "1:2:2", "a", "1,,2", "-1"])
    def test_atoms_that_are_not_there(self, text: str, tmp_path: Path) -> None:
        path = save(tmp_path, GOOD.replace("rock salt, first", f"forces={text}"))
        with pytest.raises(InputError, match=r"line 2 \(structure 1\).*forces=.*such as 1:3,6, of 2"):
            list(read_structures(path))

    def test_an_energy_that_is_none_and_there(self, tmp_path: Path) -> None:
        path = save(tmp_path, GOOD.replace("rock salt, first", "energy=none"))
        with pytest.raises(InputError, match="line 2 .*energy=none, but there is an `energy` line"):
            list(read_structures(path))

    def test_a_force_that_counts_must_be_a_number(self) -> None:
        structure = random_structure(1)
        forces = structure.forces.copy()
        forces[2:] = np.nan
        with pytest.raises(NumericalError, match="forces is not finite"):
            format_structure(replace(structure, forces=forces))
        with pytest.raises(NumericalError, match="forces is not finite"):
            format_structure(replace(structure, forces=forces, info={"forces": "1:3"}))
        assert "forces=1:2" in format_structure(replace(structure, forces=forces, info={"forces": "1:2"}))
