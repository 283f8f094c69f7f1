"""n2p2 beside bnnp: its tools run on the same structures, functions and weights, in a folder of their own.

Used are, as far as they are in the folder that --n2p2 names::

    nnp-scaling 1       values, or values and derivatives with the keyword use_short_forces
    nnp-dataset 0       energies and forces of all structures
    nnp-predict 0       energy and forces of the first structure, where there is no nnp-dataset

None of them prints how long it took, so the processor time of the process is measured: twice, with one copy
of the structure in input.data and with many, and the difference is divided by the atoms of the further
copies. Start-up does not count; reading the structure, the neighbor list and writing the results do.
nnp-predict reads only one structure: its first run is on one atom. Both runs and that of bnnp alternate; the
ratio is the median of those of the rounds.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from benchmark_case import Case
from benchmark_parts import Parts
from benchmark_timing import measure, median, show_table, spread

from bnnp.errors import InputError
from bnnp.io.input_data import write_structures
from bnnp.io.input_nn import write_input_nn
from bnnp.io.scaling_data import ScalingData, write_scaling
from bnnp.io.weights import weights_name, write_weights
from bnnp.network.dense import Network
from bnnp.structure import Structure

ATOMS = 10_000  # atoms of the further copies, at most; a second or two
COLUMNS = ("n2p2", "us/atom", "+-", "bnnp", "us/atom", "+-", "n2p2 / bnnp", "+-")
TOOLS = ("nnp-scaling", "nnp-dataset", "nnp-predict")


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

    def compare_descriptors(self, parts: Parts) -> None:
        """Print n2p2's time for values, and for values and derivatives, beside that of the same `parts`."""
        rows = []
        for words, forces in (("list + values", False), ("list + values + jacobian", True)):
            names = ["neighbor list", "values", *["jacobian"] * forces]
            if "nnp-scaling" in self._tools and parts.keys() >= set(names):
                rows.append(self._row("nnp-scaling", "1", forces, words, [parts[name] for name in names]))
        show_table(COLUMNS, rows)

    def compare_predictions(self, parts: Parts) -> None:
        """Print n2p2's time for energy and forces beside that of the plain network in `parts`."""
        words = "all, plain network"
        name = next((name for name in TOOLS[1:] if name in self._tools), "")
        show_table(COLUMNS, [self._row(name, "0", True, words, [parts[words]])] if name else [])

    def _row(
        self, name: str, argument: str, forces: bool, words: str, calls: list[Callable[[], object]]
    ) -> tuple[str, ...]:
        """A line of the table: a tool of n2p2 and the same work as `calls` of bnnp."""
        few, many = [self._structure], [self._structure]
        if name == "nnp-predict":
            few = [Structure(few[0].numbers[:1], np.zeros((1, 3)), energy=0.0, forces=np.zeros((1, 3)))]
        else:
            many = many * (1 + max(1, min(50, ATOMS // len(self._structure))))
        own = max(1, round(ATOMS / 10 / len(self._structure)))  # runs in a round, so that it lasts

        def ours() -> None:
            for _ in range(own):
                for call in calls:
                    call()

        (self._path / "input.nn").write_text(self._settings + "use_short_forces\n" * forces)
        for data, structures in (("few", few), ("many", many)):
            write_structures(self._path / data, map(_labeled, structures))
        found = measure(
            {
                "few": lambda: self._run(name, argument, "few"),
                "many": lambda: self._run(name, argument, "many"),
                "ours": ours,
            },
            self._repeat,
        )
        atoms = sum(map(len, many)) - sum(map(len, few))
        pairs = zip(found["many"].processor, found["few"].processor, strict=True)
        theirs = [1e6 * max(late - early, 0.0) / atoms for late, early in pairs]
        mine = [1e6 * seconds for seconds in found["ours"].per(own * len(self._structure)).processor]
        times = [f"{f(each):.2f}" for each in (theirs, mine) for f in (median, spread)]
        ratios = [one / other for one, other in zip(theirs, mine, strict=True)]
        return (
            *(f"{name} {argument}", *times[:2], words, *times[2:]),
            *(f"{median(ratios):.2f}", f"{spread(ratios):.2f}"),
        )

    def _run(self, name: str, argument: str, data: str) -> None:
        """Run a tool once on a file of structures."""
        (self._path / "input.data").unlink(missing_ok=True)
        (self._path / "input.data").symlink_to(data)
        command = [self._tools[name], argument]
        with open(self._path / "log", "w") as log:
            done = subprocess.run(
                command, cwd=self._path, stdout=log, stderr=log, env=_environment(), check=False
            )
        if done.returncode:
            end = (self._path / "log").read_text()[-500:]
            raise InputError(f"{name} ended with exit code {done.returncode}:\n{end}")


def _labeled(structure: Structure) -> Structure:
    """With energy and forces, which n2p2 reads in any case, and no remarks."""
    forces = np.zeros((len(structure), 3)) if structure.forces is None else structure.forces
    return replace(structure, energy=structure.energy or 0.0, forces=forces, info={}, stress=None)


def _environment() -> dict[str, str]:
    """One thread, as bnnp's numbers beside it."""
    return os.environ | {"OMP_NUM_THREADS": "1"}
