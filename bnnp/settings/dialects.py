"""RuNNer's and n2p2's inputs where they disagree, and how bnnp reads each.

The dialect of a file is RuNNer's if it has one of the keywords RuNNer cannot run without
(``runner_mode``, ``nn_type_short``, ``use_short_nn``) or ``remove_atom_energies``; n2p2's otherwise. It
decides

* whether ``atom_energy`` lines act (n2p2: always; RuNNer: with ``remove_atom_energies``),
* whether prediction computes forces without being asked (n2p2: yes),
* how ``element_nodes_short X 2 20`` is read,
* how a Kalman filter works that is selected by keywords of RuNNer or n2p2.

Words of either about the training, and none of bnnp's, mean a training as there: without dropout.

The keyword ``optimizer`` selects the optimizer. Without it n2p2's ``updater_type`` (with ``gradient_type``),
RuNNer's ``optmode_short_energy``, or any parameter of a Kalman filter does, then a keyword that only Adam
uses; a file without such keywords gets the Kalman filter. A filter selected by keywords of another program
works as in that program (``kalman_updates runner`` or ``n2p2``); by default and with ``optimizer kalman`` an
update uses a batch of structures.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bnnp.settings.keyword_file import KeywordFile
from bnnp.settings.keywords.kalman import KalmanSettings
from bnnp.settings.keywords.network import DropoutSettings
from bnnp.settings.keywords.record import BNNP

RUNNER_MARKS = ("runner_mode", "nn_type_short", "use_short_nn", "remove_atom_energies")


def dialect(file: KeywordFile) -> str:
    """``RuNNer`` or ``n2p2``."""
    return "RuNNer" if any(file.given(name) for name in RUNNER_MARKS) else "n2p2"


def forces_of_prediction(file: KeywordFile) -> tuple[bool, str]:
    """Whether mode 3 computes forces, and why: by a keyword, or because n2p2 always does."""
    for name in ("calculate_forces", "calculate_stress", "check_forces"):
        if file.given(name):
            return True, file.where(name)
    if file.switched_off("calculate_forces"):
        return False, file.where("calculate_forces")
    if dialect(file) == "n2p2":
        return True, "default (n2p2 input)"
    return False, "default"


def training_word(file: KeywordFile) -> str:
    """The first of RuNNer's or n2p2's words about the training, which mean one without dropout; "" if there
    is none, or a word of bnnp's that asks for more: ``optimizer``, or one about dropout or its samples."""
    own = ("optimizer", *(keyword.name for keyword in DropoutSettings.keywords()))
    if any(map(file.given, own)):
        return ""
    return next((name for name in TRAINING_WORDS if file.given(name)), "")


KALMAN_KEYWORDS = tuple(keyword.name for keyword in KalmanSettings.keywords())
TRAINING_WORDS = (
    *(keyword.name for keyword in KalmanSettings.keywords() if keyword.dialect != BNNP),
    *("gradient_adam_eta", "gradient_adam_beta1", "gradient_adam_beta2", "gradient_adam_epsilon"),
    *("force_update_scaling", "mix_all_points", "random_order_training", "fitmode"),
)
CHOOSING = ("updater_type", "gradient_type", "optmode_short_energy", "optmode_short_force")
_DESCENT = ("gradient_eta", "steepest_descent_step_energy_short", "steepest_descent_step_force_short")
_RUNNER = (
    *("use_noisematrix", "short_energy_group", "short_force_group", "repeated_energy_update"),
    *("fixed_short_energy_error_threshold", "fixed_short_force_error_threshold"),
    *("noise_energy", "noise_force", "kalman_damp_short", "kalman_damp_force"),
    "reset_kalman",
)
_N2P2 = (
    *("task_batch_size_energy", "task_batch_size_force", "rmse_threshold_trials", "jacobian_mode"),
    *("selection_mode", "rmse_threshold"),
)
_THRESHOLDS = ("short_energy_error_threshold", "short_force_error_threshold")
_ADAM = (
    *("learning_rate", "learning_rate_final", "warmup_epochs", "weight_decay", "gradient_clip"),
    *("schedule", "plateau_patience"),
)
JOINT_EPSILON = 0.1  # of joint updates, on inputs of their own spread: 1 learns too slowly, 0.01 overfits
JOINT_ENERGY_WEIGHT = 3.0  # of joint updates, where one energy stands beside 50 force components
_STANDARD = ("kalman_eta", "kalman_etatau", "kalman_etamax")
_FADING = ("kalman_lambda_short", "kalman_nue_short")


