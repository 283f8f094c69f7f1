"""checkpoint.npz: everything a training needs to be continued as if it had never stopped.

A NumPy archive without pickles, written under a temporary name and renamed. Contents (n weights, k records,
epoch 0 included; n_X functions of element X):

===================================  ===========  ============================================================
format, version                      text, int64  "bnnp training checkpoint", 4
identity                             text         JSON: what input.nn and the data must still be
epochs                               int64        length of the training the step sizes were made for
epoch, batch, best_epoch             int64        as in :class:`bnnp.training.loop.State`
loss, best_criterion                 float64      likewise
best_weights                         (n,)         float64, normalized units
optimizer/NAME                                    the optimizer's state, as its own ``arrays`` gives it
history                              (k, 20)      float64, rows of :class:`bnnp.training.loop.Record`
offsets                              (n_e,)       float64, energy
scale                                float64      energy
mean_X                               (n_X,)       float64, z = (G - mean_X) matrix_X
matrix_X                             (n_X, n_X)   float64
===================================  ===========  ============================================================

Random numbers need no state: they are counted by (seed, epoch, structure). A training that is continued with
an unchanged input.nn gives the same files, bit for bit, as one that was never stopped. Another number of
epochs is allowed, but the step size then follows the schedule of the new length from there on.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnp.charges.electrostatics import ChargeModel
from bnnp.descriptors.scaling import Affine
from bnnp.errors import InputError, StaleFileError
from bnnp.io.descriptor_file import DescriptorFile
from bnnp.io.output import replacement
from bnnp.io.weights import weights_checksum
from bnnp.messages import contrast
from bnnp.settings.keywords.kalman import KalmanSettings
from bnnp.settings.keywords.training import LossSettings, TrainingSettings
from bnnp.settings.settings import Settings
from bnnp.structure import Set
from bnnp.training.initial import parameters_of
from bnnp.training.loop import Record, State
from bnnp.training.normalization import Variables

Array = NDArray[np.float64]

CHARGES = "checkpoint.charges.npz"  # of stage 1 of a potential with charges
FORMAT = "bnnp training checkpoint"
VERSION = 4
OPTIMIZER = "optimizer/"
_SECTIONS = (TrainingSettings, LossSettings, KalmanSettings)
# These say when to end and where to compute, or are read as other keywords or ignored.
_FREE = {"epochs", "early_stopping", "device", "force_update_scaling", "gradient_adam_eta", "mix_all_points"}
SHAPING = (  # keywords a training depends on: they must be the same when it is continued
    *("random_seed", "use_short_forces", "use_old_scaling", "normalize_nodes", "ensemble_bootstrap"),
    *("zbl_repulsion", "transfer_freeze", "transfer_rates"),
    *("train_charges", "dipole_weight", "initial_hardness", "charge_fraction", "task_batch_size_charge"),
    *("mc_dropout", "dropout_rate_input", "dropout_rate", "dropout_masks", "mc_samples"),
    *(k.name for section in _SECTIONS for k in section.keywords() if k.name not in _FREE),
)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A training that can be continued.

    Parameters
    ----------
    state : State
        Its optimizer as named arrays.
    variables : Variables
    epochs : int
        Length of the training that the step sizes were made for.
    """

    state: State
    variables: Variables
    epochs: int


