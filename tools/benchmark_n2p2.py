"""n2p2 beside bnnp: its tools run on the same structures, functions and weights, in a folder of their own.

Used are, as far as they are in the folder that --n2p2 names::

    nnp-scaling 1       values, or values and derivatives with the keyword use_short_forces
    nnp-dataset 0       energies and forces of all structures
    nnp-predict 0       energy and forces of the first structure, where there is no nnp-dataset

None of them prints how long it took, so their wall time is measured: twice, with one copy of the structure in
input.data and with many, and the difference is divided by the atoms of the further copies. Start-up does not
count; reading the structure, the neighbor list and writing the results do. nnp-predict reads only one
structure: its first run is on one atom.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from benchmark_case import Case
from benchmark_parts import Parts
from benchmark_timing import measure, show_table

from bnnp.errors import InputError
from bnnp.io.input_data import write_structures
from bnnp.io.input_nn import write_input_nn
from bnnp.io.scaling_data import ScalingData, write_scaling
from bnnp.io.weights import weights_name, write_weights
from bnnp.network.dense import Network
from bnnp.structure import Structure

ATOMS = 10_000  # atoms of the further copies, at most; a second or two
COLUMNS = ("n2p2", "us/atom", "peak MB", "bnnp", "us/atom", "n2p2 / bnnp")
TOOLS = ("nnp-scaling", "nnp-dataset", "nnp-predict")


@dataclass(frozen=True)
class Result:
    """What a tool of n2p2 needed.

    Parameters
    ----------
    command : str
        With its argument.
    seconds : float
        An atom, start-up subtracted; the best of several runs.
    peak : float, bytes
        Largest resident memory of the process.
    """

    command: str
    seconds: float
    peak: float


class N2p2:
    """The tools in a folder, and a temporary folder with what they read. A context manager."""

    def __init__(
        self, tools: Path, case: Case, networks: Mapping[str, Network], scalings: ScalingData, repeat: int
    ) -> None:
        found = {name: shutil.which(name, path=str(tools)) for name in TOOLS}
        self._tools = {name: path for name, path in found.items() if path}
        if not self._tools:
            raise InputError(
                f"--n2p2 {tools}: none of {', '.join(TOOLS)} is there; name the folder bin of n2p2"
            )
        self._structure, self._repeat = case.structure, repeat
        self._folder = tempfile.TemporaryDirectory()
        self._path = Path(self._folder.name)
        model = case.settings.model
        write_input_nn(self._path / "input.nn", model, model.architecture[model.elements[0]])
        self._settings = (self._path / "input.nn").read_text() + "random_seed 1\n"
        write_scaling(self._path / "scaling.data", scalings)
        for element, network in networks.items():
            write_weights(self._path / weights_name(element), network, element)

    def __enter__(self) -> N2p2:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def compare_descriptors(self, parts: Parts, repeat: int) -> None:
        """Print n2p2's time for values, and for values and derivatives, beside that of the same `parts`."""
        rows = []
        for words, forces in (("list + values", False), ("list + values + jacobian", True)):
            result = self._per_copy("nnp-scaling", "1", forces)
            names = ["neighbour list", "values", *["jacobian"] * forces]
            rows += [self._row(result, words, sum(measure(parts[name], repeat).best for name in names))]
        show_table(COLUMNS, [row for row in rows if row])

    def compare_predictions(self, parts: Parts, repeat: int) -> None:
        """Print n2p2's time for energy and forces beside that of the plain network in `parts`."""
        name = "all, plain network"
        row = self._row(self.predictions(), name, measure(parts[name], repeat).best)
        show_table(COLUMNS, [row] if row else [])

    def _row(self, theirs: Result | None, words: str, seconds: float) -> tuple[object, ...] | None:
        """A line of the table; `seconds` is bnnp's time for the structure."""
        if theirs is None:
            return None
        ours = seconds / len(self._structure)
        times = (f"{1e6 * theirs.seconds:.2f}", f"{theirs.peak / 1e6:.0f}")
        return theirs.command, *times, words, f"{1e6 * ours:.2f}", f"{theirs.seconds / ours:.2f}"

    def predictions(self) -> Result | None:
        """Energy and forces."""
        if "nnp-dataset" in self._tools:
            return self._per_copy("nnp-dataset", "0", forces=True)
        if "nnp-predict" not in self._tools:
            return None
        lone = Structure(self._structure.numbers[:1], np.zeros((1, 3)), energy=0.0, forces=np.zeros((1, 3)))
        return self._difference("nnp-predict", "0", [lone], [self._structure], True)

    def _per_copy(self, name: str, argument: str, forces: bool) -> Result | None:
        if name not in self._tools:
            return None
        copies = max(1, min(50, ATOMS // len(self._structure)))
        return self._difference(name, argument, [self._structure], [self._structure] * (1 + copies), forces)

    def _difference(
        self, name: str, argument: str, few: list[Structure], many: list[Structure], forces: bool
    ) -> Result:
        """Time an atom by which the run on `many` structures takes longer than that on `few`."""
        (self._path / "input.nn").write_text(self._settings + "use_short_forces\n" * forces)
        atoms = sum(map(len, many)) - sum(map(len, few))
        first, _ = self._run(name, argument, few)
        second, peak = self._run(name, argument, many)
        return Result(f"{name} {argument}", max(second - first, 0.0) / atoms, peak)

    def _run(self, name: str, argument: str, structures: list[Structure]) -> tuple[float, float]:
        """Best wall time of several runs, and the memory of the last one."""
        labeled = (_labeled(structure) for structure in structures)
        write_structures(self._path / "input.data", labeled)
        times, peak = [], 0.0
        for _ in range(self._repeat):
            with open(self._path / "log", "w") as log:
                begun = time.perf_counter()
                process = subprocess.Popen(
                    [self._tools[name], argument], cwd=self._path, stdout=log, stderr=log, env=_environment()
                )
                _, status, usage = os.wait4(process.pid, 0)
                times.append(time.perf_counter() - begun)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                end = (self._path / "log").read_text()[-500:]
                raise InputError(f"{name} ended with exit code {process.returncode}:\n{end}")
            peak = 1024.0 * usage.ru_maxrss
        return min(times), peak


def _labeled(structure: Structure) -> Structure:
    """With energy and forces, which n2p2 reads in any case, and no remarks."""
    forces = np.zeros((len(structure), 3)) if structure.forces is None else structure.forces
    return replace(structure, energy=structure.energy or 0.0, forces=forces, info={}, stress=None)


def _environment() -> dict[str, str]:
    """One thread, as bnnp's numbers beside it."""
    return os.environ | {"OMP_NUM_THREADS": "1"}
