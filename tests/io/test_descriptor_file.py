"""symmetry_functions.h5: what is written is read back, killed runs continue, wrong files are refused."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest

from bnnp.descriptors.compiled import Descriptor
from bnnp.descriptors.cutoffs import Cutoff
from bnnp.descriptors.functions import parse_function, sort_functions
from bnnp.descriptors.neighbors import find_neighbors
from bnnp.descriptors.survey import element_types, survey
from bnnp.errors import InputError, OutputError, StaleFileError
from bnnp.io import descriptor_writer
from bnnp.io.descriptor_allocation import Placement, demand_writable, finish, prepare, unfinished_name
from bnnp.io.descriptor_file import DescriptorFile
from bnnp.io.descriptor_layout import DescriptorLayout
from bnnp.io.descriptor_writer import DescriptorWriter
from bnnp.model import Model
from bnnp.structure import Structure
from bnnp.units import ATOMIC, METAL, Units

ELEMENTS = ("H", "O", "Cu")  # Cu occurs in no structure
COSINE = Cutoff(1, 0.0)
LINES = {
    "H": ("H 2 H 0.1 0 6", "H 2 O 0.1 0 6", "H 3 O O 0.01 1 2 6"),
    "O": ("O 2 H 0.1 0 6", "O 3 H H 0.01 1 1 6", "O 9 H O 0.01 -1 4 6", "O 2 O 0.3 0 6"),
    "Cu": ("Cu 2 O 0.1 0 6",),
}


def model(
    units: Units = ATOMIC, cutoff: Cutoff = COSINE, lines: Mapping[str, Sequence[str]] = LINES
) -> Model:
    functions = {x: sort_functions(parse_function(line.split()) for line in lines[x]) for x in ELEMENTS}
    return Model(functions, cutoff, units=units)


def random_structures() -> list[Structure]:
    """Periodic and free, with and without forces and stress, a lone atom last."""
    rng = np.random.default_rng(8)
    found = []
    for index, n_atoms in enumerate((7, 12, 3, 1)):
        periodic = index % 2 == 0
        found.append(
            Structure(
                numbers=rng.choice([1, 8], n_atoms),
                positions=rng.uniform(0.0, 7.0, (n_atoms, 3)),
                cell=np.diag(rng.uniform(7.0, 8.0, 3)) if periodic else None,
                energy=float(rng.normal()),
                forces=rng.normal(size=(n_atoms, 3)) if index else None,
                stress=rng.normal(size=6) if periodic else None,
                info={"weight": str(1.0 + index)},
                index=2 * index,
            )
        )
    return found


def features(structure: Structure, descriptor: Descriptor, stored: bool) -> Sequence[Any]:
    types = element_types(structure, ELEMENTS)
    pairs = find_neighbors(structure.positions, structure.cell, 6.0, structure.numbers)
    values = descriptor.values(types, pairs)
    return (types, values, pairs, descriptor.jacobian(types, pairs)) if stored else (types, values)


def layout_of(structures: list[Structure], stored: bool, digest: str = "abc") -> DescriptorLayout:
    own = model()
    descriptor = own.descriptor()
    table = np.array([survey(structure, ELEMENTS, 6.0, {}) for structure in structures])
    return DescriptorLayout(
        model=own,
        input_digest=digest,
        stored=stored,
        source=np.array([structure.index for structure in structures]),
        subset=np.array([0, 1, 0, 0], dtype=np.uint8),
        group=np.array([0, 1, 1, 0], dtype=np.int32),
        groups=("", "aimd"),
        n_atoms=table["n_atoms"],
        n_pairs=table["n_pairs"],
        n_sensitive=np.array([[len(descriptor.sensitive(x, y)) for y in ELEMENTS] for x in ELEMENTS]),
    )


def write(path: Path, structures: list[Structure], layout: DescriptorLayout, order: Sequence[int]) -> None:
    """Write the structures in some order."""
    descriptor = Descriptor(ELEMENTS, layout.model.functions, layout.model.cutoff)
    with DescriptorWriter(prepare(path, layout), layout) as writer:
        for number in order:
            writer.write(number, structures[number], *features(structures[number], descriptor, layout.stored))


def complete(path: Path, stored: bool = True) -> list[Structure]:
    structures = random_structures()
    layout = layout_of(structures, stored)
    write(path, structures, layout, range(4))
    finish(path, layout)
    return structures


@pytest.mark.parametrize("stored", [True, False])
def test_round_trip(tmp_path: Path, stored: bool) -> None:
    """Every number comes back exactly; pairs and blocks too, read or recomputed."""
    structures = complete(tmp_path / "f.h5", stored)
    descriptor = Descriptor(ELEMENTS, model().functions, Cutoff(1, 0.0))
    with DescriptorFile.open(tmp_path / "f.h5", model()) as file:
        assert file.derivatives == ("stored" if stored else "recomputed")
        assert file.n_atoms.tolist() == [7, 12, 3, 1]
        assert file.source.tolist() == [0, 2, 4, 6]
        assert file.groups == ("", "aimd")
        assert file.weight.tolist() == [1.0, 2.0, 3.0, 4.0]
        assert file.descriptors("Cu").shape == (0, 1)
        for i, structure in enumerate(structures):
            types, values, pairs, blocks = features(structure, descriptor, stored=True)
            assert file.energy[i] == structure.energy
            np.testing.assert_array_equal(file.types[file.atoms(i)], types)
            np.testing.assert_array_equal(file.positions[file.atoms(i)], structure.positions)
            forces = np.full((len(structure), 3), np.nan) if structure.forces is None else structure.forces
            np.testing.assert_array_equal(file.forces[file.atoms(i)], forces)
            np.testing.assert_array_equal(
                file.stress[i], np.full(6, np.nan) if structure.stress is None else structure.stress
            )
            cell = file.periodic_cell(i)
            assert (cell is None) == (structure.cell is None)
            for x, element in enumerate(ELEMENTS):
                width = len(model().functions[element])
                got = file.descriptors(element)[file.rows(i, element)]
                np.testing.assert_array_equal(got, values[types == x, :width])
            got = file.pairs(i)
            for name in ("first", "centers", "neighbors", "vectors"):
                np.testing.assert_array_equal(getattr(got, name), getattr(pairs, name))
            if stored:
                np.testing.assert_array_equal(file.blocks(i), blocks)


def test_bytes_do_not_depend_on_order_or_interruption(tmp_path: Path) -> None:
    """Written in one go; backwards; in two runs with a structure half done in between."""
    structures = random_structures()
    layout = layout_of(structures, stored=True)
    for name, parts in {"a": [range(4)], "b": [[3, 1, 2, 0]], "c": [[2], [0, 1, 3]]}.items():
        path = tmp_path / name
        for part in parts:
            write(path, structures, layout, part)
        finish(path, layout)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == (tmp_path / "c").read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a", "b", "c"]


def test_size_is_what_was_announced(tmp_path: Path) -> None:
    for stored in (True, False):
        path = tmp_path / str(stored)
        complete(path, stored)
        layout = layout_of(random_structures(), stored)
        with h5py.File(path, "r") as file:
            sizes: list[int] = []
            file.visititems(lambda _, item, sizes=sizes: sizes.append(getattr(item, "nbytes", 0)))
        assert sum(sizes) == layout.bytes


def test_only_marked_structures_count_as_done(tmp_path: Path) -> None:
    structures, path = random_structures(), tmp_path / "f.h5"
    layout = layout_of(structures, stored=True)
    write(path, structures, layout, [1])
    assert prepare(path, layout).done.tolist() == [False, True, False, False]
    with pytest.raises(OutputError, match="lacks 3 structures"):
        finish(path, layout)
    assert not path.exists()


@pytest.mark.parametrize("change", ["digest", "derivatives", "division", "damage"])
def test_unfinished_file_of_other_input_is_not_continued(tmp_path: Path, change: str) -> None:
    structures, path = random_structures(), tmp_path / "f.h5"
    layout = layout_of(structures, stored=True)
    write(path, structures, layout, [0, 1])
    if change == "digest":
        layout = layout_of(structures, stored=True, digest="other")
    elif change == "derivatives":
        layout = layout_of(structures, stored=False)
    elif change == "division":
        layout.subset[0] = 1
        vars(layout).pop("key")
    else:
        unfinished_name(path).write_bytes(b"\x00" * 1000)
    assert not prepare(path, layout).done.any()


def test_former_complete_file_stays_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    path.write_text("former")
    structures = random_structures()
    layout = layout_of(structures, stored=True)
    write(path, structures, layout, [0, 1, 2])
    assert path.read_text() == "former"
    write(path, structures, layout, [3])
    finish(path, layout)
    assert h5py.is_hdf5(path)


def test_full_disk(tmp_path: Path) -> None:
    """/dev/full takes no byte: the error says so, and no structure is marked."""
    layout = layout_of(random_structures(), stored=True)
    placement = prepare(tmp_path / "f.h5", layout)
    full = Placement(Path("/dev/full"), placement.offsets, placement.done)
    descriptor = Descriptor(ELEMENTS, layout.model.functions, layout.model.cutoff)
    structure = random_structures()[0]
    with (
        pytest.raises(OutputError, match="No space left on device"),
        DescriptorWriter(full, layout) as writer,
    ):
        writer.write(0, structure, *features(structure, descriptor, stored=True))


def test_too_little_space_is_told_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bnnp.io import descriptor_allocation

    monkeypatch.setattr(descriptor_allocation.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(OutputError, match="needs 0.0 MB but .* has 0.0 MB left"):
        prepare(tmp_path / "f.h5", layout_of(random_structures(), stored=True))
    assert list(tmp_path.iterdir()) == []


def test_data_is_on_disk_before_its_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of system calls: data, fsync, mark. A mark without data would survive a crash."""
    layout = layout_of(random_structures(), stored=True)
    placement = prepare(tmp_path / "f.h5", layout)
    marks = placement.offsets["structures/done"]
    calls: list[str] = []
    real_write, real_sync = descriptor_writer.os.pwrite, descriptor_writer.os.fsync

    def pwrite(file: int, data: bytes, offset: int) -> int:
        calls.append("mark" if marks <= offset < marks + 4 else "data")
        return real_write(file, data, offset)

    def fsync(file: int) -> None:
        calls.append("sync")
        real_sync(file)

    monkeypatch.setattr(descriptor_writer.os, "pwrite", pwrite)
    monkeypatch.setattr(descriptor_writer.os, "fsync", fsync)
    write(tmp_path / "f.h5", random_structures(), layout, [0])
    order = "".join(call[0] for call in calls)
    assert re.fullmatch("s?d+sms", order)  # the first when the root prepares the file


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not found in .*; run mode 1 first"):
        DescriptorFile.open(tmp_path / "f.h5", model())


