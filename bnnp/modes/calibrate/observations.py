"""The fit of a calibration: errors of predictions, and the quantities from which their size is estimated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from bnnp.errors import InputError, NumericalError
from bnnp.messages import count
from bnnp.network.architecture import BOUNDED
from bnnp.potential.potential import Potential
from bnnp.structure import Structure
from bnnp.uncertainty.calibration import (
    FEWEST,
    Calibration,
    Observations,
    fit_calibration,
)
from bnnp.uncertainty.independence import independent_errors, shift_and_noise
from bnnp.uncertainty.metrics import zero_by_symmetry
from bnnp.units import Units

Array = NDArray[np.float64]


def observe(
    potential: Potential,
    read: Callable[[int], Structure],
    numbers: Sequence[int],
    outside: frozenset[int],
    position: int,
) -> dict[str, Observations]:
    """Errors of one structure, and the parts of sigma that are to be fitted to them.

    Parameters
    ----------
    read : callable
        Number -> structure.
    numbers : sequence of int
        The whole calibration set.
    outside : set of int
        Numbers of the structures outside the training range.
    position : int
        Position in `numbers`.

    Returns
    -------
    dict of str to Observations
        For ``energy``, ``forces X`` of each element X and ``stress``, where there are references.
    """
    structure = read(numbers[position])
    stress = structure.stress is not None
    prediction = potential.predict(structure, structure.forces is not None, stress)
    parts, found = prediction.parts, {}
    if parts is None:
        raise NumericalError(f"{structure.where}: has no standard deviations")

    def add(name: str, errors: Array, of: Array) -> None:
        known = ~np.isnan(errors.ravel())
        flat, errors = of.reshape(-1, of.shape[-1])[known], errors.ravel()[known]
        places, is_outside = np.full(len(flat), position), np.full(len(flat), numbers[position] in outside)
        far = parts.distances.atoms.max() if parts.distances else np.nan
        found[name] = Observations(errors, flat, places, is_outside, np.full(len(flat), far))

    if structure.energy is not None:
        error = (prediction.energy.value - structure.energy) / len(structure)
        add("energy", np.array([error]), parts.energy)
    if structure.forces is not None and parts.forces is not None:
        assert prediction.forces is not None
        errors, symbols = prediction.forces.value - structure.forces, np.array(structure.symbols)
        for element in sorted(set(structure.symbols), key=atomic_numbers.__getitem__):
            add(f"forces {element}", errors[symbols == element], parts.forces[symbols == element])
    if structure.stress is not None and prediction.stress is not None and parts.stress is not None:
        add("stress", prediction.stress.value - structure.stress, parts.stress)
    return found


@dataclass(frozen=True)
class Worth:
    """What the errors of energies inside the training range are worth.

    Parameters
    ----------
    independent : float
        Number of independent ones; 0 without any.
    shift, noise : float
        Standard deviations of what all errors of a group share, and within groups, energy per atom.
    """

    independent: float = 0.0
    shift: float = 0.0
    noise: float = 0.0


def worth_of_energies(outcomes: Sequence[Mapping[str, Observations]], groups: Sequence[str]) -> Worth:
    """Of the errors in `outcomes`, as of :func:`observe`, of structures of these `groups`."""
    own = [
        (outcome["energy"].errors[0], group)
        for outcome, group in zip(outcomes, groups, strict=True)
        if "energy" in outcome and not outcome["energy"].outside[0]
    ]
    if not own:
        return Worth()
    errors, labels = np.array([error for error, _ in own]), [label for _, label in own]
    return Worth(independent_errors(errors, labels), *shift_and_noise(errors, labels))


def fit(
    outcomes: Sequence[Mapping[str, Observations]], potential: Potential, independent: float
) -> tuple[dict[str, Calibration], int]:
    """Calibrations by kind: ``mc``, and ``hybrid`` if the potential has statistics of its training set.

    With them the number of components that are left out because symmetry makes them zero.

    Raises
    ------
    InputError
        Too few structures have an energy.
    """
    names = dict.fromkeys(name for outcome in outcomes for name in outcome)
    found = {name: Observations.joined([o[name] for o in outcomes if name in o]) for name in names}
    before = sum(len(each.errors) for each in found.values())
    found = {name: without_symmetric(name, each, potential.units) for name, each in found.items()}
    omitted = before - sum(len(each.errors) for each in found.values())
    enough = {name: each for name, each in found.items() if np.sum(~each.outside) >= FEWEST}
    if "energy" not in names:
        raise InputError("calibrate: no structure for the calibration has an energy")
    if "energy" not in enough:
        usable = int(np.sum(~found["energy"].outside))
        raise InputError(
            f"calibrate: {count(usable, 'structure')} for the calibration have an energy, expected at least "
            f"{FEWEST}"
        )
    networks = potential.members[0].networks.values()
    bounded = any(letter in BOUNDED for network in networks for letter in network.activations[:-1])
    kinds = ("mc",) if potential.statistics is None else ("mc", "hybrid")
    fitted = {kind: fit_calibration(enough, kind, potential.samples, independent, bounded) for kind in kinds}
    return fitted, omitted


def without_symmetric(name: str, found: Observations, units: Units) -> Observations:
    """Observations without the components that symmetry makes zero."""
    kept = ~zero_by_symmetry(name.partition(" ")[0], found.errors, found.parts[:, 0], units)
    return Observations(*(getattr(found, each.name)[kept] for each in fields(found)))
