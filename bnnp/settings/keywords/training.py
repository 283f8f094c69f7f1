"""Keywords of mode 2: optimizer, loss, ensemble, fine-tuning, transfer, output."""

from __future__ import annotations

from dataclasses import dataclass

from bnnp.settings.arguments import (
    AUTO,
    Every,
    auto_or,
    choice,
    every,
    flag,
    group_weight,
    integer,
    pair,
    real,
    reals,
    text,
)
from bnnp.settings.keywords.record import BNNP, BOTH, N2P2, RUNNER, Section, keyword

PASSES = 1500  # structures the Kalman filter takes up in all epochs of `epochs auto`
FEWEST, MOST = 2, 30  # epochs of it
EPOCHS = 150  # of other methods


# fmt: off
@dataclass(frozen=True)
class TrainingSettings(Section, title="Training", modes="2", dialect=BNNP):
    """Optimizer of mode 2, weights of the terms of the loss, precision."""

    epochs: int | str = keyword("n|auto", auto_or(integer(0)), AUTO,
        "number of passes over the training set; 0 evaluates the initial weights only",
        dialect=BOTH,
        note=f"auto: with the Kalman filter {PASSES} / structures, but {FEWEST} to {MOST}; "
             f"{EPOCHS} with other methods.")
    training_time: float = keyword("minutes", real(0.0), 0.0,
        "the epoch under way after so many minutes is the last, and ends there; 0: no limit",
        note="A training that ends by the clock is not the same on another day. `--restart` goes on for "
             "as long again.")
    optimizer: str = keyword("name", choice("adam", "lbfgs", "kalman", "descent"), "kalman",
        "the method of training: adam, lbfgs, kalman or descent (plain gradient descent)",
        note="RuNNer's and n2p2's words for it (optmode_short_energy, updater_type) are understood, too. "
             "Without any, adam where a keyword of Adam (learning_rate, weight_decay, schedule, ...), "
             "transfer_rates or `device cuda` is given.")
    polish_epochs: int = keyword("n", integer(0), 0,
        "the last n epochs are L-BFGS, whatever the optimizer before")
    early_stopping: int = keyword("n", integer(0), 0,
        "end after n epochs without a new best one; 0: never")
    weight_average: float = keyword("b", real(0.0, below=1.0), 0.0,
        "write the moving average of the weights with this decay a step, e.g. 0.999; 0: no average")
    schedule: str = keyword("cosine|plateau", choice("cosine", "plateau"), "cosine",
        "fall of the step size: along half a cosine, or by half wherever progress stops")
    plateau_patience: int = keyword("n", integer(1), 20,
        "epochs without progress after which `schedule plateau` halves the step size")
    lbfgs_memory: int = keyword("n", integer(1), 20,
        "steps L-BFGS remembers")
    learning_rate: float = keyword("x", real(above=0.0), 0.01,
        "step size of Adam after the warm-up")
    learning_rate_final: float = keyword("x", real(above=0.0), 1e-05,
        "step size at the last epoch, reached along half a cosine")
    warmup_epochs: int = keyword("n", integer(0), 5,
        "epochs over which the step size rises from 0")
    batch_size: int = keyword("n", integer(1), 4,
        "structures in one step, over all ranks")
    energy_weight: float = keyword("w", real(0.0), 1.0,
        "weight of the energies per atom, relative to their variance in the training set",
        note="3 with joint updates of the Kalman filter, unless the keyword is there.")
    force_weight: float = keyword("w", real(0.0), 1.0,
        "weight of the force components, relative to their variance in the training set",
        dialect=N2P2, tier="R",
        note="RuNNer's force_update_scaling sets it, if positive; negative means balanced, which 1 is here.")
    stress_weight: float = keyword("w", real(0.0), 0.1,
        "weight of the stress, where the data has it, relative to its variance",
        note="All optimizers train it, where use_short_forces is on.")
    force_update_scaling: float = keyword("x", real(), 1.0,
        "RuNNer's force_weight", dialect=RUNNER, tier="R",
        note="Positive: force_weight, unless that is given, too. Negative: balanced, as without it.")
    weight_decay: float = keyword("x", real(0.0), 0.0,
        "decoupled weight decay of Adam (AdamW)")
    gradient_clip: float = keyword("x", real(0.0), 0.0,
        "longest gradient of one step; 0: no limit")
    gradient_adam_eta: float = keyword("x", real(above=0.0), 0.001,
        "n2p2's step size of Adam: constant, sets learning_rate where gradient descent is asked for",
        dialect=N2P2, tier="R")
    gradient_adam_beta1: float = keyword("x", real(0.0, below=1.0), 0.9,
        "decay of Adam's mean of gradients", dialect=N2P2, tier="R")
    gradient_adam_beta2: float = keyword("x", real(0.0, below=1.0), 0.999,
        "decay of Adam's mean of squared gradients", dialect=N2P2, tier="R")
    gradient_adam_epsilon: float = keyword("x", real(above=0.0), 1e-08,
        "smallest denominator of Adam", dialect=N2P2, tier="R")
    max_energy: float = keyword("E", real(), 10000.0,
        "structures with a larger energy per atom are neither trained on nor counted, forces included",
        dialect=RUNNER, tier="R", unit="energy/atom")
    max_force: float = keyword("F", real(above=0.0), 10000.0,
        "force components beyond this are neither trained on nor counted",
        dialect=RUNNER, tier="R", unit="force")
    mix_all_points: bool = keyword("", flag, True,
        "new random order of the training set every epoch; always on", dialect=RUNNER, tier="R")
    precision: str = keyword("double|single", choice("double", "single"), "double",
        "numbers of the training, and of the symmetry functions in mode 3; mode 1 is always double",
        modes="23",
        note="Mode 3: energies and forces change in their seventh digit, molecular dynamics is 1.4 to 1.9 "
             "times faster, also by ASE and pair_style bnnp with this line in the input.nn of the potential. "
             "Mode 2: the covariance of the Kalman filter, half of a symmetric matrix, takes 4 n^2 bytes for "
             "n weights in double and 2 n^2 in single precision; an update is faster in single precision, "
             "too, but rounding may end a training.")
    device: str = keyword("cpu|cuda", choice("cpu", "cuda"), "cpu",
        "where to train, and where torch computes symmetry functions in modes 1 and 3", modes="123")

    def n_epochs(self, n_structures: int) -> int:
        """Epochs of a training on so many structures."""
        if isinstance(self.epochs, int):
            return self.epochs
        if self.optimizer != "kalman":
            return EPOCHS
        return min(max(round(PASSES / max(n_structures, 1)), FEWEST), MOST)


