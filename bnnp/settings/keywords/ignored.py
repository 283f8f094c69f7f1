"""Keywords of RuNNer and n2p2 that bnnp accepts and does not act on (tier O)."""

from __future__ import annotations

from dataclasses import replace

from bnnp.settings.arguments import anything
from bnnp.settings.keywords.record import Keyword

TITLE = "Accepted without effect"

# fmt: off
_TABLE = (  # name, arguments, modes, programs that have it, meaning there
    ("random_number_type", "n", "12", "RuNNer", "choice of the random number generator"),
    ("points_in_memory", "n", "123", "RuNNer", "structures held in memory at once; see memory_limit"),
    ("enforce_max_num_neighbors_atomic", "n", "123", "RuNNer", "bound of an array"),
    ("use_atom_charges", "", "123", "RuNNer", "reads the charges of input.data; always on"),
    ("enforce_totcharge", "n", "123", "RuNNer",
     "restores the total charge; always, by the same amount on each atom"),
    ("use_charge_constraint", "", "2", "RuNNer", "trains the total charge; bnnp restores it always"),
    ("use_atom_energies", "", "123", "RuNNer",
     "reads the atomic energies of input.data, which are not used"),
    ("analyze_composition", "", "2", "RuNNer", "table of compositions; mode 1 and --check print it"),
    ("symfunction_correlation", "", "2", "RuNNer", "correlation of symmetry functions"),
    ("environment_analysis", "", "2", "RuNNer", "statistics of atomic environments"),
    ("find_contradictions", "dG dF", "2", "RuNNer", "similar environments with different forces"),
    ("data_clustering", "a b", "2", "RuNNer", "clusters of similar environments"),
    ("use_sf_groups", "", "123", "RuNNer", "groups of symmetry functions; always on"),
    ("parallel_mode", "n", "123", "RuNNer n2p2", "way of running in parallel"),
    ("use_omp_mkl", "", "123", "RuNNer", "threaded linear algebra; see threads"),
    ("debug_mode", "", "123", "RuNNer", "more output"),
    ("detailed_timing", "", "123", "RuNNer", "more timings"),
    ("detailed_timing_epoch", "", "2", "RuNNer", "more timings each epoch"),
    ("silent_mode", "", "123", "RuNNer", "less output"),
    ("md_mode", "", "3", "RuNNer", "less output in prediction"),
    ("prepare_md", "", "3", "RuNNer", "files for RuNNer's molecular dynamics"),
    ("read_unformatted", "", "123", "RuNNer", "binary files"),
    ("write_unformatted", "", "123", "RuNNer", "binary files"),
    ("fitmode", "1|2", "2", "RuNNer", "online or batch fitting; see kalman_updates and batch_size"),
    ("separate_kalman_short", "", "2", "RuNNer",
     "one filter for energies, one for forces; bnnp has one for both"),
    ("save_kalman_matrices", "", "2", "RuNNer", "restart file; see checkpoint_interval"),
    ("read_kalman_matrices", "", "2", "RuNNer", "restart file; see --restart"),
    ("element_decoupled_kalman", "", "2", "RuNNer", "a gain common to all elements; always on"),
    ("element_decoupled_forces_v2", "", "2", "RuNNer",
     "gain of force updates; forces change the weights of all elements anyway"),
    ("force_grouping_by_structure", "", "2", "RuNNer",
     "one force update a structure; see short_force_group"),
    ("dynamic_force_grouping", "start step", "2", "RuNNer",
     "growing groups of forces; see short_force_group"),
    ("joint_energy_force_update", "", "2", "RuNNer",
     "one update for energy and forces; see kalman_updates joint"),
    ("update_worst_short_energies", "x", "2", "RuNNer", "only the worst energies; see selection_mode 1"),
    ("update_worst_short_forces", "x", "2", "RuNNer", "only the worst forces; see selection_mode 1"),
    ("random_order_training", "", "2", "RuNNer", "random order; always on"),
    ("growth_mode", "n k", "2", "RuNNer", "add n structures every k epochs"),
    ("separate_bias_ini_short", "", "2", "RuNNer", "separate interval for initial biases"),
    ("biasweights_min", "w", "2", "RuNNer", "lower end of that interval"),
    ("biasweights_max", "w", "2", "RuNNer", "upper end of that interval"),
    ("use_systematic_weights_short", "", "2", "RuNNer", "initial weights on a grid"),
    ("fix_weights", "", "2", "RuNNer", "keep the weights of weight_constraint"),
    ("weight_constraint", "X ...", "2", "RuNNer", "weights that stay fixed"),
    ("use_damping", "x", "2", "RuNNer",
     "adds the mean square of RuNNer's weights to errors; bnnp's act on other inputs"),
    ("restrict_weights", "x", "2", "RuNNer", "bound of RuNNer's weights; bnnp's act on other inputs"),
    ("regularize_fit_param", "x", "2", "RuNNer", "regularization; see weight_decay"),
    ("shuffle_weights_short_atomic", "n p", "2", "RuNNer", "random changes of weights"),
    ("detect_saturation", "x", "2", "RuNNer", "saturated nodes"),
    ("write_temporary_weights", "", "2", "RuNNer", "weights within an epoch"),
    ("write_fit_statistics", "", "2", "RuNNer", "more statistics"),
    ("write_binding_energy_only", "", "2", "RuNNer", "other energies in trainpoints"),
    ("print_convergence_vector", "", "2", "RuNNer", "changes of weights"),
    ("print_sensitivity", "", "2", "RuNNer", "sensitivity of each symmetry function"),
    ("print_date_and_time", "", "123", "RuNNer", "time stamps"),
    ("print_all_short_weights", "", "2", "RuNNer", "debugging"),
    ("print_all_deshortdw", "", "2", "RuNNer", "debugging"),
    ("print_all_dfshortdw", "", "2", "RuNNer", "debugging"),
    ("weight_analysis", "", "2", "RuNNer", "statistics of weights"),
    ("analyze_error", "", "2", "RuNNer", "histogram of errors"),
    ("analyze_error_energy_step", "E", "2", "RuNNer", "its bin"),
    ("analyze_error_force_step", "F", "2", "RuNNer", "its bin"),
    ("calculate_final_force", "", "2", "RuNNer", "forces after the last epoch only"),
    ("initialization_only", "", "2", "RuNNer", "stop before training; see epochs 0"),
    ("update_single_element", "Z", "2", "RuNNer", "train one element only"),
    ("force_energy_ratio", "x", "2", "n2p2",
     "force updates for one energy update; see short_force_fraction"),
    ("memorize_symfunc_results", "", "2", "n2p2", "keep symmetry functions in memory"),
    ("normalize_data_set", "mode", "2", "n2p2", "normalize while training; bnnp always does, inside"),
    ("main_error_metric", "name", "2", "n2p2", "which error is printed; bnnp prints all"),
    ("write_neuronstats", "[n [always]]", "2", "n2p2", "statistics of nodes"),
    ("write_trainlog", "", "2", "n2p2", "log of updates"),
    ("write_symfunctions", "", "3", "RuNNer", "symfunctions.out"),
    ("write_pdb", "", "3", "RuNNer", "structure as pdb"),
    ("write_xyz", "", "3", "RuNNer", "structure as xyz"),
    ("write_pov", "", "3", "RuNNer", "structure for povray"),
    ("write_pwscf", "", "3", "RuNNer", "structure for pwscf"),
    ("print_force_components", "", "3", "RuNNer", "short-range and electrostatic forces"),
    ("calculate_hessian", "", "3", "RuNNer", "second derivatives"),
    ("calculate_frequencies", "", "3", "RuNNer", "vibrational frequencies"),
    ("calculate_normalmodes", "", "3", "RuNNer", "normal modes"),
)
# fmt: on
# How RuNNer and n2p2 train charges; bnnp trains them as everything else.
_CHARGES = (
    *("write_traincharges", "charge_group", "charge_grouping_by_structure"),
    *("charge_error_threshold", "total_charge_error_threshold", "charge_update_scaling", "noise_charge"),
    *("optmode_charge", "steepest_descent_step_charge", "kalman_lambda_charge", "kalman_nue_charge"),
    *("kalman_lambda_charge_constraint", "kalman_nue_charge_constraint", "kalman_damp_charge"),
    *("update_worst_charges", "nguyen_widrow_weights_ewald"),
    *("use_systematic_weights_electrostatic", "weightse_min", "weightse_max", "weighte_constraint"),
    *("analyze_error_charge_step", "print_all_electrostatic_weights"),
)

_ALIASES = {"points_in_memory": ("nblock",)}
_REPEATABLE = ("weight_constraint", "weighte_constraint")


def _ignored(name: str, arguments: str, modes: str, dialect: str, meaning: str) -> Keyword:
    record = Keyword(name, arguments, anything, None, meaning, TITLE, modes=modes, tier="O", dialect=dialect)
    return replace(record, aliases=_ALIASES.get(name, ()), repeatable=name in _REPEATABLE)


IGNORED = (
    *(_ignored(*row) for row in _TABLE),
    *(
        _ignored(
            name,
            "...",
            "2",
            "RuNNer",
            "training of charges; the keywords of the training act on both of its stages",
        )
        for name in _CHARGES
    ),
)