def write_checkpoint(path: Path, checkpoint: Checkpoint, identity: Mapping[str, object]) -> None:
    """Replace the checkpoint.

    Raises
    ------
    OutputError
        The disk is full or the directory not writable; the former checkpoint is untouched.
    """
    state, variables = checkpoint.state, checkpoint.variables
    arrays: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "identity": json.dumps(identity),
        "epochs": checkpoint.epochs,
        "epoch": state.epoch,
        "batch": state.batch,
        "best_epoch": state.best_epoch,
        "loss": state.loss,
        "best_criterion": state.best_criterion,
        "scale": variables.scale,
        "best_weights": state.best_weights,
        "history": np.stack([record.row() for record in state.history]),
        "offsets": variables.offsets,
    }
    arrays |= {OPTIMIZER + name: array for name, array in state.optimizer.items()}
    for element, inputs in variables.inputs.items():
        arrays |= {f"mean_{element}": inputs.shift, f"matrix_{element}": inputs.matrix}
    with replacement(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def read_checkpoint(path: Path, identity: Mapping[str, object]) -> Checkpoint:
    """Read the checkpoint of the same training.

    Raises
    ------
    InputError
        There is none.
    StaleFileError
        It is damaged, of another version, or of a training with another `identity`.
    """
    if not path.is_file():
        raise InputError(
            f"{path.name}: not found in {path.parent.resolve()}, so there is no training to continue; "
            "run mode 2 without --restart"
        )
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        found = json.loads(str(arrays["identity"]))
        readable = str(arrays["format"]) == FORMAT and int(arrays["version"]) == VERSION
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
        raise StaleFileError(
            f"{path.name}: damaged or no checkpoint of bnnp ({error}); run mode 2 without --restart"
        ) from error
    if not readable:
        raise StaleFileError(
            f"{path.name}: version {arrays['version']}, but this bnnp reads {VERSION}; "
            "run mode 2 without --restart"
        )
    check_identity(path, found, identity)
    return Checkpoint(_state(arrays), _variables(arrays), int(arrays["epochs"]))


def check_identity(path: Path, found: Mapping[str, object], expected: Mapping[str, object]) -> None:
    """Raise StaleFileError at the first item of `expected` that is missing or different in `found`."""
    for name, value in expected.items():
        value = json.loads(json.dumps(value))
        if found.get(name) != value:
            former, present = contrast(found.get(name), value)
            raise StaleFileError(
                f"{path.name}: made with {name} = {former}, but now it is {present}. "
                "Restore it to continue, or run mode 2 without --restart to begin anew."
            )


def _state(arrays: Mapping[str, NDArray[np.float64]]) -> State:
    own = {name.removeprefix(OPTIMIZER): a for name, a in arrays.items() if name.startswith(OPTIMIZER)}
    return State(
        optimizer=own,
        epoch=int(arrays["epoch"]),
        batch=int(arrays["batch"]),
        loss=float(arrays["loss"]),
        best_epoch=int(arrays["best_epoch"]),
        best_criterion=float(arrays["best_criterion"]),
        best_weights=arrays["best_weights"],
        history=tuple(Record.of_row(row) for row in arrays["history"]),
    )


def _variables(arrays: Mapping[str, NDArray[np.float64]]) -> Variables:
    elements = [name.removeprefix("matrix_") for name in arrays if name.startswith("matrix_")]
    inputs = {x: Affine.mixing(arrays[f"mean_{x}"], arrays[f"matrix_{x}"]) for x in elements}
    return Variables(inputs, arrays["offsets"], float(arrays["scale"]))


def conditions(
    settings: Settings, file: DescriptorFile, charges: ChargeModel | None = None
) -> dict[str, object]:
    """What a checkpoint must have in common with the run that continues it.

    Not included: epochs, initial weights (they have acted already), and what only changes the speed or the
    output (threads, memory_limit, derivatives, device, checkpoint_interval, write_*).

    Parameters
    ----------
    charges : ChargeModel, optional
        What stage 1 has trained, for stage 2.
    """
    shapes, model = parameters_of(settings), settings.model
    scaling, conversion = model.scaling, model.normalization
    own: dict[str, object] = {}
    if model.electrostatics is not None:
        networks = model.electrostatics.architecture
        own["electrostatics"] = model.electrostatics.text
        own["networks of charges"] = {x: networks[x].describe(model.n_inputs[x]) for x in networks}
    if model.fixed_charges is not None:
        own["electrostatics"] = model.fixed_charges.text
    if charges is not None:
        own["charges of stage 1"] = [
            *map(weights_checksum, charges.networks.values()),
            dict(charges.hardness),
        ]
    return own | {
        "symmetry functions": file.fingerprint,
        "input.data": file.input_digest,
        "training and test sets": _division(file),
        "networks": {x: shapes.architectures[x].describe(shapes.n_inputs[x]) for x in model.elements},
        **{name: settings.value(name) for name in SHAPING},
        "selection_mode": str(settings.kalman.selection_mode),
        "scaling": [scaling.kind, scaling.s_min, scaling.s_max],
        "atom energies in effect": dict(model.atom_energies),
        "mean_energy, conv_energy, conv_length": [
            conversion.mean_energy,
            conversion.conv_energy,
            conversion.conv_length,
        ],
    }


def _division(file: DescriptorFile) -> str:
    """Sizes of training and test set, and a checksum of their structures."""
    digest = hashlib.sha256(file.source.tobytes() + file.subset.tobytes()).hexdigest()
    training, test = (int(np.count_nonzero(file.subset == number)) for number in (Set.TRAIN, Set.TEST))
    return f"{training} and {test} structures (sha256 {digest[:16]})"
