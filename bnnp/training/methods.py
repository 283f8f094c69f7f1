"""The optimizers input.nn asks for: which keyword sets what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bnnp.settings.settings import Settings
from bnnp.training.adam import Adam, Descent
from bnnp.training.averaging import Averaged
from bnnp.training.kalman.filter import Kalman, Memory
from bnnp.training.kalman.observations import Observers
from bnnp.training.kalman.plans import JointPlan, N2p2Plan, RunnerPlan
from bnnp.training.kalman.rows import Rows
from bnnp.training.kalman.symmetric_matrix import SymmetricMatrix
from bnnp.training.kalman.updates import UpdatePlan
from bnnp.training.lbfgs import Lbfgs
from bnnp.training.loss import Loss, Spread
from bnnp.training.optimizer import Optimizer, Polished
from bnnp.training.parameters import Parameters
from bnnp.training.ranks import Ranks
from bnnp.training.samples import Samples
from bnnp.training.schedule import CosineSchedule, PlateauSchedule, Schedule


def optimizer_of(
    settings: Settings,
    parameters: Parameters,
    n_training: int,
    epochs: int,
    filtered: Callable[[], Kalman],
    factors: NDArray[np.float64] | None = None,
) -> Optimizer:
    """The method of ``optimizer``, its moving average, and the polish after it.

    Parameters
    ----------
    n_training : int
        Training structures.
    filtered : callable
        Makes the Kalman filter.
    factors : (n_weights,) float64, optional
        Of the step size of each weight; 0 freezes it.
    """
    keywords, free = settings.training, None if factors is None else factors > 0.0
    polish = min(keywords.polish_epochs, epochs)
    if keywords.optimizer == "lbfgs":
        return Lbfgs(keywords.lbfgs_memory, free)
    if keywords.optimizer == "kalman":
        first: Optimizer = replace(filtered(), free=free)
    else:
        steps = -(-n_training // keywords.batch_size)
        first = gradient_method(settings, parameters.is_weight, steps, epochs - polish, factors)
    if keywords.weight_average > 0.0:
        first = Averaged(first, keywords.weight_average)
    return Polished(first, Lbfgs(keywords.lbfgs_memory, free), epochs - polish) if polish else first


def gradient_method(
    settings: Settings,
    is_weight: NDArray[np.bool_],
    steps: int,
    epochs: int,
    factors: NDArray[np.float64] | None = None,
) -> Adam:
    """Adam or plain descent, `steps` an epoch.

    Parameters
    ----------
    is_weight : (n_weights,) bool
        False for biases, which do not decay.
    factors : (n_weights,) float64, optional
        Of the step size of each weight.
    """
    keywords = settings.training
    method = {"adam": Adam, "descent": Descent}[keywords.optimizer]
    return method(
        schedule(settings, steps, epochs),
        is_weight,
        weight_decay=keywords.weight_decay,
        clip=keywords.gradient_clip,
        beta1=keywords.gradient_adam_beta1,
        beta2=keywords.gradient_adam_beta2,
        epsilon=keywords.gradient_adam_epsilon,
        factors=factors,
    )


def schedule(settings: Settings, steps: int, epochs: int) -> Schedule:
    """Step sizes; the warm-up takes at most a tenth of the training."""
    keywords = settings.training
    initial, total = keywords.learning_rate, epochs * steps
    final = min(keywords.learning_rate_final, initial)
    warmup = min(keywords.warmup_epochs * steps, total // 10)
    if keywords.schedule == "plateau":
        return PlateauSchedule(initial, final, warmup, keywords.plateau_patience)
    return CosineSchedule(initial, final, warmup, total)


def kalman_filter(
    settings: Settings,
    samples: Samples,
    loss: Loss,
    spread: Spread,
    observer: Observers,
    ranks: Ranks,
    per_atom: int = 3,
) -> Kalman:
    """The Kalman filter with its observations.

    A row is scaled by the square root of its term in the loss, times the mean number of force components
    used for each energy; so forces count W_F / v_F whatever the size of the structures, and epsilon, eta and
    q mean the same for all data. With RuNNer's and n2p2's updates W_F multiplies errors, as in these
    programs, not their squares.

    Parameters
    ----------
    per_atom : int
        Force components of an atom: 3, or 1 where charges take their place.
    """
    keywords, dtype = settings.kalman, observer.dtype
    joint = keywords.kalman_updates == "joint"
    forces = samples.with_forces and loss.force > 0.0
    stress = samples.with_forces and loss.stress > 0.0
    plan = plan_of(settings, samples, ranks, (loss.energy > 0.0, forces, stress), per_atom)
    per_energy = max(1.0, components_per_energy(settings, spread.n_forces)) if forces else 1.0
    force = loss.force * spread.n_forces * (1.0 if joint else settings.training.force_weight)
    smallest, damping = used_errors(settings, samples.variables.scale)
    rows = Rows(
        observer,
        samples,
        prefactors=(loss.energy * per_energy, force, loss.stress * per_energy),
        shares=(1.0 / per_energy, 1.0, spread.n_stresses / per_energy),
        thresholds=loss.thresholds,
        mine=ranks.share,
        dtype=dtype,
        smallest=smallest,
        damping=damping,
    )
    matrix = partial(
        SymmetricMatrix, dtype=dtype, rank=ranks.rank, n_ranks=ranks.size, sum_array=ranks.sum_array
    )
    return Kalman(
        memory=memory_of(settings),
        plan=plan,
        rows=rows,
        blocks=observer.parameters.blocks,
        coupling=keywords.kalman_covariance,
        matrix=matrix,
        thresholds=thresholds(settings),
        resets=keywords.reset_kalman and keywords.kalman_updates == "runner",
    )


def used_errors(settings: Settings, scale: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """RuNNer's smallest errors of energies and forces, in units of `scale`, and the factors of all errors."""
    keywords = settings.kalman
    if keywords.kalman_updates != "runner":
        return (0.0, 0.0), (1.0, 1.0)
    energy = max(keywords.fixed_short_energy_error_threshold, keywords.noise_energy)
    force = max(keywords.fixed_short_force_error_threshold, keywords.noise_force)
    return (energy / scale, force / scale), (keywords.kalman_damp_short, keywords.kalman_damp_force)


