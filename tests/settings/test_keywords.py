"""The keyword table: records are whole, every spelling leads to one, and inputs/complete is the table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bnnp.errors import InputError
from bnnp.io.input_nn import read_input_nn
from bnnp.settings.arguments import Every, every, flag, integer, read_real, selection, size
from bnnp.settings.help import format_default, keyword_details, keyword_list
from bnnp.settings.keywords import KEYWORDS, Keyword, lookup, nearest
from bnnp.settings.keywords.kalman import KalmanSettings
from bnnp.settings.settings import load_settings

COMPLETE = Path(__file__).resolve().parents[2] / "inputs" / "complete" / "input.nn"
ACCEPTED = [keyword for keyword in KEYWORDS.values() if keyword.accepted]

# Keywords of the RuNNer 1.x and n2p2 manuals by what must happen to them.
ESSENTIAL = """
    runner_mode nn_type_short use_short_nn number_of_elements elements atom_energy remove_atom_energies
    random_seed bond_threshold cutoff_type symfunction_short element_symfunction_short
    global_symfunction_short test_fraction use_short_forces global_hidden_layers_short global_nodes_short
    global_activation_short scale_symmetry_functions center_symmetry_functions epochs fitting_unit
    optmode_short_energy optmode_short_force kalman_lambda_short kalman_nue_short short_energy_fraction
    short_force_fraction short_energy_error_threshold short_force_error_threshold weights_min weights_max
    use_old_weights_short write_weights_epoch write_trainpoints write_trainforces calculate_forces
    calculate_stress
"""
SUPPORTED = """
    energy_threshold force_threshold check_input_forces element_hidden_layers_short element_nodes_short
    element_activation_short normalize_nodes scale_symmetry_functions_sigma scale_min_short_atomic
    scale_max_short_atomic use_old_scaling kalman_epsilon use_noisematrix kalman_q0 kalman_qtau
    kalman_qmin steepest_descent_step_energy_short steepest_descent_step_force_short short_energy_group
    short_force_group force_update_scaling repeated_energy_update max_energy max_force mix_all_points
    nguyen_widrow_weights_short precondition_weights print_mad check_forces
"""
SYNONYMS = {
    "symfunction": "symfunction_short",
    "global_symfunction_short_atomic": "global_symfunction_short",
    "energy_fraction": "short_energy_fraction",
    "force_fraction": "short_force_fraction",
    "rmse_threshold_energy": "short_energy_error_threshold",
    "rmse_threshold_force": "short_force_error_threshold",
    "nnp_type": "nnp_gen",
    "nnp_generation": "nnp_gen",
    "nn_type_elec": "electrostatic_type",
    "scale_min_short": "scale_min_short_atomic",
    "scale_max_short": "scale_max_short_atomic",
    "nblock": "points_in_memory",
}
OUT_OF_SCOPE = """
    use_vdw vdw_type pairsymfunction_short
    global_nodes_pair scale_min_short_pair use_hamiltonian global_nodes_ham symfunction_nntb_Hatomic
    nn_type use_electrostatic_nn use_fixed_charges global_output_nodes_short scale_min_elec
"""
TRAINING_OF_CHARGES = """
    use_atom_charges use_charge_constraint enforce_totcharge
    optmode_charge kalman_lambda_charge kalman_nue_charge_constraint kalman_damp_charge
    weightse_min noise_charge update_worst_charges write_traincharges
    nguyen_widrow_weights_ewald charge_error_threshold total_charge_error_threshold weighte_constraint
