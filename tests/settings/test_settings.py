"""Settings: what the keywords mean together, for genuine files and for every mistake."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from pathlib import Path

import ase.units
import pytest

from bnnp.descriptors.cutoffs import Cutoff
from bnnp.descriptors.scaling import ScalingScheme
from bnnp.errors import InputError
from bnnp.network.architecture import Architecture
from bnnp.settings.arguments import Every
from bnnp.settings.keywords.descriptors import DescriptorSettings
from bnnp.settings.settings import Settings, load_settings
from bnnp.units import Normalization

BASE = """\
number_of_elements 2
elements O H
cutoff_type 1
global_hidden_layers_short 2
global_nodes_short 15 10
global_activation_short t s l
scale_symmetry_functions
random_seed 1
test_fraction 0.1
epochs 5
symfunction_short H 2 H 0.01 0.0 12.0
symfunction_short H 3 H O 0.005 -1.0 4.0 12.0
symfunction_short O 2 H 0.01 0.0 12.0
"""

Load = Callable[..., Settings]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Settings of BASE with more lines, and with lines that start with certain words removed."""

    def loader(*lines: str, without: tuple[str, ...] = (), mode: int | None = 2, **options: bool) -> Settings:
        kept = (
            [line for line in BASE.splitlines() if not line.startswith(without)]
            if without
            else BASE.splitlines()
        )
        path = tmp_path / "input.nn"
        path.write_text("\n".join([*kept, *lines]) + "\n")
        return load_settings(path, mode, **options)

    return loader


# genuine files


def test_n2p2_training_file_of_water(shared: Path) -> None:
    """Values as they stand in the file, and n2p2's Kalman filter."""
    settings = load_settings(shared / "data" / "h2o" / "input.nn", 2)
    assert settings.dialect == "n2p2"
    assert settings.model.elements == ("H", "O")
    assert {element: len(functions) for element, functions in settings.model.functions.items()} == {
        "H": 27,
        "O": 30,
    }
    assert settings.model.cutoff == Cutoff(2, 0.0)
    assert settings.model.scaling == ScalingScheme("both", 0.0, 1.0)
    assert settings.model.architecture["O"] == Architecture((25, 25), ("t", "t", "l"))
    assert settings.model.atom_energies == {"H": -0.45890771, "O": -74.94518524}
    assert settings.model.normalization == Normalization(
        -2.3353824022135491e-01, 8.5167544626563699e02, 2.2798325235535355e01
    )
    assert settings.training.force_weight == 10.0
    assert settings.prediction.calculate_forces
    assert settings.output.write_trainpoints == Every(1)
    assert settings.training.optimizer == "kalman"
    assert settings.kalman.kalman_updates == "n2p2"
    assert settings.kalman.kalman_covariance == "full"
    assert settings.kalman.short_force_fraction == 0.0041
    assert settings.warnings == ()
    assert {"gradient_eta", "parallel_mode"} <= set(settings.ignored)


# number of functions: lines of symfunction_short in each file
REFERENCES = {"H2O_RPBE-D3": (27, 30), "gete_n2p2": (60, 60), "sio2_70": (70, 70), "water_28": (28, 30)}


@pytest.mark.parametrize("name", REFERENCES)
def test_reference_files_load_unchanged(shared: Path, name: str) -> None:
    path = shared / "reference" / name / "input.nn"
    settings = load_settings(path, 3)
    written = [
        line.split()[1] for line in path.read_text().splitlines() if line.startswith("symfunction_short")
    ]
    assert {x: len(functions) for x, functions in settings.model.functions.items()} == {
        x: written.count(x) for x in settings.model.elements
    }


def test_reference_files_of_all_types_load_unchanged(shared: Path) -> None:
    paths = sorted((shared / "reference" / "sfmix").glob("*/input.nn"))
    assert paths
    for path in paths:
        settings = load_settings(path, 3)
        _, kind, number, _, alpha = (
            (*path.parent.name.split("_"), "")[:5] if "cutoff" in path.parent.name else "_____"
        )
        if kind == "type":
            assert settings.model.cutoff == Cutoff(int(number), float(alpha))


