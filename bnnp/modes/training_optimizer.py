"""The optimizer of a training, with everything around it that input.nn asks for."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from bnnp import parallel
from bnnp.settings import Settings
from bnnp.training.adam import Adam, Descent
from bnnp.training.averaging import Averaged
from bnnp.training.kalman import Kalman, Memory
from bnnp.training.kalman_plans import JointPlan, N2p2Plan, RunnerPlan
from bnnp.training.kalman_rows import Rows
from bnnp.training.kalman_updates import Plan
from bnnp.training.lbfgs import Lbfgs
from bnnp.training.loss import Loss, Spread
from bnnp.training.observations import Observer
from bnnp.training.optimizer import Optimizer, Polished
from bnnp.training.parameters import Parameters
from bnnp.training.ranks import Ranks
from bnnp.training.samples import Samples
from bnnp.training.schedule import CosineSchedule, PlateauSchedule, Schedule
from bnnp.training.symmetric_matrix import SymmetricMatrix


def build_optimizer(
    settings: Settings,
    samples: Samples,
    loss: Loss,
    spread: Spread,
    observer: Observer,
    ranks: Ranks,
    n_training: int,
    factors: NDArray[np.float64] | None = None,
) -> Optimizer:
    """The method, its moving average, and the polish after it.

    Parameters
    ----------
    spread : Spread
        Of the normalised references.
    n_training : int
        Training structures.
    factors : (n_weights,) float64, optional
        Of the step size of each weight; those with 0 stay as they are, whatever the method.
    """
    polish = min(settings["polish_epochs"], settings["epochs"])
    n_epochs = settings["epochs"] - polish
    free = None if factors is None else factors > 0.0
    if settings["optimizer"] == "lbfgs":
        return Lbfgs(settings["lbfgs_memory"], free)
    if settings["optimizer"] == "kalman":
        first: Optimizer = replace(kalman(settings, samples, loss, spread, observer, ranks), free=free)
    else:
        steps = -(-n_training // settings["batch_size"])
        first = gradient_method(settings, observer.parameters, steps, n_epochs, factors)
    if settings["weight_average"] > 0.0:
        first = Averaged(first, settings["weight_average"])
    return Polished(first, Lbfgs(settings["lbfgs_memory"], free), n_epochs) if polish else first


def gradient_method(
    settings: Settings,
    parameters: Parameters,
    steps: int,
    epochs: int,
    factors: NDArray[np.float64] | None = None,
) -> Adam:
    """Adam or plain descent, `steps` a epoch."""
    kind = Descent if settings["optimizer"] == "descent" else Adam
    return kind(
        schedule(settings, steps, epochs),
        parameters.is_weight,
        settings["weight_decay"],
        settings["gradient_clip"],
        settings["gradient_adam_beta1"],
        settings["gradient_adam_beta2"],
        settings["gradient_adam_epsilon"],
        factors,
    )


def schedule(settings: Settings, steps: int, epochs: int) -> Schedule:
    """Step sizes; the warm-up takes at most a tenth of the training."""
    initial, total = settings["learning_rate"], epochs * steps
    final = min(settings["learning_rate_final"], initial)
    warmup = min(settings["warmup_epochs"] * steps, total // 10)
    if settings["schedule"] == "plateau":
        return PlateauSchedule(initial, final, warmup, settings["plateau_patience"])
    return CosineSchedule(initial, final, warmup, total)


def kalman(
    settings: Settings, samples: Samples, loss: Loss, spread: Spread, observer: Observer, ranks: Ranks
) -> Kalman:
    """The filter and what it takes up.

    A row is scaled by the square root of its term in the loss, times the mean number of force components that
    go with one energy; so forces count W_F / v_F whatever the size of the structures, and epsilon, eta and q
    mean the same for all data. In RuNNer's and n2p2's habits W_F multiplies errors, as in these programs,
    not their squares.
    """
    dtype = torch.float32 if settings["precision"] == "single" else torch.float64
    joint = settings["kalman_updates"] == "joint"
    forces = samples.with_forces and loss.force > 0.0
    stress = samples.with_forces and loss.stress > 0.0
    plan = plan_of(settings, samples, forces, loss.energy > 0.0, stress)
    per_energy = max(1.0, components_per_energy(settings, spread.n_forces)) if forces else 1.0
    rows = Rows(
        observer,
        samples,
        loss.energy * per_energy,
        loss.force * spread.n_forces * (1.0 if joint else settings["force_weight"]),
        loss.stress * per_energy,
        (1.0 / per_energy, 1.0, spread.n_stresses / per_energy),
        loss.thresholds,
        ranks.share,
        dtype,
        *errors_taken_up(settings, samples.scale),
    )
    return Kalman(
        memory_of(settings),
        plan,
        rows,
        observer.parameters.blocks,
        settings["kalman_covariance"],
        partial(
            SymmetricMatrix,
            dtype=dtype,
            rank=ranks.rank,
            n_ranks=ranks.size,
            sum_array=ranks.sum_array,
        ),
        thresholds(settings),
        resets=settings["reset_kalman"] and settings["kalman_updates"] == "runner",
    )


def errors_taken_up(settings: Settings, scale: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """RuNNer's smallest errors of energies and forces, in units of `scale`, and their damping."""
    if settings["kalman_updates"] != "runner":
        return (0.0, 0.0), (1.0, 1.0)
    energy = max(settings["fixed_short_energy_error_threshold"], settings["noise_energy"])
    force = max(settings["fixed_short_force_error_threshold"], settings["noise_force"])
    damping = settings["kalman_damp_short"], settings["kalman_damp_force"]
    return (energy / scale, force / scale), damping


