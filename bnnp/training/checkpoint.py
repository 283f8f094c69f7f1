"""checkpoint.npz: everything a training needs to go on as if it had never stopped.

A NumPy archive without pickles, written under a temporary name and renamed. Contents (n weights, e epochs +
1)::

    format, version                     "bnnp training checkpoint", 1
    identity                            JSON: what input.nn and the data must still be (see
    :func:`check_identity`) epoch, batch, steps, best_epoch     int64 loss, best_criterion, scale
    float64; scale in units of energy weights, mean, square, best_weights (n,) float64 history
    (e, 20) float64, rows of :class:`bnnp.training.loop.Record` offsets
    (n_elements,) float64, energy mean_X, matrix_X                    z = (G - mean) matrix of element X,
    float64

Random numbers need no state: they are counted by (seed, epoch, structure).
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnp.errors import InputError, StaleFileError
from bnnp.io.output import cannot_write
from bnnp.training.adam import AdamState
from bnnp.training.loop import Record, State
from bnnp.training.normalization import Inputs

Array = NDArray[np.float64]

FILE_NAME = "checkpoint.npz"
FORMAT = "bnnp training checkpoint"
VERSION = 1


@dataclass(frozen=True, eq=False)
class Normalized:
    """How inputs and targets are normalised; kept, because eigenvectors differ between machines.

    Parameters
    ----------
    inputs : mapping of str to Inputs
    offsets : (n_elements,) float64, energy
        Energy per atom of each element, free-atom energies included.
    scale : float, energy
    """

    inputs: Mapping[str, Inputs]
    offsets: Array
    scale: float


def write_checkpoint(
    path: Path, state: State, normalized: Normalized, identity: Mapping[str, object]
) -> None:
    """Replace the checkpoint.

    Raises
    ------
    OutputError
        The disk is full or the directory not writable; the former checkpoint is untouched.
    """
    arrays: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "identity": json.dumps(identity),
        "epoch": state.epoch,
        "batch": state.batch,
        "steps": state.optimizer.steps,
        "best_epoch": state.best_epoch,
        "loss": state.loss,
        "best_criterion": state.best_criterion,
        "scale": normalized.scale,
        "weights": state.optimizer.weights,
        "mean": state.optimizer.mean,
        "square": state.optimizer.square,
        "best_weights": state.best_weights,
        "history": np.stack([record.row() for record in state.history]),
        "offsets": normalized.offsets,
    }
    for element, inputs in normalized.inputs.items():
        arrays |= {f"mean_{element}": inputs.mean, f"matrix_{element}": inputs.matrix}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def read_checkpoint(path: Path, identity: Mapping[str, object]) -> tuple[State, Normalized]:
    """Read the checkpoint of the same training.

    Raises
    ------
    InputError
        There is none.
    StaleFileError
        It is damaged, of another version, or of another training than `identity` says.
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
    return _state(arrays), _normalized(arrays)


def check_identity(path: Path, found: Mapping[str, object], expected: Mapping[str, object]) -> None:
    """Raise StaleFileError at the first entry of `expected` that `found` does not share."""
    for name, value in expected.items():
        value = json.loads(json.dumps(value))
        if found.get(name) != value:
            raise StaleFileError(
                f"{path.name}: made with {name} = {_short(found.get(name))}, but now it is {_short(value)}. "
                "Restore it to continue, or run mode 2 without --restart to begin anew."
            )


def _state(arrays: Mapping[str, NDArray[np.float64]]) -> State:
    optimizer = AdamState(arrays["weights"], arrays["mean"], arrays["square"], int(arrays["steps"]))
    return State(
        optimizer,
        int(arrays["epoch"]),
        int(arrays["batch"]),
        float(arrays["loss"]),
        int(arrays["best_epoch"]),
        float(arrays["best_criterion"]),
        arrays["best_weights"],
        tuple(Record.of_row(row) for row in arrays["history"]),
    )


def _normalized(arrays: Mapping[str, NDArray[np.float64]]) -> Normalized:
    elements = [name.removeprefix("matrix_") for name in arrays if name.startswith("matrix_")]
    inputs = {element: Inputs(arrays[f"mean_{element}"], arrays[f"matrix_{element}"]) for element in elements}
    return Normalized(inputs, arrays["offsets"], float(arrays["scale"]))


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
