"""How good a potential is and for what, what limits it, and what to do next, in plain words.

Errors of a test set are compared with the targets that are usual for materials, 1-5 meV/atom and 50-150
meV/Angstrom (J. Behler, Chem. Rev. 121, 10037 (2021)), and with the spread of the references: a potential
whose errors are as large as the spread has learnt nothing, however small they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from bnnp.log import Log
from bnnp.messages import count, percent

RATIO = 1.5  # of test to training errors from which more data are what is missing
FEW = 20  # structures below which an error means little
LEARNT, UNLEARNT = 0.25, 0.5  # of the spread: errors of a good potential at most, of a useless one at least
ROUGH = 2.0  # times the target: errors of a potential of some use at most


class Grade(IntEnum):
    """What a potential is good for."""

    GOOD = 0
    FAIR = 1
    POOR = 2


USES = {
    Grade.GOOD: ("Good enough for molecular dynamics and relaxations of structures like those of the data."),
    Grade.FAIR: (
        "Good enough for first molecular dynamics that find structures to compute next; not yet for "
        "energy differences of a few meV/atom, phonons or barriers."
    ),
    Grade.POOR: "Not good enough yet: shows trends at best. Take no results from it.",
}


@dataclass(frozen=True)
class Quality:
    """One quantity of a potential, in meV/atom or meV/Angstrom.

    Parameters
    ----------
    name, unit : str
    target : (float, float)
        Errors that are usual.
    error : float
        Root mean square error of structures that were not trained on, or the standard deviation in its
        place; NaN if it is not known.
    spread : float
        Root mean square deviation of the references from what is known without a network; NaN if unknown.
    training : float
        Error of the training set; NaN if it is not known.
    """

    name: str
    unit: str
    target: tuple[float, float]
    error: float
    spread: float = math.nan
    training: float = math.nan

    @property
    def share(self) -> float:
        """The error as a share of the spread; NaN if that is not known."""
        return self.error / self.spread if self.spread > 0.0 else math.nan

    @property
    def ratio(self) -> float:
        """Test error over training error; NaN without one of them."""
        return self.error / self.training if self.training > 0.0 else math.nan

    @property
    def grade(self) -> Grade:
        """By the target and by the spread, whichever is worse."""
        _, most = self.target
        if self.error > ROUGH * most or self.share > UNLEARNT:
            return Grade.POOR
        return Grade.FAIR if self.error > most or self.share > LEARNT else Grade.GOOD

    def describe(self) -> str:
        """The error beside target and spread."""
        low, high = self.target
        place = "within" if low <= self.error <= high else "better than" if self.error < low else "beyond"
        text = f"{self.error:.3g} {self.unit}, {place} the usual {low:g}-{high:g}"
        if math.isfinite(self.share):
            text += f"; {percent(self.share)} of the spread of the data ({self.spread:.3g})"
        return text


def energies(error: float, spread: float = math.nan, training: float = math.nan) -> Quality:
    """Energies per atom, all in meV/atom."""
    return Quality("energies", "meV/atom", (1.0, 5.0), error, spread, training)


def forces(error: float, spread: float = math.nan, training: float = math.nan) -> Quality:
    """Components of forces, all in meV/Angstrom."""
    return Quality("forces", "meV/A", (50.0, 150.0), error, spread, training)


@dataclass(frozen=True)
class Verdict:
    """The section that ends a log.

    Parameters
    ----------
    title : str
        Whose errors these are.
    qualities : sequence of Quality
    limits, advice : sequence of str
        What limits the potential, and what to do next.
    lowered : int
        Grades by which the limits make the potential worse than its numbers say.
    graded : bool
        Whether the numbers are errors, or calibrated standard deviations, that allow a judgement.
    calibrated : bool
        False where a calibration was tried and failed.
    """

    title: str
    qualities: Sequence[Quality]
    limits: Sequence[str]
    advice: Sequence[str]
    lowered: int = 0
    graded: bool = True
    calibrated: bool = True

    def uncalibrated(self) -> Verdict:
        """The same after a calibration that failed."""
        limit = "the calibration failed (see its warning): the size of the standard deviations is not known"
        advice = "mend what the calibration lacks; then put `calibrate` into input.nn, and run mode 3"
        limits = [limit, *self.limits]
        return replace(self, limits=limits, advice=[advice, *self.advice], calibrated=False)

    def report(self, log: Log) -> None:
        """Print it."""
        known = [each for each in self.qualities if math.isfinite(each.error)]
        log.section("Verdict")
        log.line(f"  {self.title}")
        for each in known:
            log.item(each.name, each.describe())
        if known and self.graded:
            grade = min(max(each.grade for each in known) + self.lowered, Grade.POOR)
            log.line(f"  {USES[Grade(grade)]}")
        for name, texts in (("what limits it", self.limits), ("what to do next", self.advice)):
            for number, text in enumerate(texts):
                log.item("" if number else name, text)


def limits_of_training(
    qualities: Sequence[Quality], n_test: int, best_epoch: int, epochs: int, unfinished: bool
) -> Iterator[tuple[str, str]]:
    """What limits a potential after its training, and what to do about it, the most important first."""
    worst = max(qualities, key=lambda each: (each.grade, each.ratio if math.isfinite(each.ratio) else 0.0))
    if 0 < n_test < FEW:
        yield (
            f"a test set of {count(n_test, 'structure')}: its errors may be off by "
            f"{100 / math.sqrt(2 * n_test):.0f} %",
            "raise test_fraction in input.nn, and run modes 1 and 2 again",
        )
    if unfinished:
        yield "the training is not finished", "bnnp --mode 2 --restart"
    elif worst.ratio > RATIO:
        yield (
            f"the number of structures: errors of {worst.name} are {worst.ratio:.1f} times as large in the "
            "test set as in the training set (overfitting)",
            "add structures like those with the largest errors (bnnp plot training lists them), or raise "
            "weight_decay",
        )
    elif worst.grade > Grade.GOOD and best_epoch > 0.9 * epochs:
        yield f"the length of the training: epoch {best_epoch} of {epochs} is the best", "raise epochs"
    elif worst.grade > Grade.GOOD:
        yield (
            f"the model: {worst.name} are not learnt much better in the training set than in the test set",
            "more or other symmetry functions (bnnp functions), larger networks "
            "(global_nodes_short), or another optimizer; and look for wrong data (bnnp --check)",
        )
