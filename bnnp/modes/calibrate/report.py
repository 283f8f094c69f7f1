"""The log of a calibration: one table for each kind, all numbers from the cross-validation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from bnnp.log import Log
from bnnp.modes.calibrate.observations import Worth
from bnnp.uncertainty.calibration import FEWEST_INDEPENDENT, Calibration, Quantity, widening
from bnnp.units import Units

PARTS = ("x MC", "x LL", "x d")
TITLES = {"mc": "Monte Carlo alone", "hybrid": "hybrid: Monte Carlo, last layer and distance"}


def report_calibration(log: Log, kinds: Mapping[str, Calibration], worth: Worth, units: Units) -> None:
    """Ratio of errors to sigmas before and after, on held-out structures inside the training range; CRPS of
    both maps over all structures."""
    first = next(iter(kinds.values()))
    more = f", {first.outside} out of the domain" if first.outside else ""
    log.item("structures", f"{first.structures}{more}, {first.samples} Monte Carlo samples")
    if not first.outside:
        log.warn(
            "no structures out of the domain (calibration_ood_group): sigmas larger than those inside are "
            "extrapolated"
        )
    independent = worth.independent
    log.item("errors of energies", f"worth {independent:.1f} independent ones")
    if independent:
        shift, noise = (units.mev * each for each in (worth.shift, worth.noise))
        log.line(f"  shared by all of a group {shift:.3g} meV/atom, within a group {noise:.3g} meV/atom")
    if 0.0 < independent < FEWEST_INDEPENDENT:
        log.warn(
            f"the errors of the energies resemble each other and are worth {independent:.1f} independent "
            f"ones: their size is known to {100.0 / math.sqrt(2.0 * independent):.0f} % only, so that sigma "
            f"of energies is made {widening(independent):.1f} times larger (Student's t), and that of kind "
            "hybrid follows the distance from the training set alone. Keep structures of more trajectories, "
            "or frames further apart"
        )
    for name in ("forces", "stress"):
        if not any(quantity.startswith(name) for quantity in first.quantities):
            log.line(f"  no {name} in the calibration set: their standard deviations stay raw (uncalibrated)")
    log.line(
        "  in the domain, held out by blocks: raw and cal, the root mean square of error / sigma, sqrt(ZMS), "
        "before and after (1 is right); share of errors in the 90 % interval; ENCE, the expected normalized "
        "calibration error, and the miscalibration area (0 is right); CRPS, the continuous ranked "
        "probability score, of the quadratic and of the isotonic map: the lower one counts; meV/atom, "
        "meV/Angstrom, GPa"
    )
    for kind, calibration in kinds.items():
        log.line(f"  {TITLES[kind]}")
        rows = [_row(name, quantity, units) for name, quantity in calibration.quantities.items()]
        columns = ("quantity", "map", "raw", "cal", "90 %", "ENCE", "area", "CRPS quad.", "CRPS iso.")
        parts = PARTS if kind == "hybrid" else ()
        log.table((*columns, *parts), rows)
        if parts:
            log.line(
                "  sigma^2 is the sum of the squares of: x MC times the Monte Carlo sigma, x LL times that "
                "of the last layer, x d times the distance from the training set; far out the spread of the "
                "samples limits it, unless activations are bounded"
            )
            for part, names in parts_without_weight(calibration).items():
                log.line(
                    f"  {part} is 0 for {', '.join(names)}: beside the other parts it does not tell where "
                    "errors are large. If cal is not near 1, keep more structures for the calibration, raise "
                    "mc_samples, or compare with `uncertainty mc`"
                )
        for name in constant_sigmas(calibration):
            log.line(
                f"  {name}: nearly the same for all structures in the domain; this sigma does not rank errors"
            )


def parts_without_weight(calibration: Calibration) -> dict[str, list[str]]:
    """The quantities of each part of a hybrid sigma in which it has the factor 0; no part without any."""
    found = {
        part: [name for name, quantity in calibration.quantities.items() if quantity.weights[k] == 0.0]
        for k, part in enumerate(PARTS)
    }
    return {part: names for part, names in found.items() if names}


def constant_sigmas(calibration: Calibration) -> Iterator[str]:
    """Energies or forces whose calibrated sigmas inside the training range differ by less than 1 %."""
    for name, quantiles in calibration.quantiles.items():
        if quantiles[-1] < 1.01 * quantiles[0]:
            yield f"sigma of the {name}"


def _row(name: str, quantity: Quantity, units: Units) -> tuple[object, ...]:
    factor = {"energy": units.mev, "stress": units.gpa}.get(name, units.mev_per_angstrom)
    scores = quantity.scores
    parts = [f"{value:.3g}" for value in quantity.weights.tolist()] if len(quantity.weights) > 1 else []
    return (
        name,
        quantity.map.kind,
        f"{scores['raw']:.3g}",
        f"{scores['calibrated']:.3g}",
        f"{100 * scores['coverage']:.1f}",
        f"{scores['ence']:.3f}",
        f"{scores['area']:.3f}",
        f"{factor * scores['quadratic']:.4g}",
        f"{factor * scores['isotonic']:.4g}",
        *parts,
    )
