"""Keywords of RuNNer's and n2p2's optimizers.

They choose the optimizer unless ``optimizer`` does, and control the Kalman filter; the translation is in
:mod:`bnnp.settings.dialects`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bnnp.settings.arguments import SelectionSchedule, choice, flag, integer, real, selection
from bnnp.settings.keywords.record import BNNP, BOTH, N2P2, RUNNER, Section, keyword


# fmt: off
@dataclass(frozen=True)
class KalmanSettings(Section, title="Kalman filter and plain gradient descent", modes="2", dialect=RUNNER):
    """RuNNer's and n2p2's optimizers: Kalman filter, steepest descent, selection of updates."""

    kalman_updates: str = keyword("joint|runner|n2p2", choice("joint", "runner", "n2p2"), "joint",
        "what one update takes up: a batch of structures, or single observations as RuNNer or n2p2 do",
        dialect=BNNP,
        note="runner or n2p2 where a word of theirs selects the filter, joint with `optimizer kalman`.")
    kalman_components: int = keyword("n", integer(0), 50,
        "force components of each structure in a joint update, drawn anew every epoch; 0: all",
        dialect=BNNP)
    kalman_covariance: Literal["full", "element"] = keyword(
        "full|element", choice("full", "element"), "element",
        "covariance of all weights, or of each element's with a common gain",
        dialect=BNNP,
        note="full is n2p2's update_strategy 0. A gain of each element's own (RuNNer's default, n2p2's "
             "update_strategy 1) corrects every error once for each element and diverges: element is used.")
    optmode_short_energy: int = keyword("1|2|3", integer(1, 3), 1,
        "1 Kalman filter, 2 conjugate gradient, 3 steepest descent")
    optmode_short_force: int = keyword("1|2|3", integer(1, 3), 1,
        "the same for forces")
    updater_type: int | None = keyword("0|1", integer(0, 1), None,
        "0 gradient descent, 1 Kalman filter", dialect=N2P2, tier="R")
    gradient_type: int = keyword("0|1", integer(0, 1), 1,
        "0 fixed step size, 1 Adam", dialect=N2P2, tier="R")
    gradient_eta: float = keyword("x", real(above=0.0), 1e-05,
        "step size of plain gradient descent", dialect=N2P2, tier="R")
    kalman_type: int = keyword("0|1", integer(0, 1), 1,
        "0 standard (n2p2's default), 1 fading memory (RuNNer's)", dialect=N2P2, tier="R")
    kalman_lambda_short: float = keyword("x", real(above=0.0), 0.98,
        "initial forgetting factor", dialect=BOTH)
    kalman_nue_short: float = keyword("x", real(above=0.0), 0.9987,
        "growth of the forgetting factor", dialect=BOTH)
    kalman_epsilon: float = keyword("x", real(above=0.0), 1.0,
        "initial covariance is 1/epsilon", dialect=BOTH, tier="R",
        note="0.1 with joint updates, unless the keyword is there.")
    use_noisematrix: bool = keyword("", flag, False,
        "process noise (RuNNer)", tier="R")
    kalman_q0: float = keyword("x", real(0.0), 0.0,
        "initial process noise", dialect=BOTH, tier="R")
    kalman_qtau: float = keyword("x", real(0.0), 0.0,
        "decay of the process noise: a rate per epoch (n2p2), a time in epochs (RuNNer)",
        dialect=BOTH, tier="R")
    kalman_qmin: float = keyword("x", real(0.0), 0.0,
        "smallest process noise", dialect=BOTH, tier="R")
    kalman_eta: float = keyword("x", real(above=0.0), 0.01,
        "initial learning rate of the standard filter", dialect=N2P2, tier="R")
    kalman_etatau: float = keyword("x", real(0.0), 2.302,
        "growth of that learning rate, per epoch", dialect=N2P2, tier="R")
    kalman_etamax: float = keyword("x", real(above=0.0), 1.0,
        "largest learning rate", dialect=N2P2, tier="R")
    steepest_descent_step_energy_short: float = keyword("x", real(above=0.0), 0.01,
        "step of energy updates", tier="R")
    steepest_descent_step_force_short: float = keyword("x", real(above=0.0), 0.01,
        "step of force updates", tier="R")
    short_energy_fraction: float = keyword("x", real(0.0, 1.0), 1.0,
        "share of energies used each epoch", dialect=BOTH, aliases=("energy_fraction",))
    short_force_fraction: float = keyword("x", real(0.0, 1.0), 1.0,
        "share of force components used each epoch", dialect=BOTH, aliases=("force_fraction",))
    short_energy_error_threshold: float = keyword("x", real(0.0), 0.0,
        "update only where the error exceeds x times the last RMSE",
        dialect=BOTH, aliases=("rmse_threshold_energy",))
    short_force_error_threshold: float = keyword("x", real(0.0), 0.0,
        "the same for forces", dialect=BOTH, aliases=("rmse_threshold_force",))
    rmse_threshold: float = keyword("x", real(0.0), 0.0,
        "both thresholds at once", dialect=N2P2, tier="R")
    fixed_short_energy_error_threshold: float = keyword("E", real(0.0), 0.0,
        "update only where the error per atom exceeds E; 0: none", tier="R", unit="energy/atom",
        note="In place of short_energy_error_threshold.")
    fixed_short_force_error_threshold: float = keyword("F", real(0.0), 0.0,
        "update only where the error exceeds F times the number of atoms; 0: none", tier="R", unit="force",
        note="In place of short_force_error_threshold. RuNNer divides force errors by the number of atoms of "
             "the structure before it compares them.")
    noise_energy: float = keyword("E", real(0.0), 0.0,
        "errors per atom up to E are noise, beside any threshold", tier="R", unit="energy/atom")
    noise_force: float = keyword("F", real(0.0), 0.0,
        "the same for force errors divided by the number of atoms", tier="R", unit="force")
    kalman_damp_short: float = keyword("x", real(0.0), 1.0,
        "times the energy errors that are corrected", tier="R")
    kalman_damp_force: float = keyword("x", real(0.0), 1.0,
        "the same for force errors", tier="R")
    reset_kalman: bool = keyword("", flag, False,
        "the covariance begins anew every epoch", tier="R",
        note="RuNNer does it for every block of points_in_memory structures; bnnp has no blocks.")
    short_energy_group: int = keyword("n", integer(1), 1,
        "energies averaged for one update", tier="R")
    short_force_group: int = keyword("n", integer(1), 1,
        "force components averaged for one update", tier="R")
    task_batch_size_energy: int = keyword("n", integer(0), 1,
        "energies in one update of each task; 0: all", dialect=N2P2, tier="R")
    task_batch_size_force: int = keyword("n", integer(0), 1,
        "force components in one update of each task; 0: all", dialect=N2P2, tier="R")
    rmse_threshold_trials: int = keyword("n", integer(1), 3,
        "observations to choose from, where errors are too small", dialect=N2P2, tier="R")
    jacobian_mode: int = keyword("0|1|2", integer(0, 2), 1,
        "rows of an update: one, one a task, one an observation", dialect=N2P2, tier="R")
    update_strategy: int = keyword("0|1", integer(0, 1), 0,
        "0 one filter for all elements, 1 one each, with a common gain", dialect=N2P2, tier="R")
    selection_mode: SelectionSchedule = keyword("m [epoch m ...]", selection, SelectionSchedule(),
        "0 random, 1 largest errors first, 2 by threshold; other modes from other epochs on",
        dialect=N2P2, tier="R",
        note="1: all energies and force components are sorted by their errors at the start of an epoch, and "
             "those shares of them that are used come in descending order. `selection_mode 2 15 1 20 2` is 1 "
             "from epoch 15 to 19, and 2 else.")
    repeated_energy_update: bool = keyword("", flag, False,
        "a second energy update after the force updates", dialect=BOTH, tier="R")
