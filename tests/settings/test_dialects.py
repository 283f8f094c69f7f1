"""RuNNer and n2p2 give the same line another meaning: each is read as its own program does."""

from __future__ import annotations

from pathlib import Path

import pytest

from bnnp.errors import InputError
from bnnp.network.architecture import Architecture
from bnnp.settings.settings import Settings, load_settings

BASE = """\
number_of_elements 2
elements H O
global_hidden_layers_short {layers}
global_nodes_short {nodes}
global_activation_short {letters}
scale_symmetry_functions
random_seed 1
test_fraction 0.1
epochs 5
global_symfunction_short 2 0.01 0.0 12.0
"""
RUNNER = "runner_mode 2"


def load(folder: Path, *lines: str, layers: int = 2, mode: int = 2) -> Settings:
    nodes = " ".join(["15", "12", "9"][:layers])
    letters = " ".join(["t"] * layers + ["l"])
    path = folder / "input.nn"
    path.write_text(BASE.format(layers=layers, nodes=nodes, letters=letters) + "\n".join(lines) + "\n")
    return load_settings(path, mode)


@pytest.mark.parametrize("mark", ["runner_mode 2", "nn_type_short 1", "use_short_nn"])
def test_runner_is_known_by_its_mandatory_keywords(tmp_path: Path, mark: str) -> None:
    assert load(tmp_path).dialect == "n2p2"
    assert load(tmp_path, mark).dialect == "RuNNer"


# free-atom energies

ENERGIES = ("atom_energy H -0.5", "atom_energy O -75.0")
NONE = {"H": 0.0, "O": 0.0}


def test_in_runner_remove_atom_energies_switches_them_on(tmp_path: Path) -> None:
    settings = load(tmp_path, RUNNER, "remove_atom_energies", *ENERGIES)
    assert settings.model.atom_energies == {"H": -0.5, "O": -75.0}
    assert settings.warnings == ()


def test_in_runner_they_do_nothing_alone_and_that_is_said(tmp_path: Path) -> None:
    settings = load(tmp_path, RUNNER, *ENERGIES)
    assert settings.model.atom_energies == NONE
    assert "NO effect" in settings.warnings[0]


def test_in_n2p2_they_act_alone(tmp_path: Path) -> None:
    settings = load(tmp_path, *ENERGIES)
    assert settings.model.atom_energies == {"H": -0.5, "O": -75.0}
    assert settings.warnings == ()


def test_in_n2p2_a_missing_one_is_zero_and_that_is_said(tmp_path: Path) -> None:
    settings = load(tmp_path, ENERGIES[0])
    assert settings.model.atom_energies == {"H": -0.5, "O": 0.0}
    assert "no atom_energy for O" in settings.warnings[0]


