"""Keywords of the charges of a potential: networks, widths, screening, Ewald sums."""

from __future__ import annotations

from dataclasses import dataclass

from bnnp.settings.arguments import (
    choice,
    element_and_positive,
    element_and_real,
    ewald_precision,
    flag,
    integer,
    integers,
    real,
    text,
)
from bnnp.settings.arguments import screening as screening_words
from bnnp.settings.keywords.record import BNNP, BOTH, N2P2, RUNNER, Section, keyword


# fmt: off
@dataclass(frozen=True)
class ChargeSettings(Section, title="Charges", modes="23", dialect=BOTH):
    """Charges of the atoms and their electrostatic energy: `nnp_gen 3`, `nnp_gen 4` or `fixed_charge`."""

    use_electrostatics: bool = keyword("", flag, False,
        "charges and their energy; `nnp_gen` or `fixed_charge` alone say so, too", dialect=RUNNER)
    electrostatic_type: int | None = keyword("1|3|5", integer(1, 5), None,
        "1: charges of networks (nnp_gen 3), 3: those of fixed_charge, 5: equilibration (nnp_gen 4)",
        dialect=RUNNER, aliases=("nn_type_elec",))
    fixed_charge: tuple[tuple[str, float], ...] = keyword("X q", element_and_real, (),
        "charge of element X; their energy is subtracted in training, added in prediction",
        dialect=RUNNER, repeatable=True,
        note="One line for each element. The charges of a structure must add up to its total charge.")
    fixed_gausswidth: tuple[tuple[str, float], ...] = keyword("X sigma", element_and_positive, (),
        "width of the Gaussian charge of element X", repeatable=True,
        note="One line for each element; without any nnp_gen 3 and fixed_charge have point charges. The "
             "hardness of X stands in hardness.XXX.data.")
    symfunction_electrostatic: tuple[tuple[str, ...], ...] = keyword(
        "X type [neighbors] parameters r_c", text, (),
        "a symmetry function of the networks of charges; they must be those of symfunction_short",
        dialect=RUNNER, repeatable=True)
    element_symfunction_electrostatic: tuple[tuple[str, ...], ...] = keyword(
        "X type parameters r_c", text, (), "the same as element_symfunction_short", dialect=RUNNER,
        repeatable=True)
    global_symfunction_electrostatic: tuple[tuple[str, ...], ...] = keyword(
        "type parameters r_c", text, (), "the same as global_symfunction_short", dialect=RUNNER,
        repeatable=True)
    screen_electrostatics: tuple[float, float, str] | None = keyword(
        "r_in r_out [c|p1|p2|p3|p4|e]", screening_words, None,
        "leave the electrostatic energy of close pairs to the networks: all below r_in, none above r_out",
        note="In between a cosine (c), a polynomial of n2p2 (p1 ... p4) or exp(1 - 1/(1 - x^2)) (e).")
    ewald_truncation_error_method: int = keyword("0|1", integer(0, 1), 0,
        "meaning of ewald_prec: 0 Jackson and Catlow, 1 Kolafa and Perram", dialect=N2P2,
        note="0: all terms below the precision are left out. 1: the precision is the mean error of a force.")
    ewald_prec: tuple[float, ...] = keyword("p [q_max [r_cut]]", ewald_precision, (1e-6,),
        "precision of the Ewald sum of periodic structures", dialect=N2P2,
        note="The largest charge q_max (without it 1) and the cutoff r_cut are those of "
             "ewald_truncation_error_method 1, which has no precision by default.")
    ewald_alpha: float | None = keyword("alpha", real(above=0.0), None,
        "width 1/(sqrt(2) alpha) of the Gaussians of the Ewald sum, in place of ewald_prec", dialect=RUNNER,
        note="ewald_alpha, ewald_cutoff and ewald_kmax go together: all three or none.")
    ewald_cutoff: float | None = keyword("r", real(above=0.0), None,
        "cutoff of the sum over distances, with ewald_alpha", dialect=RUNNER)
    ewald_kmax: int | None = keyword("n", integer(1), None,
        "largest index of the wave vectors along each axis, with ewald_alpha", dialect=RUNNER)
    four_pi_epsilon: float | None = keyword("x", real(above=0.0), None,
        "4 pi epsilon_0 in e^2/(energy length); without the keyword that of `units`", dialect=N2P2)
    conv_charge: float = keyword("x", real(above=0.0), 1.0,
        "n2p2's normalization: factor of charges", dialect=N2P2)
    global_hidden_layers_electrostatic: int = keyword("L", integer(1), 2,
        "hidden layers of the networks of electronegativities (nnp_gen 4) or charges (nnp_gen 3)")
    global_nodes_electrostatic: tuple[int, ...] = keyword("n_1 ... n_L", integers(1), (24, 24),
        "nodes of each of their hidden layers")
    global_activation_electrostatic: tuple[str, ...] = keyword("a_1 ... a_L a_out", text, ("p", "p", "l"),
        "activation of each of their hidden layers and of the output; letters as global_activation_short")
    element_hidden_layers_electrostatic: tuple[tuple[str, ...], ...] = keyword("X L", text, (),
        "another number of hidden layers for element X", repeatable=True)
    element_nodes_electrostatic: tuple[tuple[str, ...], ...] = keyword("X layer n | X n_1 ... n_L", text, (),
        "other nodes for element X, as element_nodes_short", repeatable=True)
    element_activation_electrostatic: tuple[tuple[str, ...], ...] = keyword(
        "X layer node a | X a_1 ... a_out", text, (),
        "other activations for element X, as element_activation_short", repeatable=True)
    train_charges: str = keyword("separate|joint", choice("separate", "joint"), "separate",
        "separate: first, on reference charges; joint: with the energies and forces, without any",
        modes="2", dialect=BNNP)
    dipole_weight: float = keyword("w", real(0.0), 1.0,
        "weight of dipole moments and Born charges in the loss, with `train_charges joint`",
        modes="2", dialect=BNNP)
    initial_hardness: tuple[tuple[str, float], ...] = keyword("X J", element_and_positive, (),
        "hardness of element X before the first step, energy/e^2; 1 hartree/e^2 without a line",
        modes="2", dialect=N2P2, repeatable=True)
    use_old_weights_charge: bool = keyword("", flag, False,
        "start stage 1 from the weightse.XXX.data and hardness.XXX.data that are there", modes="2")
    nguyen_widrow_weights_charge: bool = keyword("", flag, False,
        "initial weights of Nguyen and Widrow for the networks of charges", modes="2", dialect=N2P2)
    charge_fraction: float = keyword("x", real(0.0, 1.0), 1.0,
        "share of the charges that an epoch of stage 1 uses, with n2p2's and RuNNer's updates", modes="2")
    task_batch_size_charge: int = keyword("n", integer(0), 1,
        "charges in an update of stage 1, with n2p2's updates; 0: all", modes="2", dialect=N2P2)