@dataclass
class OptimizerChoice:
    """Keywords of the optimizer that follow from RuNNer's and n2p2's, and their origin.

    Parameters
    ----------
    values : dict of str to object
        Values that differ from what the file says or the defaults are.
    origins : dict of str to str
    idle : tuple of str
        Keywords of the file that have no effect on the optimizer.
    """

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    idle: tuple[str, ...] = ()

    def set(self, file: KeywordFile, name: str, value: Any, source: str) -> None:
        """Set a value that follows from the keyword `source` ("": none), unless the file gives it."""
        if not file.given(name):
            self.values[name] = value
            self.origins |= {name: f"{file.where(source)} ({source})"} if source else {}


def choose_optimizer(file: KeywordFile, warnings: list[str], dialect: str) -> OptimizerChoice:
    """Translate RuNNer's and n2p2's choice of optimizer.

    Parameters
    ----------
    warnings : list of str
        New warnings are appended.
    dialect : str
        ``RuNNer`` or ``n2p2``.
    """
    choice = OptimizerChoice()
    name, source = _asked_for(file, warnings)
    if source and source != "optimizer":
        choice.set(file, "optimizer", name, source)
    if name == "kalman":
        _filter(file, choice, source, dialect)
    elif name == "descent" and source in ("updater_type", "optmode_short_energy"):
        step = "gradient_eta" if source == "updater_type" else "steepest_descent_step_energy_short"
        _constant_rate(file, choice, file.value(step), source)
    elif name == "adam" and source == "updater_type" and file.given("gradient_adam_eta"):
        _constant_rate(file, choice, file.value("gradient_adam_eta"), "gradient_adam_eta")
    if file.given("force_update_scaling") and file.value("force_update_scaling") > 0.0:
        scaling = file.value("force_update_scaling")
        choice.set(file, "force_weight", scaling, "force_update_scaling")
    updates = choice.values.get("kalman_updates", file.value("kalman_updates"))
    kind = choice.values.get("kalman_type", file.value("kalman_type"))
    used = used_keywords(name, source, updates, fading=kind == 1)
    idle = [keyword for keyword in KALMAN_KEYWORDS if file.given(keyword) and keyword not in used]
    if file.given("gradient_adam_eta") and "learning_rate" not in choice.values:
        idle.append("gradient_adam_eta")
    choice.idle = (*idle, *_idle_steps(file, name))
    return choice


def _asked_for(file: KeywordFile, warnings: list[str]) -> tuple[str, str]:
    """The optimizer, and the keyword that selects it, or ""."""
    if file.given("optimizer"):
        return file.value("optimizer"), "optimizer"
    if file.given("updater_type"):
        if file.value("updater_type") == 1:
            return "kalman", "updater_type"
        return ("adam" if file.value("gradient_type") == 1 else "descent"), "updater_type"
    energy, force = "optmode_short_energy", "optmode_short_force"
    given = next((name for name in (energy, force) if file.given(name)), None)
    if given:
        number = file.value(given)
        if file.given(energy) and file.given(force) and file.value(force) != number:
            warnings.append(
                f"{file.where(force)}: energies and forces are trained by one method, that of "
                f"optmode_short_energy {number}"
            )
        if number == 2:
            text = f"`{given}` 2 asks for conjugate gradients, which RuNNer never had: L-BFGS is used"
            warnings.append(f"{file.where(given)}: {text}")
        return {1: "kalman", 2: "lbfgs", 3: "descent"}[number], given
    first = next((name for name in KALMAN_KEYWORDS if name.startswith("kalman_") and file.given(name)), "")
    if first:
        return "kalman", first
    words = (*_ADAM, "transfer_rates")
    own = next((word for word in words if file.given(word)), "")
    if not own and file.value("device") == "cuda":
        own = "device"
    return ("adam", own) if own else ("kalman", "")


