"""What molecular dynamics would take: some first steps are timed.

With the potential of the working directory, or with random networks as input.nn describes them if there is
none yet: the time does not depend on the weights. Not counted: the writing of files, and the next neighbor
searches.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from bnnp.dynamics.simulation import Simulation
from bnnp.interfaces.ase import BNNP
from bnnp.io.weights import weights_name
from bnnp.log import Log, duration
from bnnp.modes.simulate.plan import read_guard, read_plan, read_stages, starting_atoms
from bnnp.modes.simulate.report import FS_A_NS, SECONDS_A_DAY
from bnnp.potential.loading import draw_masks, potential_of, read_potential
from bnnp.potential.member import Member
from bnnp.potential.potential import Potential
from bnnp.run import Run
from bnnp.training.initial import random_networks

STEPS, LOOKS = 10, 3  # timed; the fastest counts


@dataclass(frozen=True)
class SimulationCost:
    """Cost of a run.

    Parameters
    ----------
    trained : bool
        Whether the potential is there, not made of random networks.
    n_atoms, samples : int
    step, look : float
        Seconds of one step, and of the standard deviations of the forces beside it.
    """

    trained: bool
    n_atoms: int
    samples: int
    step: float
    look: float

    def seconds(self, steps: int, looks: int) -> float:
        """Of a run with so many steps and looks at the standard deviations."""
        return steps * self.step + looks * self.look


def estimate_simulation(run: Run) -> SimulationCost:
    """Time steps and looks of the structure the run starts from."""
    stages = read_stages(run.settings)
    guard = read_guard(run.settings, stages)
    atoms = starting_atoms(run, stages)
    potential, trained = _potential(run)
    if trained:
        read_plan(run.settings, potential.calibration)  # thresholds need a calibration, or are raw
    atoms.calc = BNNP(potential, skin=run.settings.dynamics.md_skin * run.settings.model.units.angstrom)
    simulation = Simulation(atoms, stages, np.random.default_rng(1))
    steps = simulation.run()
    taken = min(STEPS, sum(stage.steps for stage in stages))
    step = min(_seconds(lambda: (next(steps), guard.check(simulation))) for _ in range(taken))
    look = 0.0
    if potential.samples > 1:
        look = min(_seconds(lambda: _forces_std(atoms)) for _ in range(LOOKS))
    return SimulationCost(trained, len(atoms), potential.samples, step, look)


def report_simulation_estimate(run: Run, log: Log) -> None:
    """Time of the whole run and its speed."""
    settings, found = run.settings, estimate_simulation(run)
    stages, members = read_stages(settings), settings.dynamics.md_members or 1
    steps = sum(stage.steps for stage in stages)
    due = (range(0, steps + 1, settings.value(name)) for name in ("md_uncertainty_every", "md_write_every"))
    looks = len(set().union(*due))
    seconds = found.seconds(steps, looks)
    days = sum(stage.steps * stage.timestep for stage in stages) / FS_A_NS / seconds * SECONDS_A_DAY
    cores = f"{run.threads} thread{'s' * (run.threads > 1)}"
    log.section("Estimate for molecular dynamics")
    networks = "the potential here" if found.trained else "random networks, as there is no potential here"
    log.item("timed", f"{found.n_atoms} atoms, {found.samples} samples, {networks}")
    log.item("a step", f"{1000 * found.step:.3g} ms with {cores}")
    if found.look:
        text = f"{1000 * found.look:.3g} ms more, at {looks} of {steps + 1} configurations"
        log.item("sigmas of the forces", text)
    several = f"; {members} members, one after the other or on as many ranks: {duration(members * seconds)}"
    text = f"about {duration(seconds)}: {steps / seconds:.0f} steps/s, {days:.3g} ns/day"
    log.item(f"time of {steps} steps", text + several * (members > 1))


def _potential(run: Run) -> tuple[Potential, bool]:
    """The trained one, or one of random networks."""
    settings = run.settings
    if all((run.directory / weights_name(element)).is_file() for element in settings.model.elements):
        return read_potential(run.directory, settings, run.threads), True
    member = Member(random_networks(settings), draw_masks(settings))
    return potential_of(settings, member, threads=run.threads), False


def _forces_std(atoms: Atoms) -> None:
    """Standard deviations of the forces, of a configuration whose forces are known."""
    atoms.calc.results.pop("forces_std", None)
    atoms.calc.get_property("forces_std", atoms)


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