def test_order_of_functions_is_that_of_n2p2(shared: Path) -> None:
    """n2p2's own listing of the sorted functions stands beside its input; last column: line in the file."""
    for folder in sorted((shared / "reference" / "sfmix").iterdir()):
        settings = load_settings(folder / "input.nn", 3)
        listing = (folder / "ref_symfunc_order.txt").read_text().splitlines()
        rows = [line.split() for line in listing if not line.startswith("#") and "nSF" not in line]
        for element in settings.model.elements:
            lines = [int(row[-1]) for row in rows if row[1] == element]
            assert [function.line for function in settings.model.functions[element]] == lines, folder.name


# the mode


def test_option_wins_over_runner_mode(load: Load) -> None:
    assert load("runner_mode 1", mode=3).mode == 3
    assert load("runner_mode 1", mode=3).origins["runner_mode"] == "--mode"
    settings = load("runner_mode 1", mode=None)
    assert settings.mode == 1
    assert settings.origins["runner_mode"].endswith("line 14")


def test_no_mode_at_all(load: Load) -> None:
    with pytest.raises(InputError, match="no mode is given"):
        load(mode=None)
    assert load(mode=None, mode_required=False).mode == 0


def test_elements_are_all_that_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "input.nn"
    path.write_text("units metal\nelements Te Ge\n")
    settings = load_settings(path, 1, choosing=True)
    assert settings.chooses_functions
    assert settings.descriptors.most_functions(2) == 80
    assert settings.descriptors.most_functions(1) == 60
    assert settings.model.architecture["Ge"] == Architecture((24, 24), ("p", "p", "l"))
    path.write_text("units metal\n")
    with pytest.raises(InputError, match="input.nn: `elements` is missing"):
        load_settings(path, 1, choosing=True)


def test_layers_and_nodes_follow_each_other(load: Load) -> None:
    networks = load("global_hidden_layers_short 3", without=("global",)).model.architecture
    assert networks["H"] == Architecture((24, 24, 24), ("p", "p", "p", "l"))
    networks = load("global_nodes_short 8", without=("global",)).model.architecture
    assert networks["H"] == Architecture((8,), ("p", "l"))


# functions that mode 1 chooses

CHOSEN = "symfunction_short H 2 O 0.01 0.0 12.0\nsymfunction_short O 2 O 0.02 0.0 12.0\n"


@pytest.mark.parametrize("mode", [2, 3])
def test_functions_of_input_nn_auto(load: Load, tmp_path: Path, mode: int) -> None:
    with pytest.raises(InputError, match=r"has no symmetry function, and there is no input.nn.auto"):
        load(without=("symf",), mode=mode)
    (tmp_path / "input.nn.auto").write_text("# chosen\n" + CHOSEN)
    found = load(without=("symf",), mode=mode).model
    assert [function.definition() for function in found.functions["O"]] == ["O 2 O 0.02 0 12"]
    own = load(mode=mode).model  # functions of input.nn win
    assert [function.definition() for function in own.functions["O"]] == ["O 2 H 0.01 0 12"]


def test_mode_1_chooses_anew_and_check_shows_what_was_chosen(load: Load, tmp_path: Path) -> None:
    assert load(without=("symf",), mode=None, mode_required=False, choosing=True).chooses_functions
    (tmp_path / "input.nn.auto").write_text(CHOSEN)
    assert load(without=("symf",), mode=1, choosing=True).chooses_functions
    assert not load(without=("symf",), mode=None, mode_required=False, choosing=True).chooses_functions
    assert not load(without=("symf",), mode=1).chooses_functions


@pytest.mark.parametrize(("mode", "lines"), [(2, ()), (3, ()), (None, ("runner_mode 2",))])
def test_only_mode_1_may_choose(load: Load, mode: int | None, lines: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="has no symmetry function, and there is no input.nn.auto"):
        load(*lines, without=("symf",), mode=mode, choosing=True)


