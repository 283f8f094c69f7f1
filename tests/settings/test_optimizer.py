"""Which optimizer a file gets, in bnnp's, RuNNer's and n2p2's words, and what follows from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bnnp.errors import InputError
from bnnp.settings.keywords import KEYWORDS
from bnnp.settings.settings import Settings, load_settings

BASE = """\
number_of_elements 2
elements H O
global_hidden_layers_short 1
global_nodes_short 5
global_activation_short t l
scale_symmetry_functions
random_seed 1
test_fraction 0.1
epochs 5
global_symfunction_short 2 0.01 0.0 12.0
"""
RUNNER = "runner_mode 2"
N2P2_FILTER = ("updater_type 1", "kalman_type 0", "kalman_eta 0.02", "task_batch_size_force 2")


def load(folder: Path, *lines: str, mode: int = 2, without: str = "none") -> Settings:
    path = folder / "input.nn"
    kept = [line for line in BASE.splitlines() if not line.startswith(without)]
    path.write_text("\n".join([*kept, *lines]) + "\n")
    return load_settings(path, mode)


def filter_of(settings: Settings) -> tuple[str, str, str, int]:
    names = ("optimizer", "kalman_updates", "kalman_covariance", "kalman_type")
    return tuple(settings.value(name) for name in names)  # type: ignore[return-value]


def test_the_kalman_filter_is_the_default_without_a_word(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert settings.training.optimizer == "kalman"
    assert settings.origins["optimizer"] == "default"
    assert (settings.kalman.kalman_updates, settings.kalman.kalman_nue_short) == ("joint", 0.99)
    assert settings.warnings == ()


@pytest.mark.parametrize(
    "line", ["learning_rate 0.01", "weight_decay 1e-3", "transfer_rates 1", "device cuda"]
)
def test_a_word_of_adam_alone_chooses_adam(tmp_path: Path, line: str) -> None:
    settings = load(tmp_path, line)
    assert settings.training.optimizer == "adam"
    assert settings.origins["optimizer"].endswith(f"({line.split()[0]})")
    assert load(tmp_path, line, "optimizer kalman").training.optimizer == "kalman"


@pytest.mark.parametrize(
    ("lines", "structures", "epochs"),
    [
        ((), 250, 6),  # 1500 structures in all epochs
        ((), 10, 30),
        ((), 10**5, 2),
        (("optimizer adam",), 250, 150),
        (("epochs 7",), 250, 7),
        (("epochs auto",), 100, 15),
    ],
)
def test_epochs_by_the_number_of_structures(
    tmp_path: Path, lines: tuple[str, ...], structures: int, epochs: int
) -> None:
    assert load(tmp_path, *lines, without="epochs").training.n_epochs(structures) == epochs


@pytest.mark.parametrize("name", ["adam", "lbfgs", "kalman", "descent"])
def test_own_word_wins_over_all_others(tmp_path: Path, name: str) -> None:
    settings = load(tmp_path, *N2P2_FILTER, "optmode_short_energy 3", f"optimizer {name}")
    assert settings.training.optimizer == name
    assert settings.kalman.kalman_updates == "joint"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (N2P2_FILTER, ("kalman", "n2p2", "full", 0)),
        ((*N2P2_FILTER, RUNNER), ("kalman", "n2p2", "full", 0)),
        ((*N2P2_FILTER, "update_strategy 1"), ("kalman", "n2p2", "element", 0)),
        (("updater_type 1",), ("kalman", "n2p2", "full", 0)),
        (("updater_type 1", "kalman_type 1"), ("kalman", "n2p2", "full", 1)),
        (("optmode_short_energy 1", RUNNER), ("kalman", "runner", "element", 1)),
        (("kalman_lambda_short 0.97", RUNNER), ("kalman", "runner", "element", 1)),
        (("kalman_lambda_short 0.97",), ("kalman", "n2p2", "full", 0)),
        (("optimizer kalman",), ("kalman", "joint", "element", 1)),
        (("optimizer kalman", "kalman_updates runner"), ("kalman", "runner", "element", 1)),
        ((*N2P2_FILTER, "kalman_updates joint"), ("kalman", "joint", "element", 0)),
        (("updater_type 1", "kalman_covariance element"), ("kalman", "n2p2", "element", 0)),
    ],
)
def test_filter_works_as_the_program_whose_words_ask_for_it(
    tmp_path: Path, lines: tuple[str, ...], expected: tuple[str, str, str, int]
) -> None:
    settings = load(tmp_path, *lines)
    assert filter_of(settings) == expected
    assert settings.warnings == ()


def test_keywords_of_other_habits_are_told_to_have_no_effect(tmp_path: Path) -> None:
    lines = (*N2P2_FILTER, "short_force_fraction 0.01", "kalman_lambda_short 0.9", "gradient_eta 1e-4")
    assert set(load(tmp_path, *lines).ignored) == {"kalman_lambda_short", "gradient_eta"}
    joint = set(load(tmp_path, *lines, "optimizer kalman").ignored)
    assert {"task_batch_size_force", "short_force_fraction"} <= joint
    assert "kalman_eta" not in joint
    assert {"updater_type", "kalman_type", "kalman_eta"} <= set(
        load(tmp_path, *lines, "optimizer adam").ignored
    )


def test_fixed_and_relative_thresholds_exclude_each_other(tmp_path: Path) -> None:
    fixed = (RUNNER, "optmode_short_energy 1", "fixed_short_force_error_threshold 1e-3")
    assert load(tmp_path, *fixed, "short_energy_error_threshold 0.5").ignored == ()
    with pytest.raises(
        InputError, match="line 13: `fixed_short_force_error_threshold` excludes `short_force"
    ):
        load(tmp_path, *fixed, "short_force_error_threshold 0.5")
    assert set(load(tmp_path, *fixed, "noise_energy 1", "optimizer kalman").ignored) == {
        "fixed_short_force_error_threshold",
        "noise_energy",
    }


def test_n2p2_thresholds_have_one_keyword_for_both(tmp_path: Path) -> None:
    settings = load(tmp_path, *N2P2_FILTER, "rmse_threshold 0.8", "short_force_error_threshold 1.1")
    assert settings.kalman.short_energy_error_threshold == 0.8
    assert settings.kalman.short_force_error_threshold == 1.1


@pytest.mark.parametrize(
    ("lines", "rate"),
    [
        (("updater_type 0", "gradient_type 0", "gradient_eta 2e-4"), 2e-4),
        (("optmode_short_energy 3", "steepest_descent_step_energy_short 0.03", RUNNER), 0.03),
    ],
)
def test_plain_descent_has_a_constant_step(tmp_path: Path, lines: tuple[str, ...], rate: float) -> None:
    settings = load(tmp_path, *lines)
    assert settings.training.optimizer == "descent"
    assert (settings.training.learning_rate, settings.training.learning_rate_final) == (rate, rate)
    assert settings.training.warmup_epochs == 0
    assert settings.ignored == ()


def test_conjugate_gradients_become_lbfgs_with_a_warning(tmp_path: Path) -> None:
    settings = load(tmp_path, "optmode_short_energy 2", RUNNER)
    assert settings.training.optimizer == "lbfgs"
    assert "L-BFGS is used" in settings.warnings[0]


def test_two_methods_for_energies_and_forces_are_one(tmp_path: Path) -> None:
    settings = load(tmp_path, "optmode_short_energy 1", "optmode_short_force 3", RUNNER)
    assert settings.training.optimizer == "kalman"
    assert "energies and forces are trained by one method" in settings.warnings[0]


@pytest.mark.parametrize("mode", [1, 3])
def test_the_optimizer_is_the_matter_of_mode_2_alone(tmp_path: Path, mode: int) -> None:
    settings = load(tmp_path, "optmode_short_energy 2", "parallel_mode 1", mode=mode)
    assert settings.warnings == ()
    assert settings.ignored == ("parallel_mode",)


def test_adam_of_n2p2_has_a_constant_rate(tmp_path: Path) -> None:
    settings = load(
        tmp_path, "updater_type 0", "gradient_type 1", "gradient_adam_eta 2.0d-3", "gradient_adam_beta1 0.8"
    )
    assert settings.training.optimizer == "adam"
    rates = (
        settings.training.learning_rate,
        settings.training.learning_rate_final,
        settings.training.warmup_epochs,
    )
    assert rates == (2e-3, 2e-3, 0)
    assert settings.origins["learning_rate"].endswith("line 13 (gradient_adam_eta)")
    assert settings.training.gradient_adam_beta1 == 0.8
    assert settings.warnings == ()


def test_own_keywords_win(tmp_path: Path) -> None:
    lines = ("updater_type 0", "gradient_type 1", "gradient_adam_eta 2.0d-3", "learning_rate 0.01")
    settings = load(tmp_path, *lines, "force_weight 3", "force_update_scaling 7")
    assert settings.training.learning_rate == 0.01
    assert settings.training.force_weight == 3.0


def test_adam_rate_of_a_kalman_input_is_not_taken(tmp_path: Path) -> None:
    """n2p2's recommended input lists the parameters of all methods."""
    settings = load(tmp_path, "updater_type 1", "gradient_type 1", "gradient_adam_eta 2.0d-3")
    assert settings.training.learning_rate == KEYWORDS["learning_rate"].default
    assert {"gradient_type", "gradient_adam_eta"} <= set(settings.ignored)


def test_force_update_scaling_is_the_force_weight(tmp_path: Path) -> None:
    assert load(tmp_path, "force_update_scaling 5.0").training.force_weight == 5.0
    assert load(tmp_path, "force_update_scaling -1.0").training.force_weight == 1.0


def test_own_keywords_of_other_methods_are_told_to_have_no_effect(tmp_path: Path) -> None:
    lines = ("learning_rate 0.01", "weight_average 0.9", "lbfgs_memory 5", "plateau_patience 3")
    assert set(load(tmp_path, *lines).ignored) == {"lbfgs_memory", "plateau_patience"}
    assert load(tmp_path, *lines, "polish_epochs 2", "schedule plateau").ignored == ()
    assert set(load(tmp_path, *lines, "optimizer lbfgs").ignored) == {
        "learning_rate",
        "weight_average",
        "plateau_patience",
    }
    assert "learning_rate" in load(tmp_path, *lines, "optimizer kalman").ignored