def thresholds(settings: Settings) -> tuple[float, float]:
    """Of energies and forces, times their last errors; a joint update has none, nor has random selection."""
    style = settings["kalman_updates"]
    if style == "joint" or (style == "n2p2" and 2 not in dict(settings["selection_mode"].steps).values()):
        return 0.0, 0.0
    return settings["short_energy_error_threshold"], settings["short_force_error_threshold"]


def components_per_energy(settings: Settings, n_forces: float) -> float:
    """Mean number of force components that are taken up for each energy, of `n_forces` a structure."""
    if settings["kalman_updates"] == "joint":
        return min(n_forces, settings["kalman_components"] or np.inf)
    return settings["short_force_fraction"] * n_forces / max(settings["short_energy_fraction"], 1e-6)


def plan_of(settings: Settings, samples: Samples, forces: bool, energies: bool, stress: bool) -> Plan:
    """What the filter takes up, in which order."""
    known = np.isfinite(samples.file.stress).any(axis=1)
    stressed = frozenset(np.flatnonzero(known).tolist()) if stress else frozenset()
    seed = settings["random_seed"]
    counts = 3 * np.asarray(samples.file.n_atoms, dtype=np.int64) * int(forces)
    shares = (settings["short_energy_fraction"] * energies, settings["short_force_fraction"])
    if settings["kalman_updates"] == "joint":
        return JointPlan(seed, counts, energies, settings["kalman_components"], stressed)
    if settings["kalman_updates"] == "runner":
        groups = (settings["short_energy_group"], settings["short_force_group"])
        repeated = settings["repeated_energy_update"]
        return RunnerPlan(
            seed, counts, *shares, *groups, repeated, stressed, settings["short_energy_fraction"]
        )
    return N2p2Plan(
        seed,
        counts,
        *shares,
        settings["task_batch_size_energy"],
        settings["task_batch_size_force"],
        parallel.size(),
        settings["rmse_threshold_trials"],
        settings["jacobian_mode"],
        settings["selection_mode"].steps,
        stressed,
        settings["short_energy_fraction"],
    )


def memory_of(settings: Settings) -> Memory:
    """The constants of the filter; RuNNer's noise decays with a time constant, n2p2's with a rate."""
    runner = settings["kalman_updates"] == "runner"
    noisy = settings["use_noisematrix"] or not runner
    tau = settings["kalman_qtau"]
    return Memory(
        fading=settings["kalman_type"] == 1,
        lambda_=settings["kalman_lambda_short"],
        nu=settings["kalman_nue_short"],
        epsilon=settings["kalman_epsilon"],
        q_0=settings["kalman_q0"] * noisy,
        q_tau=(1.0 / tau if tau > 0.0 else 0.0) if runner else tau,
        q_min=settings["kalman_qmin"] * noisy,
        eta=settings["kalman_eta"],
        eta_tau=settings["kalman_etatau"],
        eta_max=settings["kalman_etamax"],
    )
