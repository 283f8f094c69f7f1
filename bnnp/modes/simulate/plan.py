"""From input.nn to a run of molecular dynamics: stages, thresholds, guard, and the atoms at the start."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ase.io
from ase import Atoms

from bnnp import parallel
from bnnp.descriptors.length_unit import closest_pairs, reach
from bnnp.dynamics.guard import Guard
from bnnp.dynamics.simulation import thermalize
from bnnp.dynamics.stages import Stage
from bnnp.dynamics.stop_rule import StopRule, Threshold
from bnnp.errors import InputError
from bnnp.interfaces.ase import BNNP
from bnnp.io.ase_atoms import to_atoms
from bnnp.io.ase_labels import find_total_charge
from bnnp.io.input_data import StructureFile
from bnnp.io.text import reason_of
from bnnp.io.uncertainty_data import FILE_NAME as UNCERTAINTY
from bnnp.messages import count
from bnnp.modes.doubts import demand_units
from bnnp.potential.files import PotentialFiles
from bnnp.potential.potential import Potential
from bnnp.random import DYNAMICS, stream
from bnnp.run import Run
from bnnp.settings.arguments import Limit
from bnnp.settings.settings import Settings
from bnnp.uncertainty.calibration import Calibration
from bnnp.uncertainty.ensemble import in_turn

HOT = 3.0, 1000.0  # the guard stops at this factor times the highest temperature plus so many K
STAGE_KEYWORDS = (
    *("md_ensemble", "md_thermostat", "md_timestep", "md_pressure"),
    *("md_thermostat_time", "md_barostat_time", "md_driving_force"),
)
VELOCITIES, THERMOSTAT = 0, 1  # streams of random numbers
MEMBER = "md_member_{:02d}"  # directory of a run; member_02, ... are the networks of an ensemble


@dataclass(frozen=True)
class SimulationPlan:
    """Stages, thresholds and guard of a run, in ASE's units.

    Parameters
    ----------
    stages : tuple of Stage
    warn, stop : tuple of Threshold
    guard : Guard
    calibrated : bool
        Whether the potential has a calibration.
    """

    stages: tuple[Stage, ...]
    warn: tuple[Threshold, ...]
    stop: tuple[Threshold, ...]
    guard: Guard
    calibrated: bool = False

    def rule(self, patience: int) -> StopRule:
        """The stop rule at the start of a run."""
        return StopRule(self.warn, self.stop, patience, self.calibrated)


@dataclass(frozen=True)
class Replica:
    """One of several runs of the same plan.

    Parameters
    ----------
    directory : Path
        Of its files.
    member : int or None
        The sample of the potential it runs with; None: the mean over all.
    title : str
        Its section in the log.
    """

    directory: Path
    member: int | None = None
    title: str = ""

    def of(self, potential: Potential) -> Potential:
        """Its sample of `potential`, or all of it."""
        return potential if self.member is None else potential.member(self.member)


def replicas(run: Run, potential: Potential) -> Iterator[Replica]:
    """The runs of this rank with ``md_members``: samples of all networks in turn.

    Raises
    ------
    InputError
        The potential has fewer samples than members are wanted.
    """
    wanted = run.settings.dynamics.md_members or 1
    samples = potential.samples if potential.samples > 1 else 0
    if wanted > samples:
        raise InputError(
            f"{run.settings.origins['md_members']}: {count(wanted, 'member is', 'members are')} wanted, but "
            f"the potential has {samples} Monte Carlo samples"
        )
    chosen = in_turn(potential.sizes, wanted)
    for number in range(parallel.rank(), wanted, parallel.size()):
        directory, title = run.directory / MEMBER.format(number + 1), f"Member {number + 1} of {wanted}"
        yield Replica(directory, chosen[number], title)


def read_plan(settings: Settings, calibration: Calibration | None = None) -> SimulationPlan:
    """Read stages, thresholds and guard; `calibration` is that of the potential.

    Raises
    ------
    InputError
        Keywords that do not fit together, with their lines.
    """
    stages = read_stages(settings)
    warn, stop = (
        tuple(_threshold(settings, name, limit, calibration) for limit in settings.value(name) or ())
        for name in ("md_uncertainty_warn", "md_uncertainty_stop")
    )
    return SimulationPlan(stages, warn, stop, read_guard(settings, stages), calibration is not None)


def read_stages(settings: Settings) -> tuple[Stage, ...]:
    """The stages, one for each number of ``md_steps``."""
    steps, count = settings.dynamics.md_steps, len(settings.dynamics.md_steps)
    ramps = _each(settings, "md_temperature", count) if settings.dynamics.md_temperature else [None] * count
    columns = zip(steps, ramps, *(_each(settings, name, count) for name in STAGE_KEYWORDS), strict=True)
    stages = []
    axis = "xyz".index(settings.dynamics.md_driving_axis)
    for number, (n, ramp, ensemble, thermostat, timestep, pressure, t_time, b_time, force) in enumerate(
        columns, 1
    ):
        if ramp is None and ensemble != "nve":
            raise InputError(
                f"{_where(settings, 'md_ensemble')}: stage {number} is {ensemble}, which needs a "
                "temperature; add `md_temperature T` (in K)"
            )
        stage = Stage(
            steps=n,
            timestep=timestep,
            ensemble=ensemble,
            thermostat=thermostat,
            temperature=(0.0, 0.0) if ramp is None else (ramp.start, ramp.end),
            pressure=(pressure.start, pressure.end),
            thermostat_time=t_time,
            barostat_time=b_time,
            full_cell=settings.dynamics.md_cell == "full",
            field=field_along(axis, force / settings.model.units.angstrom),
        )
        _check_stage(settings, number, stage)
        stages.append(stage)
    return tuple(stages)


def field_along(axis: int, force: float) -> tuple[float, float, float]:
    """A driving force along x, y or z (0, 1 or 2)."""
    x, y, z = (force if axis == direction else 0.0 for direction in range(3))
    return x, y, z


def _each(settings: Settings, name: str, stages: int) -> Sequence[Any]:
    """The values of a keyword, one for each stage."""
    values = settings.value(name)
    if len(values) == 1:
        return [values[0]] * stages
    if len(values) != stages:
        advice = "; a ramp is written 300:1200" if name in ("md_temperature", "md_pressure") else ""
        raise InputError(
            f"{_where(settings, name)}: {name} has {count(len(values), 'value')} for "
            f"{count(stages, 'stage')} (md_steps has {count(stages, 'number')}); give one value, or one a "
            f"stage{advice}"
        )
    return list(values)


def _check_stage(settings: Settings, number: int, stage: Stage) -> None:
    """Raise InputError if temperature, time constants, ensemble and masks do not fit together."""
    if min(stage.temperature) < 0.0:
        raise InputError(f"{_where(settings, 'md_temperature')}: stage {number}: a temperature is negative")
    if stage.ensemble != "nve" and min(stage.temperature) == 0.0:
        raise InputError(
            f"{_where(settings, 'md_temperature')}: stage {number}: a thermostat needs more than 0 K; use "
            "nve or a small temperature"
        )
    times = {"md_thermostat_time": stage.thermostat_time, "md_barostat_time": stage.barostat_time}
    for name, time in times.items():
        used = stage.ensemble == "npt" or (stage.ensemble == "nvt" and name == "md_thermostat_time")
        if used and time < 5.0 * stage.timestep:
            raise InputError(
                f"{_where(settings, name)}: stage {number}: {name} is {time:g} fs, but must be several time "
                f"steps of {stage.timestep:g} fs; 100 steps are usual for a thermostat, 1000 for a barostat"
            )
    if stage.driven:
        _check_driven(settings, number, stage)
    if stage.ensemble == "nve" and settings.dropout.mc_masks == "resample":
        raise InputError(
            f"{_where(settings, 'mc_masks')}: `mc_masks resample` cannot be used for nve (stage {number}): "
            "new masks at every step are a random force that heats the atoms, about 3 sigma_F^2 dt / (2 m S) "
            "an atom and time. Use the frozen masks, whose mean conserves the energy, or a thermostat."
        )


def _check_driven(settings: Settings, number: int, stage: Stage) -> None:
    """Raise InputError if a conductivity cannot be had from a driven stage."""
    where = f"{_where(settings, 'md_driving_force')}: stage {number}: a driving force"
    if stage.method not in ("nose_hoover", "bussi") or stage.ramped:
        raise InputError(
            f"{where} needs nvt at one temperature with nose_hoover or bussi, got {stage.describe()}. The "
            "thermostat has to take the heat away and to leave the motion as it is; give 0 for other stages"
        )
    if settings.dynamics.md_heat_flux is None:
        raise InputError(f"{where} without md_heat_flux tells no conductivity; add `md_heat_flux 10`")


def _threshold(settings: Settings, name: str, limit: Limit, calibration: Calibration | None) -> Threshold:
    """A threshold in eV and Angstrom."""
    units, value = settings.model.units, limit.value
    counted, raw = limit.quantity == "extrapolations", limit.raw
    known = calibration is not None and limit.quantity in calibration.quantiles
    if calibration is not None and limit.quantity == "forces":
        known = known and set(settings.model.elements) <= set(calibration.forces)
    if not counted and not raw and not known:
        shown = f"{limit.value:g}" if limit.value is not None else "0.1"
        kind = "is a quantile of the calibration set" if limit.quantile else "counts in calibrated deviations"
        what = "no calibration" if calibration is None else f"no calibration of the {limit.quantity}"
        what += " of all elements" * (calibration is not None and limit.quantity in calibration.quantiles)
        raise InputError(
            f"{_where(settings, name)}: `{limit}` {kind}, but {UNCERTAINTY} has {what}. Write "
            f"`{name} raw {limit.quantity} {shown}` for the raw standard deviation, whose size the dropout "
            "rate sets, or calibrate first (keyword `calibrate`)."
        )
    if limit.quantile is not None:
        if counted or calibration is None:
            raise InputError(
                f"{_where(settings, name)}: `{limit}`: extrapolations are counted, give a number"
            )
        value = calibration.quantile(limit.quantity, limit.quantile)
    assert value is not None
    factor = {"energy": units.ev, "forces": units.ev / units.angstrom}.get(limit.quantity, 1.0)
    return Threshold(limit.quantity, value * factor, raw, limit.quantile)


def read_guard(settings: Settings, stages: Sequence[Stage]) -> Guard:
    """The physical guard of these stages."""
    units = settings.model.units
    hottest = max((max(stage.temperature) for stage in stages), default=0.0)
    limit = settings.dynamics.md_guard_temperature or HOT[0] * hottest + HOT[1]
    drift = settings.dynamics.md_guard_drift * units.ev
    return Guard(
        distance=settings.dynamics.md_guard_distance,
        force=settings.dynamics.md_guard_force * units.ev / units.angstrom,
        temperature=limit,
        drift=float("inf") if settings.dropout.mc_masks == "resample" else drift,
    )


def demand_uncertainty(plan: SimulationPlan, potential: Potential, settings: Settings) -> None:
    """Raise InputError if a threshold is on a quantity this potential does not give."""
    member = settings.dynamics.md_members is not None
    limits = [("md_uncertainty_warn", each) for each in plan.warn]
    limits += [("md_uncertainty_stop", each) for each in plan.stop]
    for name, threshold in limits:
        where = settings.origins[name]
        if threshold.quantity == "extrapolations":
            if potential.scalings is None:
                raise InputError(f"{where}: {name}: no scaling.data, so extrapolations cannot be seen")
        elif member or potential.samples < 2:
            why = "md_members runs single samples" if member else "the potential has no Monte Carlo samples"
            raise InputError(
                f"{where}: {name}: {why}, so there is no standard deviation of the {threshold.quantity}; use "
                "the quantity `extrapolations`, or remove the threshold"
            )


def demand_samples(potential: Potential, settings: Settings) -> None:
    """Raise InputError if ``md_samples`` is wanted of a run with one sample."""
    alone = settings.dynamics.md_members is not None
    if settings.dynamics.md_samples and (alone or potential.samples < 2):
        why = "md_members runs single samples" if alone else "the potential has no Monte Carlo samples"
        raise InputError(
            f"{settings.origins['md_samples']}: md_samples: {why}, so there are no energies of several "
            "samples; remove the keyword" + " or md_members" * alone
        )


def bias_of(potential: Potential, settings: Settings) -> float:
    """``md_bias`` times the factor from the raw to the calibrated standard deviation.

    Raises
    ------
    InputError
        The potential has no such standard deviation, or the run is one that a bias would falsify.
    """
    own = settings.dynamics
    if own.md_bias == 0.0:
        return 0.0
    others = {
        "md_members runs single samples, which have no standard deviation": own.md_members is not None,
        "a heat flux along biased dynamics is that of no potential": own.md_heat_flux is not None,
        "`mc_masks resample` makes sigma another function in every step": potential.resample,
        "a potential with charges has none": potential.model.electrostatics is not None,
        "the potential has no Monte Carlo samples": potential.samples < 2,
        "the potential has no calibration of its energy; calibrate it": potential.spread_factor is None,
    }
    if why := next((text for text, found in others.items() if found), ""):
        raise InputError(f"{settings.origins['md_bias']}: md_bias: {why}; or remove the keyword")
    assert potential.spread_factor is not None
    return own.md_bias * potential.spread_factor


def calculator(potential: Potential, settings: Settings) -> BNNP:
    """ASE's calculator with the skin of ``md_skin`` and the bias of ``md_bias``."""
    skin = settings.dynamics.md_skin * settings.model.units.angstrom
    flux = settings.dynamics.md_heat_flux is not None
    bias = bias_of(potential, settings)
    return BNNP(potential, skin=skin, virials=flux, bias=bias, warn=False)  # md.out counts extrapolations