def test_in_runner_a_missing_one_stops(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no atom_energy for O"):
        load(tmp_path, "remove_atom_energies", ENERGIES[0])


@pytest.mark.parametrize(
    ("line", "message"),
    [("atom_energy H -0.4", "already for H"), ("atom_energy C -37.8", "is given for `C`")],
)
def test_wrong_free_atoms(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(tmp_path, *ENERGIES, line)


# forces in prediction


def test_n2p2_predicts_forces_unasked(tmp_path: Path) -> None:
    assert load(tmp_path, mode=3).prediction.calculate_forces
    assert not load(tmp_path, RUNNER, mode=3).prediction.calculate_forces
    assert load(tmp_path, RUNNER, "calculate_forces", mode=3).prediction.calculate_forces


# networks of single elements


def test_runner_sets_one_layer(tmp_path: Path) -> None:
    settings = load(tmp_path, RUNNER, "element_nodes_short O 2 5")
    assert settings.model.architecture["O"].nodes == (15, 5)
    assert settings.model.architecture["H"].nodes == (15, 12)


def test_n2p2_sets_all_layers(tmp_path: Path) -> None:
    settings = load(tmp_path, "element_nodes_short O 2 12")
    assert settings.model.architecture["O"].nodes == (2, 12)
    assert settings.warnings == ()


def test_n2p2_keeps_the_last_layer_and_that_is_said(tmp_path: Path) -> None:
    settings = load(tmp_path, "element_nodes_short O 25 10")
    assert settings.model.architecture["O"].nodes == (25, 10)
    assert "n2p2 itself keeps 12 nodes" in settings.warnings[0]


def test_where_the_words_decide_the_dialect_does_not_matter(tmp_path: Path) -> None:
    assert load(tmp_path, "element_nodes_short O 3 4", layers=3).model.architecture["O"].nodes == (15, 12, 4)
    assert load(tmp_path, RUNNER, "element_nodes_short O 7 6 9", layers=3).model.architecture["O"].nodes == (
        7,
        6,
        9,
    )


def test_several_lines_of_runner_add_up(tmp_path: Path) -> None:
    settings = load(tmp_path, RUNNER, "element_nodes_short O 1 4", "element_nodes_short O 2 3")
    assert settings.model.architecture["O"].nodes == (4, 3)


def test_fewer_layers(tmp_path: Path) -> None:
    settings = load(tmp_path, "element_hidden_layers_short O 1")
    assert settings.model.architecture["O"] == Architecture((15,), ("t", "l"))
    with pytest.raises(InputError, match="has 3 layers, but must have 1 to 2"):
        load(tmp_path, "element_hidden_layers_short O 3")


def test_activations_in_n2p2(tmp_path: Path) -> None:
    settings = load(tmp_path, "element_activation_short O s p l")
    assert settings.model.architecture["O"].activations == ("s", "p", "l")
    assert settings.model.architecture["H"].activations == ("t", "t", "l")


def test_activations_in_runner_name_every_node(tmp_path: Path) -> None:
    lines = [f"element_activation_short O 2 {node} s" for node in range(1, 13)]
    assert load(tmp_path, RUNNER, *lines).model.architecture["O"].activations == ("t", "s", "l")
    with pytest.raises(InputError, match="names 11 of the 12 nodes of layer 2"):
        load(tmp_path, RUNNER, *lines[1:])
    with pytest.raises(InputError, match="a layer has one"):
        load(tmp_path, RUNNER, *lines[:3], "element_activation_short O 2 4 t")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("element_nodes_short C 1 5", "expects one of the elements H O first, got `C`"),
        ("element_nodes_short O 3 5", "names layer 3"),
        ("element_nodes_short O 1 0", "at least 1"),
        ("element_nodes_short O 1 x", "expects an integer"),
        ("element_nodes_short O 1 2 3", "expects 2 integers"),
        ("element_activation_short O 1 16 t", "names node 16 of layer 1"),
        ("element_activation_short O t l", "expected 3"),
    ],
)
def test_wrong_element_lines(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(tmp_path, RUNNER, line)


# switches


@pytest.mark.parametrize("word", [".false.", ".FALSE.", "false", "F", ".f.", "no", "off"])
def test_a_switch_that_is_off_is_as_if_it_were_not_there(tmp_path: Path, word: str) -> None:
    lines = ("normalize_nodes", "remove_atom_energies", "center_symmetry_functions", "repeated_energy_update")
    settings = load(tmp_path, *ENERGIES, *(f"{line} {word}" for line in lines))
    plain = load(tmp_path, *ENERGIES)
    assert settings.model == plain.model
    assert (settings.kalman, settings.dialect) == (plain.kalman, "n2p2")
    assert not any(settings.given(line) for line in lines)


@pytest.mark.parametrize("word", [".true.", ".TRUE.", "True", "t", "yes", "on", ""])
def test_a_switch_that_is_on_is_on(tmp_path: Path, word: str) -> None:
    settings = load(tmp_path, RUNNER, f"remove_atom_energies {word}", *ENERGIES, f"normalize_nodes {word}")
    assert settings.model.atom_energies == {"H": -0.5, "O": -75.0}
    assert settings.model.normalize_nodes


def test_forces_of_prediction_can_be_switched_off_in_an_n2p2_input(tmp_path: Path) -> None:
    settings = load(tmp_path, "calculate_forces .false.", mode=3)
    assert not settings.prediction.calculate_forces
    assert settings.origins["calculate_forces"].endswith("line 11")


def test_what_is_always_on_is_not_switched_off_in_silence(tmp_path: Path) -> None:
    assert load(tmp_path, "mix_all_points .false.").ignored == ("mix_all_points",)
    assert load(tmp_path, "mix_all_points .true.").ignored == ()


# dropout


@pytest.mark.parametrize(
    "line",
    ["updater_type 1", "kalman_lambda_short 0.98", "short_force_fraction 0.1", "optmode_short_energy 3"]
    + ["repeated_energy_update", "gradient_adam_eta 1e-3", "mix_all_points"],
)
def test_words_of_other_programs_mean_a_training_without_dropout(tmp_path: Path, line: str) -> None:
    settings = load(tmp_path, line)
    assert settings.dropout.dropout_rate == (0.0, 0.0)
    assert not settings.given("dropout_rate")
    assert f"`{line.split()[0]}` is in line 11" in settings.origins["dropout_rate"]
    for own in ("dropout_rate 0.05", "optimizer kalman", "mc_samples 50"):
        assert load(tmp_path, line, own).dropout.dropout_rate == (0.05, 0.05)


def test_marks_of_runner_alone_leave_the_dropout(tmp_path: Path) -> None:
    assert load(tmp_path, RUNNER, "nn_type_short 1", "use_short_nn").dropout.dropout_rate == (0.05, 0.05)
