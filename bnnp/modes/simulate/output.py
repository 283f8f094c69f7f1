"""The files of a run of molecular dynamics: md.out, trajectory, candidates, restart file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from ase import Atoms

from bnnp.dynamics.candidates import Frame
from bnnp.dynamics.observables import Snapshot
from bnnp.dynamics.simulation import Simulation
from bnnp.io import md_out, md_series
from bnnp.io.appended import AppendedFile
from bnnp.io.md_restart import FILE_NAME as RESTART
from bnnp.io.md_restart import State, write_restart
from bnnp.io.trajectory import CANDIDATES, TRAJECTORY, format_candidate, format_frame
from bnnp.units import Units

FILES = (md_out.FILE_NAME, TRAJECTORY, CANDIDATES)


@dataclass(frozen=True)
class Description:
    """What headers and comments of the files say.

    Parameters
    ----------
    units : Units
    freedom : str
        Degrees of freedom behind the temperature.
    std : str
        Meaning of the standard deviations; empty without samples.
    elements : tuple of str
        Of the atoms, as the potential sorts them.
    driven : bool
        Whether heat_flux.out has the work of a driving force.
    series : mapping of str to str
        Header of each file of :mod:`bnnp.io.md_series` that is wanted.
    """

    units: Units
    freedom: str
    std: str
    elements: tuple[str, ...]
    driven: bool
    series: Mapping[str, str]


class SimulationFiles:
    """The files of one run, begun anew or continued from the restart file `former`.

    Raises
    ------
    OutputError, StaleFileError
        A file cannot be written, or is not the one to continue.
    """

    def __init__(self, directory: Path, description: Description, former: State | None = None) -> None:
        self.directory, self.description = directory, description
        names = (*FILES, *description.series)
        known = former or {}
        sizes = {name: int(known[f"size.{name}"]) if f"size.{name}" in known else None for name in names}
        self.candidates = 0 if former is None else int(former["candidates"])
        with ExitStack() as stack:
            self._files = {
                name: stack.enter_context(AppendedFile(directory / name, sizes[name])) for name in names
            }
            self._stack = stack.pop_all()
        if former is None:
            (directory / RESTART).unlink(missing_ok=True)  # of a former run, whose files are gone now
            head = md_out.header(description.units, description.freedom, description.std)
            self._files[md_out.FILE_NAME].write(head)
        for name, head in description.series.items():
            if not self._files[name].size:
                self._files[name].write(head)

    def write_line(self, seen: Snapshot) -> None:
        """Write a line of md.out."""
        self._files[md_out.FILE_NAME].write(md_out.row(seen, self.description.units))

    def write_heat_flux(self, seen: Snapshot, atoms: Atoms) -> None:
        """Write a line of heat_flux.out."""
        known = self.description
        flux = atoms.calc.heat_flux(atoms)
        row = md_series.heat_flux_row(seen, flux, atoms, known.elements, known.units, known.driven)
        self._files[md_series.HEAT_FLUX].write(row)

    def write_samples(self, seen: Snapshot, atoms: Atoms) -> None:
        """Write a line of sample_energies.out."""
        energies = atoms.calc.get_property("sample_energies", atoms)
        self._files[md_series.SAMPLES].write(md_series.samples_row(seen, energies, self.description.units))

    def finish(self) -> None:
        """Write md_series.h5, where there are series."""
        if self.description.series:
            md_series.write_hdf5(self.directory, [md_out.FILE_NAME, *self.description.series])

    def write_frame(self, simulation: Simulation) -> None:
        """Write a frame of the trajectory."""
        progress = simulation.progress
        text = format_frame(simulation.atoms, progress.total, progress.stage + 1, progress.time)
        self._files[TRAJECTORY].write(text)

    def write_candidates(self, frames: Sequence[Frame], reasons: Sequence[str], step: int) -> None:
        """Write the frames before an event at `step` and that of the event itself, with its reasons."""
        for frame in frames:
            why = reasons if frame.step == step else [f"before {reason}" for reason in reasons]
            source = f"{self.directory.name}/md:{frame.step}"
            self._files[CANDIDATES].write(format_candidate(frame.atoms, self.description.units, source, why))
            self.candidates += 1

    def write_restart(self, state: Mapping[str, Any], identity: Mapping[str, object]) -> None:
        """Write the restart file, after all it refers to is on the disk."""
        for file in self._files.values():
            file.sync()
        sizes = {f"size.{name}": np.array(file.size) for name, file in self._files.items()}
        own = {"candidates": np.array(self.candidates), **sizes}
        write_restart(self.directory / RESTART, {**state, **own}, identity)

    def written(self) -> list[str]:
        """Names of the files that are not empty."""
        names = [name for name, file in self._files.items() if file.size]
        names += [md_series.HDF5] * bool(self.description.series)
        return [*names, *([RESTART] if (self.directory / RESTART).exists() else [])]

    def __enter__(self) -> SimulationFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        if not self._files[CANDIDATES].size:
            (self.directory / CANDIDATES).unlink(missing_ok=True)