def starting_atoms(run: Run, stages: Sequence[Stage]) -> Atoms:
    """Positions, cell and momenta of ``md_structure`` and ``md_velocities``, in Angstrom and eV.

    Raises
    ------
    InputError
        No such structure or file, no velocities in it, no temperature to draw them at, or no cell for npt.
    """
    settings = run.settings
    atoms = _structure(run)
    atoms.calc, total = None, find_total_charge(atoms)
    atoms.info.clear()
    if total and settings.model.charged:
        atoms.info["charge"] = total
    _check_atoms(settings, stages, atoms)
    if settings.dynamics.md_velocities == "continued":
        if not atoms.has("momenta"):
            source = settings.dynamics.md_structure
            what = f"structure {source} of {run.data.name}" if isinstance(source, int) else source
            raise InputError(
                f"{_where(settings, 'md_velocities')}: {what} has no velocities to continue with (input.data "
                "knows none). Give a trajectory with `md_structure FILE.extxyz`, or use `md_velocities "
                "thermal`."
            )
        return atoms
    if not settings.dynamics.md_temperature:
        raise InputError(
            f"{_where(settings, 'md_velocities')}: velocities are to be drawn, but at which temperature? Add "
            "`md_temperature T` (in K), or continue with those of a trajectory: `md_velocities continued`."
        )
    generator = stream(settings.general.random_seed, DYNAMICS, VELOCITIES)
    thermalize(atoms, settings.dynamics.md_temperature[0].start, generator)
    return atoms


