"""The stop rule: thresholds on the uncertainty of a run, with patience.

The uncertainty is judged every few steps. It is a warning if any quantity is beyond its warning threshold,
and a violation if any is beyond its stop threshold; `patience` violations in a row end the run. Thresholds
are calibrated standard deviations unless they are raw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bnnp.dynamics.observables import Uncertainty
from bnnp.messages import count


@dataclass(frozen=True)
class Threshold:
    """A quantity of :class:`Uncertainty` by name, and the largest value that is accepted.

    Parameters
    ----------
    quantity : str
        ``energy``, ``forces`` or ``extrapolations``.
    value : float
        eV per atom, eV/Angstrom, or a number.
    raw : bool
        Whether it limits the raw instead of the calibrated standard deviation.
    quantile : float or None
        Per cent of the structures of the calibration that do not exceed `value`, if it was given so.
    """

    quantity: str
    value: float
    raw: bool = False
    quantile: float | None = None


@dataclass(frozen=True)
class Judgment:
    """The outcome of the rule for one uncertainty.

    Parameters
    ----------
    reasons : tuple of str
        Sentences for the log; empty if no threshold is exceeded.
    stop : bool
    """

    reasons: tuple[str, ...] = ()
    stop: bool = False

    @property
    def flagged(self) -> bool:
        """Whether the frame is to be kept."""
        return bool(self.reasons)


@dataclass
class StopRule:
    """Judges one uncertainty after another.

    Parameters
    ----------
    warn, stop : sequence of Threshold
    patience : int
        Violations in a row that end the run.
    calibrated : bool
        Whether the standard deviations it will see are calibrated; needed if a threshold is not raw.
    violations : int
        In a row, up to now; part of the state of a run.
    """

    warn: Sequence[Threshold] = ()
    stop: Sequence[Threshold] = ()
    patience: int = 1
    calibrated: bool = False
    violations: int = 0

    def __post_init__(self) -> None:
        needed = [t for t in (*self.warn, *self.stop) if not t.raw and t.quantity != "extrapolations"]
        if needed and not self.calibrated:
            raise ValueError("a threshold in calibrated units needs a calibration")

    @property
    def active(self) -> bool:
        """Whether there is any threshold."""
        return bool(self.warn or self.stop)

    def judge(self, uncertainty: Uncertainty) -> Judgment:
        """The verdict on the next uncertainty."""
        violated = self._beyond(self.stop, uncertainty)
        self.violations = self.violations + 1 if violated else 0
        reasons = {*violated, *self._beyond(self.warn, uncertainty)}
        return Judgment(tuple(sorted(reasons)), self.violations >= self.patience)

    def _beyond(self, thresholds: Sequence[Threshold], uncertainty: Uncertainty) -> list[str]:
        found = []
        for threshold in thresholds:
            value = float(getattr(uncertainty, threshold.quantity))
            raw = getattr(uncertainty, f"{threshold.quantity}_raw", None)
            if threshold.raw and raw is not None:
                value = raw
            if not value <= threshold.value:  # NaN is beyond everything
                found.append(_sentence(threshold, value, uncertainty))
        return found


def _sentence(threshold: Threshold, value: float, uncertainty: Uncertainty) -> str:
    kind = "raw sigma" if threshold.raw else "sigma"
    if threshold.quantity == "energy":
        return f"{kind} of the energy {1000 * value:.3g} meV/atom"
    if threshold.quantity == "forces":
        return f"{kind} of a force on atom {uncertainty.atom + 1} {1000 * value:.3g} meV/Angstrom"
    return f"{count(uncertainty.extrapolations, 'symmetry function')} outside of their training range"