"""
RUNNER_2 = "fc_cosine default_nodes default_activation_nn scale_feature_maps center_feature_maps"


@pytest.mark.parametrize("name", ESSENTIAL.split())
def test_essential_keywords_have_their_meaning(name: str) -> None:
    assert lookup(name) is not None
    assert KEYWORDS[name].tier == "E"


@pytest.mark.parametrize("name", SUPPORTED.split())
def test_supported_keywords_have_their_meaning(name: str) -> None:
    assert KEYWORDS[name].tier == "R"


@pytest.mark.parametrize(("alias", "name"), SYNONYMS.items())
def test_synonyms_of_runner_and_n2p2_lead_to_the_same_record(alias: str, name: str) -> None:
    assert lookup(alias) is KEYWORDS[name]


@pytest.mark.parametrize("name", (OUT_OF_SCOPE + RUNNER_2).split())
def test_keywords_out_of_scope_are_refused(name: str) -> None:
    keyword = lookup(name)
    assert keyword is not None
    assert keyword.tier == "X"
    assert ("RuNNer 2" in keyword.help) == (name in RUNNER_2.split())


@pytest.mark.parametrize("name", TRAINING_OF_CHARGES.split())
def test_words_about_the_training_of_charges_have_no_effect(name: str) -> None:
    """Both stages have the words of the training."""
    assert KEYWORDS[name].tier == "O"


@pytest.mark.parametrize("keyword", ACCEPTED, ids=lambda keyword: keyword.name)
def test_no_accepted_spelling_falls_into_a_refused_family(keyword: Keyword) -> None:
    for spelling in (keyword.name, *keyword.aliases):
        assert lookup(spelling) is keyword


@pytest.mark.parametrize("keyword", KEYWORDS.values(), ids=lambda keyword: keyword.name)
def test_records_are_whole(keyword: Keyword) -> None:
    assert keyword.help
    assert keyword.modes
    assert set(keyword.modes) <= set("123")
    assert keyword.unit in ("", "length", "energy", "force", "energy/atom")
    assert not keyword.help.endswith(".")  # it is also the end of a sentence elsewhere


def test_every_keyword_with_a_meaning_is_used_by_the_program_or_always_on() -> None:
    """Nothing is silently ignored: the code names the keyword, or its help says that it is always on."""
    package = COMPLETE.parents[2] / "bnnp"
    sources = [path for path in package.rglob("*.py") if path.parent.name != "keywords"]
    sources += [package.parent / "tools" / "loop.py", *package.parent.glob("tools/learning/*.py")]
    kalman = {keyword.name for keyword in KalmanSettings.keywords()}
    text = "\n".join(path.read_text() for path in sources)
    text = "".join(text.replace("{kind}", kind) for kind in ("short", "electrostatic"))  # of networks
    named = set(re.findall(r"(?<=[.\"])\w+\b", text))
    idle = {
        keyword.name
        for keyword in KEYWORDS.values()
        if keyword.tier in "ER" and keyword.name not in kalman | named
    }
    assert "precondition_weights" in idle
    assert [name for name in idle if "always on" not in KEYWORDS[name].help] == []


@pytest.mark.parametrize(
    ("name", "modes"),
    [
        ("bond_threshold", "13"),
        ("device", "123"),
        ("dropout_rate", "2"),
        ("dropout_rate_input", "2"),
        ("allow_high_dropout", "2"),
    ],
)
def test_keywords_are_listed_for_the_modes_that_look_at_them(name: str, modes: str) -> None:
    assert KEYWORDS[name].modes == modes


def test_weights_of_epochs_are_off_without_the_keyword() -> None:
    assert format_default(KEYWORDS["write_weights_epoch"]) == "off"


def test_spellings_are_unique() -> None:
    spellings = [spelling for keyword in KEYWORDS.values() for spelling in (keyword.name, *keyword.aliases)]
    assert len(spellings) == len(set(spellings))


def test_nearest_finds_a_typing_error_and_gives_up_on_nonsense() -> None:
    assert nearest("cutof_type") == "cutoff_type"
    assert nearest("Epochs") == "epochs"
    assert nearest("xyzzy") is None


def test_the_complete_input_has_every_accepted_keyword_once() -> None:
    names = [entry.name for entry in read_input_nn(COMPLETE)]
    missing = {keyword.name for keyword in ACCEPTED} - set(names)
    assert missing == {"symmetry_functions", "use_electrostatics", "fixed_charge"}  # in place of other lines
    assert "# symmetry_functions auto" in COMPLETE.read_text()
    assert {name for name in names if names.count(name) > 1} <= {k.name for k in ACCEPTED if k.repeatable}


@pytest.mark.parametrize("mode", [1, 2, 3])
def test_the_complete_input_is_legal(mode: int) -> None:
    settings = load_settings(COMPLETE, mode)
    assert settings.mode == mode
    assert settings.model.elements == ("H", "O")


def test_the_complete_input_shows_the_defaults() -> None:
    """Where a keyword has a default and takes a value, the dictionary shows that value."""
    shown = load_settings(COMPLETE, 2)
    differing = {
        "dropout_rate",
        "cutoff_type",
        "updater_type",
        "write_weights_epoch",
        "write_trainpoints",
        "write_trainforces",
        "kalman_qtau",
    }
    for keyword in ACCEPTED:
        if (
            keyword.tier in "ER"
            and keyword.arguments
            and keyword.default not in (None, ())
            and keyword.name not in differing
        ):
            value = shown.value(keyword.name)
            if keyword.name not in ("learning_rate", "learning_rate_final", "warmup_epochs"):
                assert value == keyword.default, keyword.name


def test_list_names_every_keyword() -> None:
    text = keyword_list()
    for keyword in KEYWORDS.values():
        assert keyword.name in text


def test_list_tells_what_the_keywords_without_effect_would_do() -> None:
    lines = " ".join(keyword_list().split())
    for keyword in ACCEPTED:
        assert keyword.tier != "O" or f"{keyword.usage} {keyword.help}" in lines


def test_details_follow_a_synonym() -> None:
    text = keyword_details("scale_min_short")
    assert text.startswith("scale_min_short_atomic x")
    assert "also spelled   scale_min_short" in text


def test_details_of_an_unknown_name_offer_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean `dropout_rate`"):
        keyword_details("droput_rate")


@pytest.mark.parametrize(
    ("word", "value"),
    [("0.1d0", 0.1), ("1.0D-3", 1e-3), ("2d+1", 20.0), ("1e-3", 1e-3), ("-5", -5.0), ("1.d0", 1.0)],
)
def test_numbers_may_have_a_fortran_exponent(word: str, value: float) -> None:
    assert read_real(word) == value


@pytest.mark.parametrize("word", ["d3", "1d", "nan", "inf", "1,5", "abc", ""])
def test_what_is_not_a_finite_number_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="number"):
        read_real(word)


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [
        ("4 GB", 4 * 10**9),
        ("500MB", 5 * 10**8),
        ("1.5 GB", 1_500_000_000),
        ("1000000", 10**6),
        ("10 kB", 10**4),
    ],
)
def test_sizes(text: str, n_bytes: int) -> None:
    assert size(text.split()) == n_bytes


@pytest.mark.parametrize("text", ["4", "0", "500000"])
def test_a_small_size_needs_a_unit(text: str) -> None:
    with pytest.raises(ValueError, match=f"did you mean `{text} GB`"):
        size([text])


@pytest.mark.parametrize("text", ["4 GX", "much", "-1 GB", "0 GB", "1.2.3 GB"])
def test_what_is_not_a_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"size|at least|number"):
        size(text.split())


def test_every_reads_both_dialects() -> None:
    assert every([]) == Every(1)  # RuNNer: no number
    assert [epoch for epoch in range(12) if every(["5"]).due(epoch)] == [0, 5, 10]
    assert [epoch for epoch in range(12) if every(["5", "2"]).due(epoch)] == [
        0,
        1,
        2,
        5,
        10,
    ]  # n2p2: n [always]
    assert not any(Every().due(epoch) for epoch in range(12))


def test_selection_may_change_with_the_epochs() -> None:
    assert selection(["1"]).steps == ((0, 1),)
    changing = selection(["2", "20", "2", "15", "1"])
    assert changing.steps == ((0, 2), (15, 1), (20, 2))
    assert str(changing) == "2 15 1 20 2"
    with pytest.raises(ValueError, match="pairs of an epoch and a mode, got 2 words"):
        selection(["2", "15"])
    for words in ("3", "2 15 3", "2 0 1"):
        with pytest.raises(ValueError, match="must be at"):
            selection(words.split())


def test_extra_words_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="takes no argument but .true. or .false., got `maybe`"):
        flag(["maybe"])
    with pytest.raises(ValueError, match=r"got 2 words \(`3 epochs`\)"):
        integer()(["3", "epochs"])


def test_ranges_are_named() -> None:
    with pytest.raises(ValueError, match="is 9 but must be at most 8"):
        KEYWORDS["cutoff_type"].parse(["9"])
    with pytest.raises(ValueError, match="is 1.0 but must be smaller than 1.0"):
        KEYWORDS["dropout_rate"].parse(["0.1", "1.0"])
