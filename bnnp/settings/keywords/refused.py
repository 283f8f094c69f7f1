"""Keywords that stop bnnp (tier X), single names or families, each with the reason."""

from __future__ import annotations

from bnnp.settings.arguments import anything
from bnnp.settings.keywords.record import Keyword

ELECTROSTATICS = (
    "bnnp has charges of networks (`nnp_gen 3`), charges that equilibrate (`nnp_gen 4`), where all networks "
    "share the symmetry functions, and fixed ones (`fixed_charge`)"
)
VAN_DER_WAALS = (
    "bnnp has no van der Waals term; subtract it from the reference data, or put it into the dynamics"
)
PAIR = "bnnp has atomic networks only (nn_type_short 1), no pair networks"
HAMILTONIAN = "bnnp has no Hamiltonian networks"
RUNNER_2 = (
    "this looks like a RuNNer 2 input, whose keywords mean other things; bnnp reads RuNNer 1.x and n2p2"
)

_OUTDATED = {
    "nn_type": "outdated in RuNNer, too; write `nn_type_short 1`",
    "use_electrostatic_nn": "outdated in RuNNer, too; " + ELECTROSTATICS,
    "use_fixed_charges": "outdated in RuNNer, too; " + ELECTROSTATICS,
    "global_output_nodes_*": "outdated in RuNNer, too; the output has one node: remove the line",
}
_FAMILIES = {
    ELECTROSTATICS: (
        "*_electrostatic *_ewald *_elec *_elec_* charge_* *_charge *_charges *_charge_* *_charge_constraint"
    ),
    VAN_DER_WAALS: "use_vdw vdw_* nn_type_vdw cutoff_vdw",
    PAIR: "*_pair *_pair_* pairsymfunction_* *_pairsymfunction_*",
    HAMILTONIAN: "use_hamiltonian *_ham *_ham_* *_hamsymfunction *nntb* basis",
    RUNNER_2: "fc_* default_* scale_feature_maps* center_feature_maps* feature_map_*",
}


def _refused(name: str, reason: str) -> Keyword:
    return Keyword(name, "", anything, None, reason, "Refused", tier="X", dialect="RuNNer", repeatable=True)


REFUSED = tuple(_refused(name, reason) for name, reason in _OUTDATED.items()) + tuple(
    _refused(name, reason) for reason, names in _FAMILIES.items() for name in names.split()
)
