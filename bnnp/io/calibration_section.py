"""The section ``[calibration]`` of uncertainty.data: from raw to calibrated standard deviations.

::

    version 3
    use mc                              the kind used without the keyword `uncertainty`
    weights Ge 9f86d081... 60303ae2...  sha256 of the weights of each network of an ensemble, or of the one
    mc structures 120 40 100            calibration, calibration_ood; Monte Carlo samples
    mc energy parts 1.0                 factor of sigma_MC; hybrid: also of sigma_LL, distance, its least, and
                                        the error inside (missing: no limit)
    mc energy map quadratic 0.001 0.08 0.0 0.05     s_0 a b largest
    mc energy conformal 68 0.97 90 1.66 95 2.02     pairs of a level in percent and its factor
    mc forces Ge ...                    the same three lines for each element
    mc stress ...
    mc quantiles energy 0.001 ...       of the calibrated sigmas, at bnnp.uncertainty.calibration.PERCENT
    mc quantiles forces ...
    hybrid reach 4.1                    a_0, the largest distance of an atom inside (missing: no limit)
    hybrid ...                          likewise; an isotonic map lists its knots as raw, calibrated, raw, ...

Numbers are in the units of the potential, energies per atom. A quantity without lines is not calibrated. For
the maps see :mod:`bnnp.uncertainty.maps`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bnnp.errors import InputError, StaleFileError
from bnnp.io.text import exact
from bnnp.io.weights import weights_checksum
from bnnp.messages import count
from bnnp.network.dense import Network
from bnnp.uncertainty.calibration import KINDS, PERCENT, Calibration, Quantity
from bnnp.uncertainty.maps import MAPS

SECTION = "calibration"
VERSION = "3"
_WHERE = "uncertainty.data, [calibration]"
_AGAIN = "Calibrate again: `bnnp --mode 3` with the keyword `calibrate`."

Checksums = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class CalibrationData:
    """Contents of the section.

    Parameters
    ----------
    use : str
        The kind used without the keyword ``uncertainty``.
    weights : mapping of str to tuple of str
        :func:`checksums` of the networks it was made with.
    kinds : mapping of str to Calibration
    """

    use: str
    weights: Checksums
    kinds: Mapping[str, Calibration]


def checksums(members: Sequence[Mapping[str, Network]]) -> dict[str, tuple[str, ...]]:
    """Checksums of the weights of all networks of an ensemble, by element."""
    return {
        element: tuple(weights_checksum(networks[element]) for networks in members) for element in members[0]
    }


def check_networks(data: CalibrationData, members: Sequence[Mapping[str, Network]]) -> None:
    """Raise StaleFileError unless the calibration was made with exactly these networks."""
    if data.weights != checksums(members):
        had = len(next(iter(data.weights.values())))
        what = count(had, "network") if had != len(members) else "other weights"
        raise StaleFileError(f"{_WHERE}: was made with {what}, not with the {len(members)} here. {_AGAIN}")


def format_calibration(data: CalibrationData) -> tuple[str, ...]:
    """The lines below the heading."""
    lines = [f"version {VERSION}", f"use {data.use}"]
    lines += [f"weights {element} {' '.join(sums)}" for element, sums in data.weights.items()]
    for kind, calibration in data.kinds.items():
        lines.append(
            f"{kind} structures {calibration.structures} {calibration.outside} {calibration.samples}"
        )
        if math.isfinite(calibration.reach):
            lines.append(f"{kind} reach {calibration.reach!r}")
        for name, quantity in calibration.quantities.items():
            conformal = " ".join(f"{level} {factor!r}" for level, factor in quantity.conformal.items())
            more = [quantity.least] if kind == "hybrid" else []
            more += [quantity.inside] if math.isfinite(quantity.inside) else []
            lines.append(f"{kind} {name} parts {exact([*quantity.weights, *more])}")
            lines.append(f"{kind} {name} map {quantity.map.kind} {exact(quantity.map.numbers)}")
            lines.append(f"{kind} {name} conformal {conformal}")
        for name, values in calibration.quantiles.items():
            lines.append(f"{kind} quantiles {name} {exact(values)}")
    return tuple(lines)


def parse_calibration(lines: Sequence[str]) -> CalibrationData:
    """Read the lines below the heading.

    Raises
    ------
    InputError, StaleFileError
        Not in the format above or incomplete; of a later version.
    """
    rows = [words for line in lines if (words := line.split("#")[0].split())]
    single = {words[0]: words[1:] for words in rows if words[0] in ("version", "use")}
    if single.get("version") != [VERSION]:
        found = " ".join(single.get("version", ["none"]))
        raise StaleFileError(f"{_WHERE}: version {found}, but this bnnp knows {VERSION}. {_AGAIN}")
    weights = {words[1]: tuple(words[2:]) for words in rows if words[0] == "weights" and len(words) > 2}
    try:
        kinds = {kind: _calibration(kind, rows) for kind in KINDS if any(w[0] == kind for w in rows)}
    except (ValueError, IndexError, KeyError) as error:
        raise InputError(f"{_WHERE}: cut short or damaged ({error}). {_AGAIN}") from None
    use = " ".join(single.get("use", []))
    if use not in kinds or not weights:
        raise InputError(f"{_WHERE}: cut short, `use` or `weights` is missing. {_AGAIN}")
    return CalibrationData(use, weights, kinds)


def _calibration(kind: str, rows: Sequence[Sequence[str]]) -> Calibration:
    found: dict[str, dict[str, list[str]]] = {}
    quantiles, counts, reach = {}, [], math.inf
    for words in (words[1:] for words in rows if words[0] == kind):
        if words[0] == "structures":
            counts = [int(word) for word in words[1:]]
        elif words[0] == "reach":
            (reach,) = map(float, words[1:])
        elif words[0] == "quantiles":
            quantiles[words[1]] = np.array(words[2:], dtype=np.float64)
        else:
            end = 2 if words[0] == "forces" else 1
            found.setdefault(" ".join(words[:end]), {})[words[end]] = list(words[end + 1 :])
    quantities = {name: _quantity(lines) for name, lines in found.items()}
    inside, outside, samples = counts
    if any(len(values) != len(PERCENT) for values in quantiles.values()):
        raise ValueError(f"quantiles need {count(len(PERCENT), 'number')}")
    forces = {
        name.removeprefix("forces "): quantity
        for name, quantity in quantities.items()
        if name.startswith("forces ")
    }
    energy, stress = quantities.get("energy"), quantities.get("stress")
    return Calibration(kind, energy, forces, stress, samples, inside, outside, quantiles, reach)


def _quantity(lines: Mapping[str, list[str]]) -> Quantity:
    kind, *numbers = lines["map"]
    factors, parts = lines["conformal"], [float(word) for word in lines["parts"]]
    if len(parts) not in (1, 4, 5):
        raise ValueError("parts need 1, 4 or 5 numbers")
    return Quantity(
        MAPS[kind](tuple(map(float, numbers))),
        np.array(parts[:3]),
        {int(level): float(k) for level, k in zip(factors[::2], factors[1::2], strict=True)},
        {},
        *parts[3:],
    )
