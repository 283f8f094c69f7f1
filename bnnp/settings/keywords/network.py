"""Keywords of the element networks, their initial weights and their dropout."""

from __future__ import annotations

from dataclasses import dataclass

from bnnp.settings.arguments import auto_or, choice, flag, integer, integers, real, reals, text
from bnnp.settings.keywords.record import BNNP, BOTH, RUNNER, Section, keyword


# fmt: off
@dataclass(frozen=True)
class NetworkSettings(Section, title="Network", modes="23", dialect=BOTH):
    """Networks of the elements and their initial weights."""

    global_hidden_layers_short: int = keyword("L", integer(1), 2,
        "number of hidden layers; without the keyword that of global_nodes_short")
    global_nodes_short: tuple[int, ...] = keyword("n_1 ... n_L", integers(1), (24, 24),
        "nodes of each hidden layer", aliases=("global_nodes_short_atomic",))
    global_activation_short: tuple[str, ...] = keyword("a_1 ... a_L a_out", text, ("p", "p", "l"),
        "activation of each hidden layer and of the output",
        note="l x; t tanh; s 1/(1+exp(-x)); S 1 - s; g exp(-x^2/2); c cos; e exp(-x); h x^2; p ln(1+exp(x)); "
             "r max(0,x).")
    element_hidden_layers_short: tuple[tuple[str, ...], ...] = keyword("X L", text, (),
        "another number of hidden layers for element X", tier="R", repeatable=True)
    element_nodes_short: tuple[tuple[str, ...], ...] = keyword("X layer n | X n_1 ... n_L", text, (),
        "other nodes for element X: RuNNer's form (one layer) or n2p2's (all layers)",
        tier="R", repeatable=True,
        note="Two numbers are read as RuNNer's form in a RuNNer input and as n2p2's otherwise.")
    element_activation_short: tuple[tuple[str, ...], ...] = keyword(
        "X layer node a | X a_1 ... a_out", text, (),
        "other activations for element X: RuNNer's form (one node) or n2p2's (all layers)",
        tier="R", repeatable=True,
        note="All nodes of a layer have one activation: RuNNer's form must name each node of the layer.")
    normalize_nodes: bool = keyword("", flag, False,
        "divide the argument of each activation by the number of nodes of the layer before", tier="R")
    weights_min: float = keyword("w", real(), -1.0,
        "lower end of uniform initial weights", modes="2",
        note="Without this, weights_max and nguyen_widrow_weights_short, initial weights follow Glorot.")
    weights_max: float = keyword("w", real(), 1.0,
        "upper end of uniform initial weights", modes="2",
        note="Without this, weights_min and nguyen_widrow_weights_short, initial weights follow Glorot.")
    nguyen_widrow_weights_short: bool = keyword("", flag, False,
        "initial weights of Nguyen and Widrow", modes="2", tier="R")
    precondition_weights: bool = keyword("", flag, True,
        "match mean and spread of the initial network energies to the training set; always on",
        modes="2", dialect=RUNNER, tier="R")
    use_old_weights_short: bool = keyword("", flag, False,
        "start from the weights.XXX.data that are there", modes="2")


@dataclass(frozen=True)
class DropoutSettings(Section, title="Dropout", modes="2", dialect=BNNP):
    """Dropout in training and its Monte Carlo samples in prediction."""

    mc_dropout: str = keyword("after|during", choice("after", "during"), "after",
        "nodes are dropped only after the training, in the samples, or during it, too", modes="2",
        note="after: the training has no dropout, and the prediction is that of the plain network. In a "
             "sample a dropped node is replaced by its mean over the training atoms. during: as in the "
             "literature of Monte Carlo dropout; the prediction is the mean over the samples, and its errors "
             "are larger. Without the keyword, during where dropout_rate, dropout_rate_input, dropout_masks "
             "or finetune is given.")
    dropout_rate: tuple[float, ...] | str = keyword(
        "p | p_1 ... p_L | auto", auto_or(reals(0.0, below=1.0)), (0.05,),
        "chance to DROP a hidden node, for all hidden layers or one number each",
        note="auto: short trainings with 0.01, 0.025, 0.05, 0.1, 0.2; the lowest negative log-likelihood of "
             "the test set is taken. Without the keyword 0 where RuNNer's or n2p2's words tell how to train. "
             "Mode 3 takes the rates of the training from uncertainty.data.")
    dropout_rate_input: float = keyword("p", real(0.0, below=1.0), 0.0,
        "chance to drop a symmetry function",
        note="Mode 3 takes the rates of the training from uncertainty.data.")
    dropout_masks: int = keyword("n", integer(1), 4,
        "masks of each structure in an update; the loss is that of the mean over them")
    allow_high_dropout: bool = keyword("", flag, False,
        "confirms that a rate of 0.5 or more is meant as a chance to drop, not to keep")
    mc_samples: int = keyword("n", integer(0), 100,
        "dropout masks in the Monte Carlo mean; 0: the plain network, without uncertainty", modes="23")
    mc_masks: str = keyword("frozen|resample", choice("frozen", "resample"), "frozen",
        "the same masks for every structure (smooth, conservative), or new ones each time", modes="3",
        note="In molecular dynamics new masks at every step are a random force: they heat by about 3 "
             "sigma_F^2 dt / (2 m S) an atom and time, with sigma_F the deviation of a force component and S "
             "samples. A thermostat hides it; nve is refused.")

    @property
    def after(self) -> bool:
        """Whether the training has no dropout (``mc_dropout after``)."""
        return self.mc_dropout == "after"