def test_a_mistake_in_input_nn_auto_names_that_file(load: Load, tmp_path: Path) -> None:
    (tmp_path / "input.nn.auto").write_text(CHOSEN + "symfunction_short H 2 Xx 0.01 0.0 12.0\n")
    with pytest.raises(InputError, match="input.nn.auto line 3: "):
        load(without=("symf",))


def test_chosen_and_own_functions_exclude_each_other(load: Load) -> None:
    with pytest.raises(InputError, match="symmetry_functions` lets mode 1 choose the functions, but line 11"):
        load("symmetry_functions auto")
    assert load("symmetry_functions auto 40", without=("symf",), mode=1, choosing=True).descriptors == (
        DescriptorSettings(symmetry_functions=40)
    )
    for words in ("", "all", "auto 0", "auto 40 2"):
        with pytest.raises(InputError, match="`symmetry_functions` "):
            load(f"symmetry_functions {words}", without=("symf",), mode=1, choosing=True)


# elements


def test_elements_are_sorted_by_atomic_number(load: Load) -> None:
    assert load().model.elements == ("H", "O")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("number_of_elements 3", "elements O H"), "names 2 elements, but number_of_elements in line"),
        (("number_of_elements 2", "elements O Hx"), "`Hx` is not an element symbol"),
        (("number_of_elements 2", "elements O h"), "`h` is not an element symbol"),
        (("number_of_elements 2", "elements O O"), "names an element twice"),
        (("number_of_elements 2", "elements O Lr"), "not an element symbol"),
    ],
)
def test_wrong_elements(load: Load, lines: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(*lines, without=("number", "elements"))


# symmetry functions


def test_file_order_does_not_matter(load: Load, tmp_path: Path) -> None:
    settings = load()
    lines = BASE.splitlines()
    random.Random(3).shuffle(lines)
    path = tmp_path / "shuffled.nn"
    path.write_text("\n".join(lines))
    shuffled = load_settings(path, 2)
    assert shuffled.model.functions == settings.model.functions
    assert shuffled.model.fingerprint == settings.model.fingerprint


def test_element_and_global_forms_are_expanded(load: Load) -> None:
    """Radial: one for each neighbor; angular: one for each unordered pair; weighted: one."""
    settings = load(
        "element_symfunction_short O 9 0.1 1 2 6.0",
        "global_symfunction_short 2 0.2 0 6.0",
        "global_symfunction_short 12 1 0 6",
    )
    new = [f for f in settings.model.functions["O"] if f.r_c == 6.0]
    assert sorted((f.type, f.neighbors) for f in new) == [
        (2, ("H",)),
        (2, ("O",)),
        (9, ("H", "H")),
        (9, ("H", "O")),
        (9, ("O", "O")),
        (12, ()),
    ]
    assert len([f for f in settings.model.functions["H"] if f.r_c == 6.0]) == 3
    assert {f.line for f in new if f.type == 9} == {14}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "symfunction_short H 2 H 0.01d0 0.0 1.2d1",
            "line 14.*defines `H 2 H 0.01 0 12`, which line 11 has already",
        ),
        ("symfunction_short H 3 O H 0.005 -1.0 4.0 12.0", "which line 12 has already"),
        ("global_symfunction_short 2 0.01 0.0 12.0", "has already"),
        (
            "global_symfunction_short 2 0.7 0 12\nsymfunction_short H 2 H 0.7 0 12",
            "line 15: `symfunction_short` defines .* which line 14 has",
        ),
        (
            "symfunction_short H 2 H 0.7 0 12\nglobal_symfunction_short 2 0.7 0 12",
            "line 15: `global_symfunction_short` defines .* which line 14 has",
        ),
        ("symfunction_short H 2 C 0.01 0.0 12.0", "line 14.*names C, but the elements are H O"),
        ("symfunction_short C 2 H 0.01 0.0 12.0", "names C, but the elements are H O"),
        ("symfunction_short H 2 H 0.01 12.0", "line 14.*too few"),
        ("symfunction_short H 7 H 0.01 12.0", "type 7"),
        ("symfunction_short H 2 H 0.01 0 -6", "must be positive"),
    ],
)
def test_wrong_symmetry_functions(load: Load, line: str, message: str) -> None:
    with pytest.raises(InputError, match=f"(?s){message}"):
        load(line)


