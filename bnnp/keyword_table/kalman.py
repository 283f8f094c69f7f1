"""Keywords of RuNNer's and n2p2's optimizers: Kalman filter, steepest descent, selection of updates.

They choose the optimizer unless ``optimizer`` does, and steer the Kalman filter; how they translate is the
matter of :mod:`bnnp.optimizer_words`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from bnnp.keyword_table.arguments import Selection, choice, flag, integer, real, selection
from bnnp.keyword_table.record import Keyword

KALMAN_GROUP = "Kalman filter and plain gradient descent"

_keyword: Callable[..., Keyword] = partial(Keyword, group=KALMAN_GROUP, modes="2")
_either: Callable[..., Keyword] = partial(_keyword, dialect="RuNNer n2p2")
_runner: Callable[..., Keyword] = partial(_keyword, dialect="RuNNer")
_n2p2: Callable[..., Keyword] = partial(_keyword, dialect="n2p2", tier="R")
_bnnp: Callable[..., Keyword] = partial(_keyword, dialect="bnnp")

KALMAN = (
    _bnnp(
        "kalman_updates",
        "joint|runner|n2p2",
        choice("joint", "runner", "n2p2"),
        "joint",
        "what one update takes up: a batch of structures, or single observations as RuNNer or n2p2 do",
        note="runner or n2p2 where a word of theirs selects the filter, joint with `optimizer kalman`.",
    ),
    _bnnp(
        "kalman_components",
        "n",
        integer(0),
        50,
        "force components of each structure in a joint update, drawn anew every epoch; 0: all",
    ),
    _bnnp(
        "kalman_covariance",
        "full|element|separate",
        choice("full", "element", "separate"),
        "element",
        "covariance of all weights, of each element's with a common gain, or with a gain of their own",
        note="separate is RuNNer's and n2p2's update_strategy 1, full is n2p2's update_strategy 0.",
    ),
    _runner(
        "optmode_short_energy",
        "1|2|3",
        integer(1, 3),
        1,
        "1 Kalman filter, 2 conjugate gradient, 3 steepest descent",
    ),
    _runner("optmode_short_force", "1|2|3", integer(1, 3), 1, "the same for forces"),
    _n2p2("updater_type", "0|1", integer(0, 1), None, "0 gradient descent, 1 Kalman filter"),
    _n2p2("gradient_type", "0|1", integer(0, 1), 1, "0 fixed step size, 1 Adam"),
    _n2p2("gradient_eta", "x", real(above=0.0), 1e-5, "step size of plain gradient descent"),
    _n2p2("kalman_type", "0|1", integer(0, 1), 1, "0 standard (n2p2's default), 1 fading memory (RuNNer's)"),
    _either("kalman_lambda_short", "x", real(above=0.0), 0.98, "initial forgetting factor"),
    _either("kalman_nue_short", "x", real(above=0.0), 0.9987, "growth of the forgetting factor"),
    _either("kalman_epsilon", "x", real(above=0.0), 1.0, "initial covariance is 1/epsilon", tier="R"),
    _runner("use_noisematrix", "", flag, False, "process noise (RuNNer)", tier="R"),
    _either("kalman_q0", "x", real(0.0), 0.0, "initial process noise", tier="R"),
    _either(
        "kalman_qtau",
        "x",
        real(0.0),
        0.0,
        "decay of the process noise: a rate per epoch (n2p2), a time in epochs (RuNNer)",
        tier="R",
    ),
    _either("kalman_qmin", "x", real(0.0), 0.0, "smallest process noise", tier="R"),
    _n2p2("kalman_eta", "x", real(above=0.0), 0.01, "initial learning rate of the standard filter"),
    _n2p2("kalman_etatau", "x", real(0.0), 2.302, "growth of that learning rate, per epoch"),
    _n2p2("kalman_etamax", "x", real(above=0.0), 1.0, "largest learning rate"),
    _runner(
        "steepest_descent_step_energy_short", "x", real(above=0.0), 0.01, "step of energy updates", tier="R"
    ),
    _runner(
        "steepest_descent_step_force_short", "x", real(above=0.0), 0.01, "step of force updates", tier="R"
    ),
    _either(
        "short_energy_fraction",
        "x",
        real(0.0, 1.0),
        1.0,
        "share of energies used each epoch",
        aliases=("energy_fraction",),
    ),
    _either(
        "short_force_fraction",
        "x",
        real(0.0, 1.0),
        1.0,
        "share of force components used each epoch",
        aliases=("force_fraction",),
    ),
    _either(
        "short_energy_error_threshold",
        "x",
        real(0.0),
        0.0,
        "update only where the error exceeds x times the last RMSE",
        aliases=("rmse_threshold_energy",),
    ),
    _either(
        "short_force_error_threshold",
        "x",
        real(0.0),
        0.0,
        "the same for forces",
        aliases=("rmse_threshold_force",),
    ),
    _n2p2("rmse_threshold", "x", real(0.0), 0.0, "both thresholds at once"),
    _runner(
        "fixed_short_energy_error_threshold",
        "E",
        real(0.0),
        0.0,
        "update only where the error per atom exceeds E; 0: none",
        unit="energy/atom",
        tier="R",
        note="In place of short_energy_error_threshold.",
    ),
    _runner(
        "fixed_short_force_error_threshold",
        "F",
        real(0.0),
        0.0,
        "update only where the error exceeds F times the number of atoms; 0: none",
        unit="force",
        tier="R",
        note="In place of short_force_error_threshold. RuNNer divides force errors by the number of atoms of "
        "the structure before it compares them.",
    ),
    _runner(
        "noise_energy",
        "E",
        real(0.0),
        0.0,
        "errors per atom up to E are noise, beside any threshold",
        unit="energy/atom",
        tier="R",
    ),
    _runner(
        "noise_force",
        "F",
        real(0.0),
        0.0,
        "the same for force errors divided by the number of atoms",
        unit="force",
        tier="R",
    ),
    _runner("kalman_damp_short", "x", real(0.0), 1.0, "times the energy errors that are corrected", tier="R"),
    _runner("kalman_damp_force", "x", real(0.0), 1.0, "the same for force errors", tier="R"),
    _runner(
        "reset_kalman",
        "",
        flag,
        False,
        "the covariance begins anew every epoch",
        tier="R",
        note="RuNNer does it for every block of points_in_memory structures; bnnp has no blocks.",
    ),
    _runner(
        "element_decoupled_kalman", "", flag, False, "RuNNer's word for kalman_covariance element", tier="R"
    ),
    _runner("short_energy_group", "n", integer(1), 1, "energies averaged for one update", tier="R"),
    _runner("short_force_group", "n", integer(1), 1, "force components averaged for one update", tier="R"),
    _n2p2("task_batch_size_energy", "n", integer(0), 1, "energies in one update of each task; 0: all"),
    _n2p2("task_batch_size_force", "n", integer(0), 1, "force components in one update of each task; 0: all"),
    _n2p2(
        "rmse_threshold_trials", "n", integer(1), 3, "observations to choose from, where errors are too small"
    ),
    _n2p2(
        "jacobian_mode", "0|1|2", integer(0, 2), 1, "rows of an update: one, one a task, one an observation"
    ),
    _n2p2("update_strategy", "0|1", integer(0, 1), 0, "0 one filter for all elements, 1 one each"),
    _n2p2(
        "selection_mode",
        "m [epoch m ...]",
        selection,
        Selection(),
        "0 random, 1 largest errors first, 2 by threshold; other modes from other epochs on",
        note="1: all energies and force components are sorted by their errors at the start of an epoch, and "
        "those shares of them that are used come in descending order. `selection_mode 2 15 1 20 2` is 1 from "
        "epoch 15 to 19, and 2 else.",
    ),
    _either(
        "repeated_energy_update", "", flag, False, "a second energy update after the force updates", tier="R"
    ),
)
