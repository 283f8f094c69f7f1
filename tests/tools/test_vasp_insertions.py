"""Pieces of an OUTCAR inserted into it: a label that is given is the right one of its step, or none is.

Not every splice can be told: where a part of another run of the same atoms begins in the middle of a step
of the same number, between two of its tables, nothing in that step says so; nor where a row of
a cell is torn within a number.
"""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vasp.compressed import open_stream
from vasp.outcar import read_outcar
from vasp.step import UNCONVERGED, Step, UnreadableStep

from bnnp.errors import InputError

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "vasp"
SIZES = (1.0, 4.5)  # powers of ten, bytes of a piece
LARGEST = 600_000  # bytes


def steps(text: bytes) -> Iterator[Step]:
    """What can be used of an OUTCAR; the reader gives up where the head is torn."""
    try:
        for draft in read_outcar(io.BytesIO(text)):
            if draft.flaw is None or draft.flaw == UNCONVERGED:
                try:
                    yield draft.read()
                except UnreadableStep:
                    continue
    except InputError:
        return


def labels(step: Step) -> tuple[object, ...]:
    """All that is read of a step but its stress, to be compared bit for bit."""
    arrays = (step.cell, step.positions, step.forces)
    return (*step.symbols, step.free_energy, *(array.tobytes() for array in arrays))


def stress_of(step: Step) -> bytes | None:
    """The stress, or None where it is left out."""
    return None if step.stress is None else step.stress.tobytes()


def insert(text: bytes, source: bytes, draw: random.Random, anywhere: float) -> bytes:
    """The text with one to four pieces of another, by lines or, with that chance, anywhere."""
    by_lines = draw.random() >= anywhere
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(len(text))
        start = draw.randrange(len(source))
        piece = source[start : start + int(10 ** draw.uniform(*SIZES))]
        if by_lines:
            place = text.rfind(b"\n", 0, place) + 1
            piece = piece[piece.find(b"\n") + 1 : piece.rfind(b"\n") + 1]
        text = text[:place] + piece + text[place:]
    return text


def wrong_steps(text: bytes, trials: int, seed: int, anywhere: float = 0.0) -> tuple[int, int]:
    """Number of steps read of the damaged files, and of those that the undamaged file has not."""
    draw, read, wrong = random.Random(seed), 0, 0
    right = {labels(step): {None, stress_of(step)} for step in steps(text)}
    for _ in range(trials):
        for step in steps(insert(text, text, draw, anywhere)):
            read += 1
            wrong += stress_of(step) not in right.get(labels(step), ())
    return read, wrong


def made_up(run: Any) -> list[bytes]:
    """Three runs of the same atoms that differ in all their labels."""
    generator = np.random.default_rng(3)
    texts = []
    for number in range(3):
        others = tuple(
            replace(
                step,
                energy=step.energy - number,
                forces=step.forces + number,
                kilobar=tuple(np.round(10.0 * generator.normal(size=6), 5)),
            )
            for step in run.steps
        )
        texts.append(replace(run, steps=others).outcar().encode())
    return texts


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("same_cell", [False, True])
def test_made_up(run: Any, seed: int, same_cell: bool) -> None:
    if same_cell:  # so that the cell does not tell steps apart
        run = replace(run, steps=tuple(replace(step, cell=run.steps[0].cell) for step in run.steps))
    read, wrong = wrong_steps(made_up(run)[0], 400, seed)
    assert read > 200
    assert wrong == 0


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(REAL.glob("*OUTCAR*")), ids=lambda path: path.name)
def test_real(path: Path) -> None:
    with open_stream(path) as stream:
        text = stream.read(LARGEST)
    if not list(steps(text)):
        pytest.skip("no step to be read")
    read, wrong = wrong_steps(text, 40, 5, anywhere=0.4)
    assert read > 0
    assert wrong == 0


def test_the_stress_of_another_step(run: Any) -> None:
    """A piece with `in kB` within the marker of the step's own line, which is lost by that."""
    own, other, _ = made_up(run)
    start = other.index(b"in kB")
    piece = other[start : other.index(b"volume of cell", start)]
    at = own.index(b"in kB", own.index(b"Iteration      2(")) + 4
    found = [step.free_energy for step in steps(own[:at] + piece + own[at:])]
    assert found == pytest.approx([run.steps[k].energy for k in (0, 2, 3)])