def _filter(file: KeywordFile, choice: OptimizerChoice, source: str, dialect: str) -> None:
    """Keywords of a Kalman filter that the file leaves open, for bnnp's, RuNNer's or n2p2's updates."""
    if file.given("kalman_updates"):
        style, source = file.value("kalman_updates"), "kalman_updates"
    elif source in ("", "optimizer") or file.given("kalman_components"):
        style = "joint"
    else:
        runner = source.startswith("optmode") or (source != "updater_type" and dialect == "RuNNer")
        style = "runner" if runner else "n2p2"
        choice.set(file, "kalman_updates", style, source)
    if file.given("update_strategy"):
        by_element = file.value("update_strategy") == 1
        choice.set(file, "kalman_covariance", "element" if by_element else "full", "update_strategy")
    elif style == "n2p2":
        choice.set(file, "kalman_covariance", "full", source)
    if style == "n2p2":
        choice.set(file, "kalman_type", 0, source)
    elif style == "joint":  # one update forgets as much as one of RuNNer's, but has many observations
        choice.set(file, "kalman_nue_short", 0.99, source)
        choice.set(file, "kalman_epsilon", JOINT_EPSILON, source)
        choice.set(file, "energy_weight", JOINT_ENERGY_WEIGHT, source)
    if file.given("rmse_threshold"):
        for quantity in ("energy", "force"):
            threshold = file.value("rmse_threshold")
            choice.set(file, f"short_{quantity}_error_threshold", threshold, "rmse_threshold")
    for relative in _THRESHOLDS:
        fixed = f"fixed_{relative}"
        if file.value(fixed) > 0.0 and file.value(relative) > 0.0:
            raise file.mistake(fixed, f"excludes `{relative}`: one is a fixed error, the other follows RMSE")


def _idle_steps(file: KeywordFile, name: str) -> list[str]:
    """bnnp's own keywords in the file that belong to another method."""
    idle = set(_ADAM) if name in ("kalman", "lbfgs") else set()
    if name == "lbfgs":
        idle |= {"weight_average", "polish_epochs"}
    elif not file.value("polish_epochs"):
        idle.add("lbfgs_memory")
    if file.value("schedule") != "plateau":
        idle.add("plateau_patience")
    return [keyword for keyword in file.names() if keyword in idle]


def _constant_rate(file: KeywordFile, choice: OptimizerChoice, rate: float, source: str) -> None:
    """Set a constant step size."""
    choice.set(file, "learning_rate", rate, source)
    choice.set(file, "learning_rate_final", rate, source)
    choice.set(file, "warmup_epochs", 0, source)


def used_keywords(name: str, source: str, updates: str, fading: bool) -> set[str]:
    """Keywords of the chapter of Kalman filter and gradient descent that have an effect."""
    if name == "kalman":
        shared = ("short_energy_fraction", "short_force_fraction", *_THRESHOLDS)
        used = (
            set(KALMAN_KEYWORDS) - set(_DESCENT) - {"gradient_type"} - set(_STANDARD if fading else _FADING)
        )
        used -= set(_RUNNER) if updates != "runner" else set()
        used -= set(_N2P2) if updates != "n2p2" else set()
        return used - ({"kalman_components"} if updates != "joint" else set(shared))
    if source == "optimizer":
        return set()
    return {*CHOOSING, *(_DESCENT if name == "descent" else ())} if source else set()