@dataclass(frozen=True)
class LossSettings(Section, title="Loss", modes="2", dialect=BNNP):
    """What else the loss is made of."""

    group_weight: tuple[tuple[str, float, float, float], ...] = keyword(
        "LABEL w | LABEL w_E w_F w_S", group_weight, (),
        "weight of all structures with `group=LABEL` in their comment, or of energies, forces and stresses",
        repeatable=True,
        note="Multiplies `weight=` of the structure; groups without a line have weight 1.")
    huber_delta: float = keyword("x", real(0.0), 0.0,
        "errors beyond x times the spread of the training data count linearly (Huber); 0: squares only")
    force_weighting: str = keyword("none|gdf", choice("none", "gdf"), "none",
        "gdf: forces on atoms in rare environments weigh more, by the Gaussian density of the training set",
        note="Jeong et al., J. Phys. Chem. C 122, 22790 (2018). The mean weight of each element is 1.")
    gdf_sigma: float | str = keyword("x|auto", auto_or(real(above=0.0)), "auto",
        "width of the Gaussians of force_weighting, in functions scaled to [-1, 1] and per dimension",
        note="auto: 99 % of the atoms of an element have a neighbor within one width.")
    gdf_sigmoid: tuple[float, float] | None = keyword("b c", pair, None,
        "force_weighting by x / (1 + exp(c - b x)) of the inverse density x instead of by x")
    network_inputs: str = keyword(
        "auto|whitened|principal|scaled", choice("auto", "whitened", "principal", "scaled"), "auto",
        "what the networks are trained on: principal components of equal or of their own spread, or the "
        "functions as the files scale them",
        note="auto: principal with the Kalman filter, whitened with other methods. The files hold plain "
             "networks on scaled functions either way. Dropout of inputs always trains on scaled ones. "
             "`scale_min_short_atomic -1` scales to [-1, 1].")


