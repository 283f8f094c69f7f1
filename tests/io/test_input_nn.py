"""input.nn: lines and comments when reading; a finished potential survives writing."""

from __future__ import annotations

from pathlib import Path

import pytest

from bnnp.descriptors.cutoffs import Cutoff
from bnnp.descriptors.functions import parse_function
from bnnp.descriptors.scaling import ScalingScheme
from bnnp.errors import InputError
from bnnp.io.input_nn import read_input_nn, write_input_nn
from bnnp.model import Model
from bnnp.network.architecture import Architecture
from bnnp.settings.settings import load_settings


def test_comments_and_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "input.nn"
    path.write_text(
        "# a title\n\n  epochs\t10 # ten\n!old\ncutoff_type 1!2\n#epochs 5\n   \nuse_short_forces\n"
    )
    entries = read_input_nn(path)
    assert [(line.name, line.words, line.number) for line in entries] == [
        ("epochs", ("10",), 3),
        ("cutoff_type", ("1",), 5),
        ("use_short_forces", (), 8),
    ]
    assert entries[0].text == "  epochs\t10 # ten"
    assert entries[0].where == f"{path} line 3"


def test_line_ends_and_byte_order_mark_of_windows(tmp_path: Path) -> None:
    path = tmp_path / "input.nn"
    path.write_bytes(b"\xef\xbb\xbfepochs 10\r\nelements H O\r\n")
    assert [(line.name, line.words) for line in read_input_nn(path)] == [
        ("epochs", ("10",)),
        ("elements", ("H", "O")),
    ]


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such file.*--input"):
        read_input_nn(tmp_path / "input.nn")


def test_a_directory_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_input_nn(tmp_path)


def test_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "input.nn"
    path.write_text("# nothing\n")
    with pytest.raises(InputError, match="has no keyword"):
        read_input_nn(path)


def test_binary_file(tmp_path: Path) -> None:
    path = tmp_path / "input.nn"
    path.write_bytes(b"epochs 1\n\x89HDF\xff")
    with pytest.raises(InputError, match="not a text file"):
        read_input_nn(path)


def test_comment_in_latin_1(tmp_path: Path) -> None:
    """Byte by byte every character of Latin-1 may stand in a comment, its control characters too."""
    path = tmp_path / "input.nn"
    high = bytes(range(0x80, 0x100))
    path.write_bytes(b"epochs 1 # 6 \xc5 cutoff \x85 " + high + b"\nelements H ! J\xf6rg\n")
    assert [(line.name, line.words, line.number) for line in read_input_nn(path)] == [
        ("epochs", ("1",), 1),
        ("elements", ("H",), 2),
    ]


@pytest.mark.parametrize("line", [b"epochs \xb2", "élements H".encode(), b"epochs 1\x00"])
def test_strange_letters_outside_comments_are_refused(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "input.nn"
    path.write_bytes(b"elements H\n" + line + b"\n")
    with pytest.raises(InputError, match="line 2: is not a text file, or"):
        read_input_nn(path)


@pytest.mark.parametrize("kind", ["none", "scale", "center", "both", "sigma"])
def test_a_written_potential_reads_back_as_it_was(tmp_path: Path, kind: str) -> None:
    lines = {
        "H": ["H 9 O H 0.1234567890123456 -1 4 9.7", "H 2 O 0.05 1.0 12.0"],
        "O": ["O 3 H H 0.005 1 1 12.0", "O 20 H -1.5 8 p2a"],
    }
    functions = {
        element: tuple(parse_function(text.split()) for text in texts) for element, texts in lines.items()
    }
    network = Architecture((5, 4), ("t", "p", "l"))
    path = tmp_path / "input.nn"
    model = Model(
        functions,
        Cutoff(6, 0.25),
        ScalingScheme(kind, -1.0, 1.0),
        normalize_nodes=True,
        atom_energies={"H": -0.45890771 / 3.0, "O": 0.0},
    )
    write_input_nn(path, model, network, comment="made by a test")
    settings = load_settings(path, 3)
    assert settings.dialect == "n2p2"
    assert settings.model.elements == ("H", "O")
    assert settings.model.cutoff == Cutoff(6, 0.25)
    assert settings.model.scaling == ScalingScheme(kind, -1.0, 1.0)
    assert settings.model.architecture == {"H": network, "O": network}
    assert settings.model.normalize_nodes
    assert settings.model.atom_energies == {"H": -0.45890771 / 3.0, "O": 0.0}
    assert {element: set(found) for element, found in settings.model.functions.items()} == {
        element: set(given) for element, given in functions.items()
    }


def test_written_functions_are_in_the_order_of_n2p2(tmp_path: Path) -> None:
    """Type first, then cutoff, eta: other programs may not sort."""
    texts = ["H 3 H H 0.01 1 1 12", "H 2 H 0.5 0 12", "H 2 H 0.5 0 10", "H 2 H 0.01 0 12"]
    path = tmp_path / "input.nn"
    functions = {"H": tuple(parse_function(text.split()) for text in texts)}
    write_input_nn(path, Model(functions, Cutoff(1), ScalingScheme("scale")), Architecture((2,), ("t", "l")))
    written = [" ".join(e.words) for e in read_input_nn(path) if e.name == "symfunction_short"]
    assert written == [texts[2], texts[3], texts[1], texts[0]]