def thresholds(settings: Settings) -> tuple[float, float]:
    """Smallest errors of energies and forces that are used, in units of the last RMSE; 0 for joint updates
    and random selection."""
    keywords = settings.kalman
    modes = dict(keywords.selection_mode.steps).values()
    if keywords.kalman_updates == "joint" or (keywords.kalman_updates == "n2p2" and 2 not in modes):
        return 0.0, 0.0
    return keywords.short_energy_error_threshold, keywords.short_force_error_threshold


def components_per_energy(settings: Settings, n_forces: float) -> float:
    """Mean number of force components used for each energy, of `n_forces` a structure."""
    keywords = settings.kalman
    if keywords.kalman_updates == "joint":
        return min(n_forces, keywords.kalman_components or np.inf)
    return keywords.short_force_fraction * n_forces / max(keywords.short_energy_fraction, 1e-6)


def plan_of(
    settings: Settings,
    samples: Samples,
    ranks: Ranks,
    trained: tuple[bool, bool, bool],
    per_atom: int = 3,
) -> UpdatePlan:
    """Which observations the filter uses, in which order.

    Parameters
    ----------
    trained : (bool, bool, bool)
        Whether energies, forces and stresses are trained.
    per_atom : int
        Force components of an atom.
    """
    keywords, seed = settings.kalman, settings.general.random_seed
    energies, forces, stress = trained
    known = np.isfinite(samples.file.stress).any(axis=1)
    stressed = frozenset(np.flatnonzero(known).tolist()) if stress else frozenset()
    counts = per_atom * np.asarray(samples.file.n_atoms, dtype=np.int64) * int(forces)
    energy_share, force_share = keywords.short_energy_fraction * energies, keywords.short_force_fraction
    if keywords.kalman_updates == "joint":
        return JointPlan(seed, counts, energies, keywords.kalman_components, stressed)
    if keywords.kalman_updates == "runner":
        return RunnerPlan(
            seed,
            counts,
            energy_share,
            force_share,
            energy_group=keywords.short_energy_group,
            force_group=keywords.short_force_group,
            repeated=keywords.repeated_energy_update,
            stressed=stressed,
            stress_share=keywords.short_energy_fraction,
        )
    return N2p2Plan(
        seed,
        counts,
        energy_share,
        force_share,
        energy_batch=keywords.task_batch_size_energy,
        force_batch=keywords.task_batch_size_force,
        tasks=ranks.size,
        trials=keywords.rmse_threshold_trials,
        jacobian=keywords.jacobian_mode,
        modes=keywords.selection_mode.steps,
        stressed=stressed,
        stress_share=keywords.short_energy_fraction,
    )


def memory_of(settings: Settings) -> Memory:
    """The constants of the filter; RuNNer's noise decays with a time constant, n2p2's with a rate."""
    keywords = settings.kalman
    runner = keywords.kalman_updates == "runner"
    noisy = keywords.use_noisematrix or not runner
    tau = keywords.kalman_qtau
    return Memory(
        fading=keywords.kalman_type == 1,
        lambda_=keywords.kalman_lambda_short,
        nu=keywords.kalman_nue_short,
        epsilon=keywords.kalman_epsilon,
        q_0=keywords.kalman_q0 * noisy,
        q_tau=(1.0 / tau if tau > 0.0 else 0.0) if runner else tau,
        q_min=keywords.kalman_qmin * noisy,
        eta=keywords.kalman_eta,
        eta_tau=keywords.kalman_etatau,
        eta_max=keywords.kalman_etamax,
    )