def test_directory_of_the_same_name(tmp_path: Path) -> None:
    """Found before anything is computed, in both modes."""
    (tmp_path / "f.h5").mkdir()
    with pytest.raises(OutputError, match="Is a directory. Move away or rename"):
        demand_writable(tmp_path / "f.h5")
    with pytest.raises(InputError, match="is a directory; move it away"):
        DescriptorFile.open(tmp_path / "f.h5", model())


def test_interrupted_file(tmp_path: Path) -> None:
    prepare(tmp_path / "f.h5", layout_of(random_structures(), stored=True))
    with pytest.raises(StaleFileError, match="interrupted; run mode 1 again"):
        DescriptorFile.open(tmp_path / "f.h5", model())
    unfinished_name(tmp_path / "f.h5").rename(tmp_path / "f.h5")
    with pytest.raises(StaleFileError, match="incomplete; run mode 1 again"):
        DescriptorFile.open(tmp_path / "f.h5", model())


def test_other_settings_are_named(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    complete(path)
    fewer = model(lines=LINES | {"H": LINES["H"][:2]})
    other = model(lines=LINES | {"O": ("O 2 H 0.2 0 6",)})
    for other_model, text in (
        (model(units=METAL), "units atomic instead of metal"),
        (fewer, "3 functions of H instead of 2: it has functions that input.nn lacks"),
        (other, "`symfunction_short O 2 H 0.2 0 6` is not in it"),
        ("another fingerprint", "other settings than input.nn has now"),
    ):
        with pytest.raises(StaleFileError, match=text):
            DescriptorFile.open(path, other_model)


@pytest.mark.parametrize("damage", ["text", "truncated", "version", "foreign"])
def test_wrong_files(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "f.h5"
    complete(path)
    if damage == "text":
        path.write_text("nothing")
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:5000])
    else:
        with h5py.File(path, "r+") as file:
            file.attrs["version" if damage == "version" else "format"] = 99
    expected = {
        "version": "format version 99 but this bnnp reads version 1",
        "foreign": "not written by bnnp",
    }
    with pytest.raises(StaleFileError, match=expected.get(damage, "damaged")):
        DescriptorFile.open(path, model())