def test_an_element_without_functions(load: Load) -> None:
    with pytest.raises(InputError, match="element O has no symmetry function"):
        load(without=("symfunction_short O",))


@pytest.mark.parametrize(
    "changes",
    [
        ("symfunction_short H 2 H 0.02 0.0 12.0",),
        ("cutoff_alpha 0.1",),
        ("units metal",),
    ],
)
def test_fingerprint_changes_with_the_functions(load: Load, changes: tuple[str, ...]) -> None:
    assert load(*changes).model.fingerprint != load().model.fingerprint


def test_fingerprint_does_not_change_with_the_training(load: Load) -> None:
    before = load().model.fingerprint
    assert load("learning_rate 0.1", "center_symmetry_functions").model.fingerprint == before
    assert load("epochs 7", without=("epochs",)).model.fingerprint == before


# cutoff


def test_alpha_in_either_place(load: Load) -> None:
    assert load("cutoff_type 6 0.3", without=("cutoff",)).model.cutoff == Cutoff(6, 0.3)
    assert load("cutoff_type 6", "cutoff_alpha 0.3", without=("cutoff",)).model.cutoff == Cutoff(6, 0.3)
    assert load("cutoff_type 6 0.3", "cutoff_alpha 0.3", without=("cutoff",)).model.cutoff == Cutoff(6, 0.3)
    assert load(without=("cutoff",)).model.cutoff == Cutoff(1, 0.0)


def test_two_alphas_that_disagree(load: Load) -> None:
    with pytest.raises(InputError, match=r"cutoff_alpha` is 0.2, but cutoff_type in line \d+ says 0.3"):
        load("cutoff_type 6 0.3", "cutoff_alpha 0.2", without=("cutoff",))


@pytest.mark.parametrize(
    "line", ["cutoff_type 2 0.1", "cutoff_type 3 0.1", "cutoff_type 1 1.0", "cutoff_type 1 -0.1"]
)
def test_impossible_alpha(load: Load, line: str) -> None:
    with pytest.raises(InputError, match="`cutoff_type`"):
        load(line, without=("cutoff",))


@pytest.mark.parametrize(("number", "text"), [(0, "jump"), (3, "prefactor")])
def test_questionable_cutoffs_warn(load: Load, number: int, text: str) -> None:
    assert any(text in warning for warning in load(f"cutoff_type {number}", without=("cutoff",)).warnings)


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ("calibration_split blocks", ""),
        (
            "calibration_split blocks\ncalibration_fraction 0",
            "calibration_split has no effect without calibration_fraction",
        ),
        ("transfer_map Ge Si", "transfer_map has no effect without transfer_from"),
        ("transfer_scale_length 1.1", "transfer_scale_length has no effect without transfer_from"),
        ("dropout_rate 0\ncalibration_fraction 0.2", "there are no standard deviations to calibrate"),
        ("calibration_split blocks\ncalibration_fraction 0.2", ""),
        ("dropout_rate 0\nensemble_size 2\ncalibration_fraction 0.2", ""),
        ("dropout_rate 0\ndropout_rate_input 0.1\ncalibration_fraction 0.2", ""),
    ],
)
def test_keywords_that_do_nothing_alone(load: Load, lines: str, text: str) -> None:
    warnings = load(lines, mode=None, mode_required=False).warnings
    assert [text in warning for warning in warnings] == [True] * bool(text)