def _structure(run: Run) -> Atoms:
    settings, source = run.settings, run.settings.dynamics.md_structure
    if isinstance(source, int):
        structures = StructureFile(run.data, settings.model.elements, require_labels=False)
        if source > len(structures):
            raise InputError(
                f"{_where(settings, 'md_structure')}: structure {source} is wanted, but {run.data.name} has "
                f"{len(structures)}"
            )
        structure, units = structures[source - 1], settings.model.units
        demand_units([reach(closest_pairs(structure, units), units)], settings, run.data.name)
        return to_atoms(structure, units)
    try:
        atoms = ase.io.read(run.directory / source, index=-1, parallel=False)
        assert isinstance(atoms, Atoms)
    except Exception as error:  # ASE's readers raise many kinds
        raise InputError(
            f"{_where(settings, 'md_structure')}: {source} cannot be read by ASE: {reason_of(error)}"
        ) from error
    return atoms


def _check_atoms(settings: Settings, stages: Sequence[Stage], atoms: Atoms) -> None:
    unknown = sorted(set(atoms.symbols) - set(settings.model.elements))
    if unknown:
        raise InputError(
            f"{_where(settings, 'md_structure')}: element {', '.join(unknown)} is not in this potential, "
            f"which knows {' '.join(settings.model.elements)}"
        )
    if not atoms.pbc.all() and any(stage.driven for stage in stages):
        raise InputError(
            f"{_where(settings, 'md_driving_force')}: heat is driven through a structure that is repeated "
            "along all three vectors, but this one is a molecule, a wire or a slab; remove the keyword"
        )
    if not atoms.pbc.all() and any(stage.ensemble == "npt" for stage in stages):
        raise InputError(
            f"{_where(settings, 'md_ensemble')}: npt needs a cell that is repeated along all three "
            "vectors, but the structure is a molecule, a wire or a slab; use nvt"
        )


