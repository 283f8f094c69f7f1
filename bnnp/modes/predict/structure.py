"""One structure in mode 3: its prediction, what is wrong with it, and its lines in the output files."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bnnp.errors import NumericalError
from bnnp.io.input_data import StructureFile
from bnnp.io.prediction import format_prediction
from bnnp.potential.assessment import Assessment, assess, extrapolations, group_of, scored_pairs
from bnnp.potential.potential import Potential
from bnnp.prediction import Prediction
from bnnp.settings.settings import Settings
from bnnp.structure import Structure
from bnnp.uncertainty.extrapolation import Tally, energy_warning

LINES = 100  # extrapolations in n2p2's words at most; the table of the log counts all
NET_FORCE = 1e-6  # RuNNer's limit of `check_forces`, in the unit of the forces


@dataclass(frozen=True)
class Outcome:
    """What is kept of one structure: text for the files and numbers for the log.

    Parameters
    ----------
    texts : dict of str to str
        Lines of each output file.
    group : str
        Row of the table it belongs to.
    assessment : Assessment
    pairs : dict of str to (2, n) float64
        Errors and standard deviations, to be ranked; see :func:`bnnp.potential.assessment.scored_pairs`.
    tallies : dict of str to Tally
        Extrapolations of each element.
    warnings : list of str
        In the words of n2p2, one for each value outside of its training range.
    energy_warning : str
        Empty if the energy is within the training range.
    """

    texts: dict[str, str]
    group: str
    assessment: Assessment
    pairs: dict[str, NDArray[np.float64]]
    tallies: dict[str, Tally]
    warnings: list[str]
    energy_warning: str


def predict_structure(
    structures: StructureFile, potential: Potential, settings: Settings, names: tuple[str, ...], index: int
) -> Outcome:
    """One structure, from the file to the lines of the output files."""
    structure = structures[index]
    keywords = settings.prediction
    prediction = potential.predict(structure, keywords.calculate_forces, keywords.calculate_stress)
    if keywords.check_forces:
        check_net_force(structure, prediction)
    outside = find_extrapolations(structure, prediction, potential)
    texts = format_prediction(names, structure, prediction, potential.calibration)
    found = assess(structure, prediction, potential.units)
    pairs = scored_pairs(structure, prediction, potential.units)
    return Outcome(texts, group_of(structure), found, pairs, *outside)


def find_extrapolations(
    structure: Structure, prediction: Prediction, potential: Potential
) -> tuple[dict[str, Tally], list[str], str]:
    """Symmetry functions and the energy outside their training range, if scaling.data gives it."""
    if potential.scalings is None:
        return {}, [], ""
    functions, scalings = potential.model.functions, potential.scalings
    tallies, lines = extrapolations(structure, prediction.descriptors, scalings.scalings, functions, LINES)
    per_atom = (prediction.energy.value - prediction.offset) / len(structure)
    warning = energy_warning(per_atom, scalings.energy_range)
    return tallies, lines, f"{structure.where}: {warning}" * bool(warning)


def check_net_force(structure: Structure, prediction: Prediction) -> None:
    """Raise NumericalError if the forces on all atoms do not add up to 0, for ``check_forces``."""
    if prediction.forces is None:
        return
    if (net := np.abs(prediction.forces.value.sum(axis=0)).max()) > NET_FORCE:
        raise NumericalError(
            f"{structure.where}: the forces add up to {net:.3g}, more than {NET_FORCE:g}. Rounding can do "
            "this in very large or very strained structures: look at it, or remove check_forces."
        )
