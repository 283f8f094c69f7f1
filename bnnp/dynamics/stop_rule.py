"""When a run knows too little: thresholds on the uncertainty, with patience.

A look is a warning if any quantity is beyond its warning threshold, and an offence if any is beyond its
stop threshold; `patience` offences running end the run. Thresholds count in calibrated standard deviations,
unless they are raw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bnnp.dynamics.observables import Uncertainty


@dataclass(frozen=True)
class Threshold:
    """A quantity of :class:`Uncertainty` by name, and the value that is too much.

    Parameters
    ----------
    quantity : str
        ``energy``, ``forces`` or ``extrapolations``.
    value : float
        eV per atom, eV/Angstrom, or a number.
    raw : bool
        Of the raw instead of the calibrated standard deviation.
    quantile : float or None
        The per cent of the structures of the calibration that do not exceed `value`, if that is where it
        comes from.
    """

    quantity: str
    value: float
    raw: bool = False
    quantile: float | None = None


@dataclass(frozen=True)
class Verdict:
    """What a look means.

    Parameters
    ----------
    reasons : tuple of str
        For people; empty if all is well.
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
    """Judges one look after the other.

    Parameters
    ----------
    warn, stop : sequence of Threshold
    patience : int
        Offences running that end the run.
    calibrated : bool
        Whether the standard deviations it will see are calibrated; needed if a threshold is not raw.
    offences : int
        Running now; part of the state of a run.
    """

    warn: Sequence[Threshold] = ()
    stop: Sequence[Threshold] = ()
    patience: int = 1
    calibrated: bool = False
    offences: int = field(default=0)

    def __post_init__(self) -> None:
        needed = [t for t in (*self.warn, *self.stop) if not t.raw and t.quantity != "extrapolations"]
        if needed and not self.calibrated:
            raise ValueError("a threshold in calibrated units needs a calibration")

    @property
    def active(self) -> bool:
        """Whether there is any threshold."""
        return bool(self.warn or self.stop)

    def judge(self, uncertainty: Uncertainty) -> Verdict:
        """The verdict on the next look."""
        offending = self._beyond(self.stop, uncertainty)
        self.offences = self.offences + 1 if offending else 0
        reasons = {*offending, *self._beyond(self.warn, uncertainty)}
        return Verdict(tuple(sorted(reasons)), self.offences >= self.patience)

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
    return f"{uncertainty.extrapolations} symmetry functions outside of their training range"
