"""md_restart.npz: the state of a molecular dynamics run, to continue it as if it had never stopped.

A NumPy archive without pickles, replaced atomically. It has ``format``, ``version``, ``identity`` (JSON:
settings and potential, which must be the same on restart), and the arrays of
:meth:`bnnp.dynamics.simulation.Simulation.state` and of mode 3: positions and momenta in float64, variables
of thermostat and barostat, state of the random numbers, and sizes of the output files, which are cut back to
them.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnp.errors import InputError, StaleFileError
from bnnp.io.output import replacement
from bnnp.messages import contrast

FILE_NAME = "md_restart.npz"
FORMAT = "bnnp molecular dynamics"
VERSION = 1
_ANEW = "run without --restart to begin anew, for example from the last frame: `md_structure FILE.extxyz`"

State = dict[str, NDArray[Any]]


def write_restart(path: Path, state: Mapping[str, NDArray[Any]], identity: Mapping[str, object]) -> None:
    """Replace the restart file; `identity` holds what must be the same on restart.

    Raises
    ------
    OutputError
        The disk is full or the directory not writable; the former file is untouched.
    """
    head: dict[str, Any] = {"format": FORMAT, "version": VERSION, "identity": json.dumps(identity)}
    with replacement(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, **head, **state)


def read_restart(path: Path, identity: Mapping[str, object]) -> State:
    """The arrays that :func:`write_restart` has written with the same `identity`.

    Raises
    ------
    InputError
        There is no file.
    StaleFileError
        It is damaged, of another version, or of a run with another identity.
    """
    if not path.is_file():
        raise InputError(
            f"{path.name}: not found in {path.parent.resolve()}, so there is no run to continue; "
            "run mode 3 without --restart"
        )
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            state = {name: archive[name] for name in archive.files}
        found = json.loads(str(state.pop("identity")))
        readable = str(state.pop("format")) == FORMAT and int(state.pop("version")) == VERSION
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
        raise StaleFileError(f"{path.name}: damaged or no restart file of bnnp ({error}); {_ANEW}") from error
    if not readable:
        raise StaleFileError(f"{path.name}: another version than {VERSION}, which this bnnp reads; {_ANEW}")
    for name, value in identity.items():
        present = json.loads(json.dumps(value))
        if found.get(name) != present:
            former, now = contrast(found.get(name), present)
            raise StaleFileError(
                f"{path.name}: made with {name} = {former}, but now it is {now}. Restore it to continue, or "
                f"{_ANEW}."
            )
    return state
