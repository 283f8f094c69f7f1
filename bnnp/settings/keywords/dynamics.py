"""Keywords of molecular dynamics (mode 3 with ``md_steps``)."""

from __future__ import annotations

from dataclasses import dataclass

from bnnp.settings.arguments import (
    Limit,
    Ramp,
    choice,
    choices,
    integer,
    integers,
    ramps,
    real,
    reals,
    structure,
    thresholds,
    times,
)
from bnnp.settings.keywords.record import BNNP, Section, keyword

# fmt: off
_STAGES = "One value for all stages, or one a stage."
_LIMITS = (
    "Quantities: energy (sigma of the total energy, per atom), forces (largest sigma of a force component), "
    "extrapolations (symmetry functions outside their training range). Values are in units of the file, of "
    "calibrated standard deviations; `raw` in front takes the raw ones. `q99` is the 99 % quantile over the "
    "calibration set."
)


@dataclass(frozen=True)
class DynamicsSettings(Section, title="Molecular dynamics", modes="3", dialect=BNNP):
    """Molecular dynamics (mode 3 with ``md_steps``): times in fs, temperatures in K, pressures in GPa."""

    md_steps: tuple[int, ...] = keyword("n ...", integers(1), (),
        "run dynamics in mode 3: steps, one number a stage",
        note="Without it mode 3 predicts. `bnnp --mode 3 --restart` continues a run that was stopped.")
    md_structure: int | str = keyword("n|FILE", structure, 1,
        "where to start: a structure of input.data, or the last frame of a trajectory",
        note="FILE: anything ASE reads, such as ../hot/trajectory.extxyz; lengths in Angstrom there.")
    md_velocities: str = keyword("thermal|continued", choice("thermal", "continued"), "thermal",
        "drawn at the first md_temperature, or those of md_structure FILE")
    md_ensemble: tuple[str, ...] = keyword("nve|nvt|npt ...", choices("nve", "nvt", "npt"), ("nvt",),
        "what is constant in each stage", note=_STAGES)
    md_thermostat: tuple[str, ...] = keyword(
        "nose_hoover|langevin|bussi ...", choices("nose_hoover", "langevin", "bussi"), ("nose_hoover",),
        "thermostat of nvt; npt always has Nose-Hoover chains (Martyna, Tobias, Klein)", note=_STAGES)
    md_temperature: tuple[Ramp, ...] = keyword("T|T1:T2 ...", ramps, (),
        "temperature in K; 300:1200 is a ramp", note=_STAGES + ' nve uses it for thermal velocities only.')
    md_timestep: tuple[float, ...] = keyword("dt ...", times, (1.0,),
        "time step in fs", note=_STAGES)
    md_pressure: tuple[Ramp, ...] = keyword("p ...", ramps, (Ramp(0.0, 0.0),),
        "pressure of npt in GPa; 0:5 is a ramp", note=_STAGES)
    md_cell: str = keyword("isotropic|full", choice("isotropic", "full"), "isotropic",
        "what npt changes: the volume, or volume and shape")
    md_thermostat_time: tuple[float, ...] = keyword("t ...", times, (100.0,),
        "time constant of the thermostat in fs", note=_STAGES)
    md_barostat_time: tuple[float, ...] = keyword("t ...", times, (1000.0,),
        "time constant of the barostat in fs", note=_STAGES)
    md_log_every: int = keyword("n", integer(1), 10,
        "steps between two lines of md.out")
    md_heat_flux: int | None = keyword("n", integer(1), None,
        "steps between two lines of heat_flux.out: heat flux, pressure tensor; without it no such file",
        note="For `bnnp analyze --transport`. A line every 5 to 10 fs is usual; take nve. It costs a few %.")
    md_driving_force: tuple[float, ...] = keyword("F ...", reals(), (0.0,),
        "force F_e that drives a heat flux, in 1/length: homogeneous nonequilibrium dynamics (nvt)",
        note="With a driving force heat_flux.out has a column `work`, from which `bnnp analyze --transport` "
        "makes the thermal conductivity. " + _STAGES)
    md_driving_axis: str = keyword("x|y|z", choice("x", "y", "z"), "x",
        "direction of md_driving_force")
    md_bias: float = keyword("k", real(0.0), 0.0,
        "dynamics in E - k sigma(E), which seeks what the potential does not know; 0: in E",
        note="sigma is the calibrated standard deviation of the energy by the frozen samples; the distance "
        "part of `uncertainty hybrid` is left out. Nothing but md_uncertainty_stop limits the bias. md.out "
        "and trajectory.extxyz have energy and forces without it; E_conserved has it.")
    md_samples: int | None = keyword("n", integer(1), None,
        "steps between two lines of sample_energies.out: the energy of every Monte Carlo sample",
        note="For `bnnp analyze --error-bars`; equal to md_write_every, or a divisor of it.")
    md_write_every: int = keyword("n", integer(1), 100,
        "steps between two frames of trajectory.extxyz")
    md_restart_every: int = keyword("n", integer(1), 1000,
        "steps between two restart files")
    md_skin: float = keyword("r", real(0.0), 1.0,
        "skin of the neighbor list; changes the speed, not the result", unit="length")
    md_uncertainty_every: int = keyword("n", integer(1), 100,
        "steps between two looks at the sigma of the forces and at extrapolations",
        note="Forces with sigmas cost three to four steps; that of the energy is in every line of md.out.")
    md_uncertainty_warn: tuple[Limit, ...] = keyword("[raw] quantity value ...", thresholds, (),
        "beyond this a look is a warning, and the frame goes to candidates.data", note=_LIMITS)
    md_uncertainty_stop: tuple[Limit, ...] = keyword("[raw] quantity value ...", thresholds, (),
        "beyond this in md_uncertainty_patience looks running the run ends, exit code 3", note=_LIMITS)
    md_uncertainty_patience: int = keyword("n", integer(1), 3,
        "looks running beyond md_uncertainty_stop that end the run")
    md_candidates_window: int = keyword("n", integer(0), 5,
        "looks before an event whose frames go to candidates.data, too")
    md_candidates_spacing: float = keyword("t", real(0.0), 100.0,
        "shortest time between two frames of candidates.data in fs: they shall be different")
    md_guard_distance: float = keyword("x", real(0.0, below=1.0), 0.5,
        "stop if two atoms are closer than x times the sum of their covalent radii; 0: never")
    md_guard_force: float = keyword("F", real(above=0.0), 1.0,
        "stop if a force is larger than this", unit="force")
    md_guard_temperature: float | None = keyword("T", real(above=0.0), None,
        "stop if it gets hotter than this, in K; three times the highest md_temperature and 1000 K")
    md_guard_drift: float = keyword("E", real(above=0.0), 0.002,
        "stop if the conserved quantity has drifted by more than this in a stage", unit="energy/atom",
        note="A drift means a time step that is too long, or forces that are no derivative of the energy.")
    md_members: int | None = keyword("n", integer(2), None,
        "one run for each of n Monte Carlo samples, in directories of their own",
        note="md_member_01, ...: the spread of a result over them is its uncertainty. Samples of `mc_dropout "
             "after` with a calibration deviate from the mean by the size of errors, but those with networks "
             "of charges are raw. MPI ranks share them.")
