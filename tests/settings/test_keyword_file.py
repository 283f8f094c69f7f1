"""Mistakes in input.nn: each is named with file, line, the offending line and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from bnnp.errors import InputError
from bnnp.settings.keyword_file import KeywordFile


def complain(folder: Path, text: str) -> str:
    """The message `text` gets as an input.nn."""
    path = folder / "input.nn"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        KeywordFile(path)
    return str(error.value)


def test_unknown_keyword_names_the_nearest(tmp_path: Path) -> None:
    message = complain(tmp_path, "epochs 3\ncutof_type 1  # cosine\n")
    assert "input.nn line 2: `cutof_type` is not a keyword; did you mean `cutoff_type`?" in message
    assert "    cutof_type 1  # cosine" in message


def test_unknown_keyword_without_anything_near(tmp_path: Path) -> None:
    message = complain(tmp_path, "xyzzy 1\n")
    assert "did you mean" not in message
    assert "`bnnp --keywords`" in message


def test_capital_letters_are_another_keyword(tmp_path: Path) -> None:
    assert "did you mean `epochs`?" in complain(tmp_path, "Epochs 3\n")


def test_repeated_keyword_names_the_first_line(tmp_path: Path) -> None:
    message = complain(tmp_path, "epochs 3\nrandom_seed 1\nepochs 3\n")
    assert "line 3: `epochs` is there already, in line 1" in message


def test_synonyms_count_as_repetition(tmp_path: Path) -> None:
    message = complain(tmp_path, "short_energy_fraction 1\nenergy_fraction 1\n")
    assert "line 2: `energy_fraction` is there already, in line 1 as `short_energy_fraction`" in message


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("epochs ten", "expects an integer, got `ten`. Usage: epochs n"),
        ("epochs 1.5", "expects an integer, got `1.5`"),
        ("epochs", "expects one integer, got nothing"),
        ("epochs 10 and more", "expects one integer, got 3 words"),
        ("test_fraction 1.0", "is 1.0 but must be smaller than 1.0"),
        ("learning_rate 0", "is 0.0 but must be larger than 0.0"),
        ("learning_rate 1e-3x", "expects a number, got `1e-3x`"),
        ("units si", "expects one of atomic, metal, got `si`"),
        ("use_short_forces 1.0", "takes no argument but .true. or .false., got `1.0`"),
        ("use_short_forces .true. .false.", "got `.true. .false.`"),
        ("nn_type_short 2", "pair networks"),
        ("nnp_gen 5", "expects 2, 3 or 4"),
        ("cutoff_type 12", "is 12 but must be at most 8"),
        ("memory_limit lots", "expects a size such as `4 GB`"),
        ("atom_energy H", "expects an element and a number, got 1 word"),
        ("global_nodes_short 15 0", "is 0 but must be at least 1"),
    ],
)
def test_wrong_arguments(tmp_path: Path, line: str, expected: str) -> None:
    message = complain(tmp_path, f"random_seed 1\n{line}\n")
    assert "input.nn line 2" in message
    assert expected in message
    assert f"    {line}" in message


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("pairsymfunction_short H O 1 2 3", "no pair networks"),
        ("use_vdw", "van der Waals"),
        ("nn_type 1", "write `nn_type_short 1`"),
        ("global_output_nodes_short 1", "remove the line"),
    ],
)
def test_refused_keywords_give_the_reason(tmp_path: Path, line: str, reason: str) -> None:
    assert reason in complain(tmp_path, line + "\n")


@pytest.mark.parametrize(
    "line",
    [
        "runner_mode train",
        "fc_cosine 1 0.0 12.0",
        "default_nodes 15 15",
        "scale_feature_maps",
        'optimizer "1 kalman nue=0.99 lambda=0.98"',
    ],
)
def test_runner_2_is_recognized_before_anything_else(tmp_path: Path, line: str) -> None:
    message = complain(tmp_path, f"no_such_keyword\nepochs ten\n{line}\n")
    assert "` is refused: this looks like a RuNNer 2 input" in message
    assert "line 3" in message
    assert "no_such_keyword" not in message


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    message = complain(tmp_path, "epochs ten\nuse_vdw\nno_such_keyword\n")
    assert [f"line {number}" in message for number in (1, 2, 3)] == [True, True, True]


def test_very_many_mistakes_are_cut_short(tmp_path: Path) -> None:
    message = complain(tmp_path, "\n".join(f"mistake{k}" for k in range(25)))
    assert "... and 15 more mistakes" in message


def test_values_and_lines(tmp_path: Path) -> None:
    path = tmp_path / "input.nn"
    path.write_text("symfunction H 2 H 0.1 0 6\nlearning_rate 1.0d-3\nsymfunction_short H 2 H 0.2 0 6\n")
    entries = KeywordFile(path)
    assert entries.value("learning_rate") == 1e-3
    assert entries.value("batch_size") == 4
    assert [line.number for line in entries.of("symfunction_short")] == [1, 3]
    assert entries.names() == ("symfunction_short", "learning_rate")


def test_a_switch_off_and_on_is_a_repetition(tmp_path: Path) -> None:
    for first, second in ((" .false.", ""), ("", " .false.")):
        text = f"random_seed 1\nnormalize_nodes{first}\nnormalize_nodes{second}\n"
        assert "is there already, in line 2" in complain(tmp_path, text)