# scaling and normalization


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        ((), "none"),
        (("scale_symmetry_functions",), "scale"),
        (("center_symmetry_functions",), "center"),
        (("scale_symmetry_functions", "center_symmetry_functions"), "both"),
        (("scale_symmetry_functions_sigma",), "sigma"),
        (("scale_symmetry_functions", "scale_symmetry_functions_sigma"), "scale"),
    ],
)
def test_scaling_schemes(load: Load, lines: tuple[str, ...], kind: str) -> None:
    assert load(*lines, without=("scale",)).model.scaling == ScalingScheme(kind, 0.0, 1.0)


def test_scaling_interval_in_both_spellings(load: Load) -> None:
    assert load("scale_min_short -1", "scale_max_short_atomic 2").model.scaling == ScalingScheme(
        "scale", -1.0, 2.0
    )
    with pytest.raises(InputError, match="minimum must be smaller"):
        load("scale_min_short 2")


def test_center_beside_sigma_is_ambiguous(load: Load) -> None:
    with pytest.raises(InputError, match="is part of scale_symmetry_functions_sigma"):
        load("center_symmetry_functions", "scale_symmetry_functions_sigma", without=("scale",))


def test_normalization_is_all_or_none(load: Load) -> None:
    assert load().model.normalization == Normalization()
    assert load("mean_energy -1.5", "conv_energy 2", "conv_length 3").model.normalization == Normalization(
        -1.5, 2.0, 3.0
    )
    with pytest.raises(InputError, match=r"`conv_energy` needs mean_energy and conv_length"):
        load("conv_energy 2")


# networks and dropout


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("global_nodes_short 15", "has 1 number for 2 hidden layers"),
        ("global_activation_short t l", "has 2 letters, expected 3"),
        ("global_activation_short t x l", "unknown activation `x`"),
    ],
)
def test_wrong_networks(load: Load, line: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(line, without=(line.split()[0],))


def test_dropout_is_one_rate_or_one_a_layer(load: Load) -> None:
    assert load().dropout.dropout_rate == (0.05, 0.05)
    assert load("dropout_rate 0.1").dropout.dropout_rate == (0.1, 0.1)
    assert load("dropout_rate 0.1 0.2").dropout.dropout_rate == (0.1, 0.2)
    with pytest.raises(InputError, match="has 3 numbers for 2 hidden layers"):
        load("dropout_rate 0.1 0.1 0.1")


@pytest.mark.parametrize("line", ["dropout_rate 0.9", "dropout_rate 0.1 0.5", "dropout_rate_input 0.5"])
def test_high_dropout_must_be_confirmed(load: Load, line: str) -> None:
    with pytest.raises(InputError, match=r"DROP.*allow_high_dropout"):
        load(line)
    assert load(line, "allow_high_dropout")


# values, origins, units


def test_origins(load: Load) -> None:
    settings = load()
    assert settings.given("epochs")
    assert settings.origins["epochs"].endswith("input.nn line 10")
    assert not settings.given("batch_size")
    assert settings.origins["batch_size"] == "default"
    assert not settings.given("calculate_forces")


def test_defaults_follow_the_units(load: Load) -> None:
    """0.5 bohr and 0.001 hartree/bohr, whatever they are called."""
    atomic, metal = load(), load("units metal")
    assert atomic.structures.bond_threshold == 0.5
    assert metal.structures.bond_threshold == pytest.approx(0.5 * ase.units.Bohr, rel=1e-12)
    assert metal.structures.check_input_forces == pytest.approx(
        0.001 * ase.units.Hartree / ase.units.Bohr, rel=1e-12
    )
    assert metal.structures.energy_threshold is None
    assert load("units metal", "bond_threshold 0.5").structures.bond_threshold == 0.5


def test_stress_switches_forces_on(load: Load) -> None:
    assert not load("use_short_nn").prediction.calculate_forces
    assert load("use_short_nn", "calculate_stress").prediction.calculate_forces


def test_settings_survive_a_broadcast(load: Load) -> None:
    """Ranks get settings by pickling."""
    settings = load()
    assert pickle.loads(pickle.dumps(settings)).model.fingerprint == settings.model.fingerprint
