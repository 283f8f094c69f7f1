"""What a checkpoint must share with the run that continues it."""

from __future__ import annotations

import hashlib

import numpy as np

from bnnp.io.descriptor_file import DescriptorFile
from bnnp.keyword_table.kalman import KALMAN
from bnnp.modes.training_networks import parameters_of
from bnnp.settings import Settings

SHAPING = (  # keywords without which a training that is continued would be another one
    *("random_seed", "batch_size", "precision", "normalize_nodes", "use_short_forces", "use_old_scaling"),
    *("energy_weight", "force_weight", "stress_weight", "max_energy", "max_force"),
    *("group_weight", "huber_delta", "force_weighting", "gdf_sigma", "gdf_sigmoid", "network_inputs"),
    *("transfer_freeze", "transfer_rates", "ensemble_bootstrap"),
    *("dropout_rate_input", "dropout_rate", "dropout_masks", "mc_samples"),
    *("learning_rate", "learning_rate_final", "warmup_epochs", "weight_decay", "gradient_clip"),
    *("gradient_adam_beta1", "gradient_adam_beta2", "gradient_adam_epsilon"),
    *("optimizer", "schedule", "plateau_patience", "weight_average", "polish_epochs", "lbfgs_memory"),
    *(keyword.name for keyword in KALMAN),
)


def identity(settings: Settings, file: DescriptorFile) -> dict[str, object]:
    """What a checkpoint must share with the run that continues it.

    Not among it: epochs, initial weights (they have acted already), and what changes the way or the output
    only (threads, memory_limit, derivatives, device, checkpoint_interval, write_*).
    """
    shapes, scaling, conversion = parameters_of(settings), settings.scaling, settings.normalization
    return {
        "symmetry functions": file.fingerprint,
        "input.data": file.input_digest,
        "training and test sets": _division(file),
        "networks": {x: shapes.architectures[x].describe(shapes.n_inputs[x]) for x in settings.elements},
        **{name: settings[name] for name in SHAPING},
        "selection_mode": str(settings["selection_mode"]),
        "scaling": [scaling.kind, scaling.s_min, scaling.s_max],
        "atom energies in effect": dict(settings.atom_energies),
        "mean_energy, conv_energy, conv_length": [
            conversion.mean_energy,
            conversion.conv_energy,
            conversion.conv_length,
        ],
    }


def _division(file: DescriptorFile) -> str:
    """Which structures are for what, whether derivatives are stored with them or not."""
    digest = hashlib.sha256(file.source.tobytes() + file.subset.tobytes()).hexdigest()
    training, test = (int(np.count_nonzero(file.subset == number)) for number in (0, 1))
    return f"{training} and {test} structures (sha256 {digest[:16]})"