@dataclass(frozen=True)
class EnsembleSettings(Section, title="Ensemble", modes="23", dialect=BNNP):
    """Several networks that differ in their random numbers."""

    ensemble_size: int = keyword("M", integer(1, 99), 1,
        "networks trained one after another, other random numbers; mode 3 divides mc_samples among them",
        note="Members 2 to M are in member_02, ...; the variance has a part within and one between them.")
    ensemble_bootstrap: bool = keyword("", flag, False,
        "each member is trained on its own sample of the training set, drawn with replacement", modes="2")


@dataclass(frozen=True)
class FinetuningSettings(Section, title="Fine-tuning", modes="2", dialect=BNNP):
    """Training of the spread of the samples after that of their mean."""

    finetune: str = keyword("none|nll", choice("none", "nll"), "none",
        "nll: after the training, train mean and spread of the frozen masks by the negative log-likelihood",
        note="Kellner, Ceriotti, Mach. Learn.: Sci. Technol. 5, 035006 (2024). Needs dropout and mc_samples.")
    finetune_epochs: int = keyword("n", integer(1), 20,
        "epochs of it")
    finetune_rate: float = keyword("x", real(above=0.0), 0.001,
        "step size of Adam at its start")
    finetune_masks: int = keyword("n", integer(2), 16,
        "frozen masks of each structure in an update; the time grows with it")


@dataclass(frozen=True)
class TransferSettings(Section, title="Transfer", modes="2", dialect=BNNP):
    """Networks that start from another potential."""

    transfer_from: tuple[str, ...] = keyword("DIRECTORY", text, (),
        "start from the potential in this directory, such as ../silicon/potential",
        note="Functions are found by their parameters; those without a partner start with weights of 0.")
    transfer_map: tuple[tuple[str, ...], ...] = keyword("X Y [X Y ...]", text, (),
        "element X starts from element Y of that potential; without it from its own network, if there is one",
        repeatable=True)
    transfer_scale_length: float = keyword("s", real(above=0.0), 1.0,
        "lengths there times s are lengths here: r_c, r_s times s, eta divided by s^2")
    transfer_scale_energy: float = keyword("e", real(above=0.0), 1.0,
        "energies there times e are energies here; their zero is fitted anew in any case")
    transfer_freeze: int = keyword("n", integer(0), 0,
        "the first n layers of transferred networks stay as they are")
    transfer_rates: tuple[float, ...] = keyword("x_1 ... x_L+1", reals(0.0), (1.0,),
        "factors of the step size for each layer of transferred networks, the output last",
        note="One number stands for all layers. Needs the optimizer adam.")


@dataclass(frozen=True)
class OutputSettings(Section, title="Training output", modes="2", dialect=BOTH):
    """What mode 2 writes while it runs."""

    fitting_unit: str = keyword("eV|Ha", choice("eV", "Ha"), "eV",
        "unit of the errors in RuNNer's ENERGY and FORCES lines of the log", dialect=RUNNER)
    print_mad: bool = keyword("", flag, False,
        "print mean absolute errors, too", dialect=RUNNER, tier="R")
    checkpoint_interval: int = keyword("n", integer(1), 10,
        "epochs between checkpoints for --restart", dialect=BNNP)
    write_weights_epoch: Every = keyword("n [always]", every, Every(0),
        "write the weights every n epochs, and in each epoch up to `always`")
    write_trainpoints: Every = keyword("[n [always]]", every, Every(0),
        "write reference and network energies every n epochs")
    write_trainforces: Every = keyword("[n [always]]", every, Every(0),
        "write reference and network forces every n epochs")
