"""Mode 3 with ``md_steps``: molecular dynamics that stops where the potential becomes uncertain.

The potential is in the working directory, as for a prediction. ASE's integrators make the steps, with
:class:`bnnp.interfaces.ase.BNNP` as calculator; every few steps the uncertainty is checked
(:mod:`bnnp.modes.simulate.loop`). With ``md_members`` every sample has a run of its own, and the ranks share
these runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bnnp import parallel
from bnnp.errors import InputError, UncertaintyStop
from bnnp.io.md_restart import FILE_NAME as RESTART
from bnnp.io.md_restart import read_restart
from bnnp.log import Log
from bnnp.modes.simulate.loop import Ending, Loop, begin
from bnnp.modes.simulate.output import SimulationFiles
from bnnp.modes.simulate.plan import (
    Replica,
    SimulationPlan,
    calculator,
    demand_samples,
    demand_uncertainty,
    identity,
    read_plan,
    read_stages,
    replicas,
    starting_atoms,
)
from bnnp.modes.simulate.report import describe, report_end, report_plan
from bnnp.potential.loading import read_potential
from bnnp.potential.potential import Potential
from bnnp.run import Run
from bnnp.training.interruption import Interruption


def simulate(run: Run) -> None:
    """Run the dynamics of input.nn, or of every member.

    Raises
    ------
    InputError, StaleFileError
        The input does not make sense, or the restart file belongs to another run.
    UncertaintyStop
        The uncertainty is too large, or the run was unphysical; the frame is in candidates.data.
    SignalStop
        A signal came; the restart file is written.
    """
    settings, log = run.settings, Log()
    read_stages(settings)  # report mistakes in the keywords before reading the potential
    potential = read_potential(run.directory, settings, run.threads)
    plan = read_plan(settings, potential.calibration)
    demand_uncertainty(plan, potential, settings)
    demand_samples(potential, settings)
    demand_one_process(run)
    log.header(settings, potential.kernel, run.threads)
    with Interruption() as stop:
        if settings.dynamics.md_members is None:
            endings = [simulate_one(run, plan, potential, Replica(run.directory), log, stop)]
        else:
            endings = list(simulate_members(run, plan, potential, log, stop))
    stopped = "\n".join(ending.stopped for ending in endings if ending.stopped)
    reasons = parallel.gather(unfinished(endings, stop))  # of the members of every rank
    log.close(3, next(filter(None, reasons), ""))
    parallel.barrier()
    if stopped:
        raise UncertaintyStop(stopped)
    stop.end(not all(ending.finished for ending in endings))


def unfinished(endings: Sequence[Ending], stop: Interruption) -> str:
    """Why not all steps were done, for the last line of the log; empty if they were."""
    if all(ending.finished for ending in endings):
        return ""
    if any(ending.stopped for ending in endings):
        return "stopped on purpose: the reason follows"
    return f"stopped by {stop.name}; `bnnp --mode 3 --restart` continues"


def simulate_one(
    run: Run, plan: SimulationPlan, potential: Potential, replica: Replica, log: Log, stop: Interruption
) -> Ending:
    """One run, from its start or its restart file to its end or a stop."""
    settings, directory, member = run.settings, replica.directory, replica.member
    atoms = starting_atoms(run, plan.stages)
    known = identity(settings, plan, atoms, potential, member)
    resumed = run.restart and (member is None or (directory / RESTART).exists())
    former = read_restart(directory / RESTART, known) if resumed else None
    atoms.calc = calculator(potential, settings)
    loop = Loop(begin(settings, plan, atoms, former), settings, plan, former)
    report_plan(log, plan, loop.simulation, potential, resumed)
    with SimulationFiles(directory, describe(plan, loop.simulation, potential, settings), former) as files:
        ending = loop.follow(files, log, stop, known)
        files.finish()
        report_end(log, plan, loop.simulation, files, ending.stopped, member is not None)
    return ending


def simulate_members(
    run: Run, plan: SimulationPlan, potential: Potential, log: Log, stop: Interruption
) -> Iterator[Ending]:
    """The runs of this rank with ``md_members``, each with one sample and in a directory of its own."""
    for replica in replicas(run, potential):
        if stop():
            yield Ending(finished=False)
            return
        replica.directory.mkdir(exist_ok=True)
        log.section(replica.title)
        yield simulate_one(run, plan, replica.of(potential), replica, log, stop)


def demand_one_process(run: Run) -> None:
    """Raise InputError if there are several ranks for one run."""
    if run.settings.dynamics.md_members is None and parallel.size() > 1:
        raise InputError(
            f"one run of molecular dynamics is the work of one process, but there are {parallel.size()} "
            "ranks: start one, with `threads` for its cores; or use LAMMPS for large systems, or md_members "
            "for one run a sample"
        )