def contents(path: Path) -> list[Any]:
    """All that a training or a calibration reads."""
    with DescriptorFile.open(path, model()) as file:
        found: list[Any] = [file.source, file.subset, file.group, file.energy, file.stress, file.cell]
        found += [file.weight, file.types, file.positions[:], file.forces[:], file.groups]
        found += [file.descriptors(element)[:] for element in ELEMENTS]
        for structure in range(len(file)):
            found += [*vars(file.pairs(structure)).values(), file.blocks(structure)]
    return found


def same(one: list[Any], two: list[Any]) -> bool:
    return all(
        np.array_equal(a, b, equal_nan=np.asarray(a).dtype.kind == "f") for a, b in zip(one, two, strict=True)
    )


def test_a_flipped_byte_changes_nothing_or_is_refused(tmp_path: Path) -> None:
    """In headers, tables, labels, symmetry functions, pairs and derivatives."""
    path = tmp_path / "symmetry_functions.h5"
    complete(path)
    original, expected = path.read_bytes(), contents(path)
    rng = np.random.default_rng(3)
    refused = 0
    for place in rng.integers(len(original), size=100).tolist():
        damaged = bytearray(original)
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            found = contents(path)
        except StaleFileError:
            refused += 1
        else:
            assert same(found, expected), f"byte {place}"
    assert refused > 30  # many bytes of the headers have no meaning


@pytest.mark.parametrize(
    "name", ["structures/energy", "atoms/force", "descriptors/O", "pairs/vector", "derivatives/blocks"]
)
def test_a_wrong_number_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / "symmetry_functions.h5"
    complete(path)
    with h5py.File(path, "r+") as file:
        file[name][-1] += 1.0
    with pytest.raises(StaleFileError, match=f"the checksum of {name} of structure [57] of input.data"):
        contents(path)


def test_files_without_checksums_are_read(tmp_path: Path) -> None:
    """As bnnp 0.2 wrote them."""
    path = tmp_path / "symmetry_functions.h5"
    complete(path)
    expected = contents(path)
    with h5py.File(path, "r+") as file:
        del file["structures/checksum"]
    assert same(contents(path), expected)
