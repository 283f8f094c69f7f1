"""Judge: what the uncertainty was worth on labels it had not seen, and whether the new potential is better.

The labels of a generation, before they are trained on, are the honest test set of the loop. They are
predicted by the potential that chose them. An alarm is a sigma beyond the lower trust level; a label is
missed if its largest force error is beyond `ALARM` times that level without one, and the alarm is false if
that error is below the level. The new potential takes over if its errors on the held-out structures of all
generations are not larger than those of the one in force.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bnnp.errors import NumericalError
from bnnp.io.input_data import StructureFile
from bnnp.io.output import replace_file
from bnnp.potential.loading import load
from bnnp.potential.potential import Potential
from bnnp.uncertainty.ranking import spearman
from bnnp.uncertainty.reliability import coverage
from bnnp.uncertainty.scores import zms
from learning.campaign import STEPS, TABLE, Campaign, announce

Array = NDArray[np.float64]

ALARM = 3.0  # a normal error of the sigma of the level is beyond it in three of a thousand
COVERED = 0.9
QUIET_GENERATIONS = 2  # running, that end the loop
COLUMNS = (
    *(
        "generation",
        "labels",
        "failed",
        "doubtful",
        "held_out",
        "rmse_E",
        "rmse_F",
        "new_rmse_E",
        "new_rmse_F",
    ),
    *("sqrt_zms_E", "sqrt_zms_F", "coverage_F", "spearman", "missed", "false_alarms", "share", "lower"),
    *("potential", "seconds"),
)
UNITS = (
    "rmse_E (meV/atom) rmse_F (meV/Angstrom): errors on the held-out structures of all generations, of "
    "the potential in force; new_ and the following: on the new labels before they are trained on; share "
    "of frames beyond lower (meV/Angstrom); seconds of all steps"
)


@dataclass(frozen=True, eq=False)
class Errors:
    """Errors and standard deviations of one potential on some structures, in meV/atom and meV/Angstrom.

    Parameters
    ----------
    energy, energy_sigma : (n_energies,) float64
        Of the structures whose energy counts.
    force, force_sigma : (m,) float64
        Of all components.
    largest, largest_sigma : (n,) float64
        Of each structure: the largest force error, and the largest sigma.
    """

    energy: Array
    energy_sigma: Array
    force: Array
    force_sigma: Array
    largest: Array
    largest_sigma: Array

    @classmethod
    def of(cls, potential: Potential, paths: Sequence[Path]) -> Errors:
        """Predict the structures of files."""
        units = potential.model.units
        energy, sigma, forces, spreads = [], [], [], []
        for structure in (each for path in paths if path.stat().st_size for each in StructureFile(path)):
            found = potential.predict(structure, forces=True, stress=False, sigma=True)
            assert structure.forces is not None
            assert found.forces is not None
            if structure.energy is not None:
                energy.append((found.energy.value - structure.energy) / len(structure) * units.mev)
                sigma.append((found.energy.std or math.nan) / len(structure) * units.mev)
            known = np.isfinite(structure.forces)
            forces.append((found.forces.value - structure.forces)[known] * units.mev_per_angstrom)
            spread = np.full(known.shape, np.nan) if found.forces.std is None else found.forces.std
            spreads.append(spread[known] * units.mev_per_angstrom)
        largest = [[np.abs(each).max() for each in own] for own in (forces, spreads)]
        joined = [np.concatenate(own) if own else np.zeros(0) for own in (forces, spreads)]
        return cls(np.array(energy), np.array(sigma), *joined, *map(np.array, largest))

    def __len__(self) -> int:
        return len(self.largest)

    @property
    def rmse(self) -> tuple[float, float]:
        """Root mean square errors of energies and forces; NaN without any."""
        return rms(self.energy), rms(self.force)

    def scores(self, level: float) -> dict[str, float]:
        """What the standard deviations are worth; `level` in meV/Angstrom is the lower trust level."""
        alarm = self.largest_sigma >= level
        return {
            "sqrt_zms_E": known(lambda: math.sqrt(zms(self.energy, self.energy_sigma))),
            "sqrt_zms_F": known(lambda: math.sqrt(zms(self.force, self.force_sigma))),
            "coverage_F": known(lambda: coverage(self.force, self.force_sigma, COVERED)),
            "spearman": spearman(self.largest_sigma, self.largest) if len(self) > 2 else math.nan,
            "missed": float(np.sum(~alarm & (self.largest > ALARM * level))),
            "false_alarms": float(np.sum(alarm & (self.largest < level))),
        }


def rms(values: Array) -> float:
    """Root mean square; NaN without values."""
    return float(np.sqrt(np.square(values).mean())) if len(values) else math.nan


def known(score: object) -> float:
    """A score, or NaN where it cannot be had."""
    assert callable(score)
    try:
        return float(score())
    except NumericalError:
        return math.nan


def ratio(new: tuple[float, float], old: tuple[float, float]) -> float:
    """Mean ratio of the errors of energies and forces of two potentials on the same structures."""
    return float(np.mean([a / b if b > 0.0 else float(a > 0.0) + 1.0 for a, b in zip(new, old, strict=True)]))


def judge(campaign: Campaign, generation: int) -> None:
    """Decide which potential is in force, and write loop.out."""
    campaign.demand_unchanged(generation, "train")
    folder = campaign.start(generation, "judge")
    former, trained = campaign.potential(generation - 1), campaign.marker(generation, "train") is not None
    held_out = campaign.held_out(generation)
    facts: dict[str, float | int | bool] = {"potential": generation if generation == 0 else former}
    if generation:
        old = load(campaign.step(former, "train") / "potential")
        level = campaign.facts(generation, "explore")["lower"] * campaign.units.mev_per_angstrom
        label = campaign.step(generation, "label")
        names = ("labeled.data", "held_out.data", "doubtful.data")
        fresh = Errors.of(old, [path for name in names if (path := label / name).is_file()])
        facts |= {
            "new_rmse_E": fresh.rmse[0],
            "new_rmse_F": fresh.rmse[1],
            **fresh.scores(level),
            "lower": level,
        }
        old_errors = Errors.of(old, held_out).rmse
    if trained:
        errors = Errors.of(load(campaign.step(generation, "train") / "potential"), held_out)
        better = generation == 0 or ratio(errors.rmse, old_errors) <= 1.0
        facts |= {"trained_rmse_E": errors.rmse[0], "trained_rmse_F": errors.rmse[1]}
        facts["potential"] = generation if better else former
    in_force = errors.rmse if facts["potential"] == generation else old_errors
    facts |= {"rmse_E": in_force[0], "rmse_F": in_force[1]}
    facts["held_out"] = sum(len(StructureFile(path)) for path in held_out if path.stat().st_size)
    share = campaign.facts(generation, "select")["share"] if generation else math.nan
    facts["share"] = share
    announce(generation, "judge", sentence(facts, generation, trained))
    inputs = [*held_out, *(folder.parent / name / "done.json" for name in ("label", "train"))]
    campaign.finish(generation, "judge", [path for path in inputs if path.is_file()], [], **plain(facts))
    write_table(campaign)


def plain(facts: dict[str, float | int | bool]) -> dict[str, float | int | bool | None]:
    """NaN as null, which JSON has."""
    return {name: None if isinstance(x, float) and not math.isfinite(x) else x for name, x in facts.items()}


def sentence(facts: dict[str, float | int | bool], generation: int, trained: bool) -> str:
    """The judgment for people."""
    text = f"held-out errors {facts['rmse_E']:.3g} meV/atom and {facts['rmse_F']:.3g} meV/Angstrom"
    if not generation:
        return text
    text += (
        f"; new labels, before training: {facts['new_rmse_E']:.3g} and {facts['new_rmse_F']:.3g}, "
        f"sqrt(ZMS) of forces {facts['sqrt_zms_F']:.2f}, {facts['missed']:.0f} missed, "
        f"{facts['false_alarms']:.0f} false alarms"
    )
    if not trained:
        return text + "; nothing new to train on"
    if facts["potential"] == generation:
        return text + "; the new potential takes over"
    return (
        f"{text}; the new potential is worse on them ({facts['trained_rmse_E']:.3g} and "
        f"{facts['trained_rmse_F']:.3g}): that of generation {facts['potential']} stays"
    )


def ended(campaign: Campaign, generation: int) -> bool:
    """Whether few frames were beyond the level in the last generations, of which this is the last."""
    numbers = range(max(1, generation - QUIET_GENERATIONS + 1), generation + 1)
    shares = [campaign.facts(number, "select")["share"] for number in numbers]
    limit = campaign.settings.loop.loop_end
    return len(shares) == QUIET_GENERATIONS and all(share <= limit for share in shares)


def row(campaign: Campaign, generation: int) -> list[float]:
    """A line of loop.out."""
    facts = {name: math.nan if x is None else x for name, x in campaign.facts(generation, "judge").items()}
    label = campaign.marker(generation, "label")
    if label is not None:
        states = label.facts.get("states", {})
        facts |= {"labels": label.facts["labels"], "doubtful": label.facts.get("doubtful", 0)}
        facts["failed"] = sum(states.values()) - states.get("converged", 0)
    markers = (campaign.marker(generation, name) for name in STEPS)
    facts["seconds"] = sum(marker.seconds for marker in markers if marker)
    facts["generation"] = generation
    return [float(facts.get(name, math.nan)) for name in COLUMNS]


def write_table(campaign: Campaign) -> None:
    """Write loop.out anew from the markers."""
    judged = [number for number in campaign.generations if campaign.marker(number, "judge")]
    with replace_file(campaign.root / TABLE) as file:
        file.write(f"# {' '.join(COLUMNS)} | {UNITS}\n")
        for number in judged:
            file.write(" ".join(f"{value:10.5g}" for value in row(campaign, number)) + "\n")