def identity(
    settings: Settings, plan: SimulationPlan, atoms: Atoms, potential: Potential, member: int | None
) -> dict[str, object]:
    """What a restart file must agree with; the last stage may be prolonged unless it is a ramp."""
    stages = [asdict(stage) for stage in plan.stages]
    (first, *others), model = potential.members, settings.model
    if not plan.stages[-1].ramped:
        stages[-1]["steps"] = "any"
    return {
        "potential": PotentialFiles(model, first.networks, potential.scalings, charges=first.charges).line,
        "ensemble": [PotentialFiles(model, x.networks, None, charges=x.charges).line for x in others],
        "mc_samples": 0 if potential.samples == 1 else potential.samples,
        "mc_masks": settings.dropout.mc_masks,
        "member": member,
        "random_seed": settings.general.random_seed,
        "atoms": hashlib.sha256(atoms.numbers.astype("<i8").tobytes()).hexdigest()[:16],
        **({"total charge": float(atoms.info.get("charge", 0.0))} if model.charged else {}),
        "md_bias": settings.dynamics.md_bias or None,
        "md_steps": len(stages),
        **{f"stage {number}": list(stage.items()) for number, stage in enumerate(stages, start=1)},
    }


def _where(settings: Settings, name: str) -> str:
    """The line of a keyword, or the file if it is not given."""
    return settings.origins[name] if settings.given(name) else settings.file
