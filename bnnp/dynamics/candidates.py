"""Frames for reference calculations: those at and shortly before an event, some time apart."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from ase import Atoms


@dataclass(frozen=True, eq=False)
class Frame:
    """A configuration, and its step and time in the run.

    Parameters
    ----------
    atoms : ase.Atoms
        Without calculator.
    step : int
    time : float, fs
    """

    atoms: Atoms
    step: int
    time: float


class CandidateWindow:
    """The last frames of a run, and the time of the last one that was kept.

    Parameters
    ----------
    length : int
        Frames before an event that are kept with it.
    spacing : float, fs
        Shortest time between two frames that are kept.
    """

    def __init__(self, length: int, spacing: float) -> None:
        self.spacing = spacing
        self.frames: deque[Frame] = deque(maxlen=length + 1)
        self.last = -np.inf  # time of the last frame kept, fs

    def add(self, atoms: Atoms, step: int, time: float) -> None:
        """Remember a frame."""
        copy = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc, info=_charge(atoms))
        self.frames.append(Frame(copy, step, time))

    def take(self, force: bool = False) -> Iterator[Frame]:
        """The frames to keep of an event now: the last one, and those before it that are `spacing` apart.

        Parameters
        ----------
        force : bool
            Keep the last frame even if it is closer than `spacing` to a former one.
        """
        chosen: list[Frame] = []
        later = np.inf
        for number, frame in enumerate(reversed(self.frames)):
            gap = min(frame.time - self.last, later - frame.time)
            apart = gap > 0.0 and gap >= self.spacing * (1.0 - 1e-9)
            if apart or (force and number == 0 and frame.time > self.last):
                chosen.append(frame)
                later = frame.time
        if chosen:
            self.last = chosen[0].time
        yield from reversed(chosen)

    def state(self) -> dict[str, np.ndarray]:
        """Arrays for the restart file."""
        return {
            "last": np.array(self.last),
            "steps": np.array([frame.step for frame in self.frames], dtype=np.int64),
            "times": np.array([frame.time for frame in self.frames]),
            "positions": np.array([frame.atoms.positions for frame in self.frames]),
            "cells": np.array([frame.atoms.cell.array for frame in self.frames]),
        }

    def restore(self, state: dict[str, np.ndarray], atoms: Atoms) -> None:
        """Go back to a former :meth:`state`; the atomic numbers are those of `atoms`."""
        self.last = float(state["last"])
        self.frames.clear()
        for step, time, positions, cell in zip(
            state["steps"], state["times"], state["positions"], state["cells"], strict=True
        ):
            copy = Atoms(atoms.numbers, positions, cell=cell, pbc=atoms.pbc, info=_charge(atoms))
            self.frames.append(Frame(copy, int(step), float(time)))


def _charge(atoms: Atoms) -> dict[str, float]:
    """The total charge, if there is one, for ``info``."""
    return {"charge": atoms.info["charge"]} if "charge" in atoms.info else {}
