"""The loop over the steps of a run: which step is written, checked for its uncertainty, and saved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from bnnp.dynamics.candidates import CandidateWindow
from bnnp.dynamics.observables import Uncertainty, observe, uncertainty_of
from bnnp.dynamics.simulation import Simulation
from bnnp.errors import NumericalError
from bnnp.io.md_restart import State
from bnnp.io.trajectory import CANDIDATES
from bnnp.log import Log, Progress
from bnnp.messages import count
from bnnp.modes.simulate.output import SimulationFiles
from bnnp.modes.simulate.plan import THERMOSTAT, SimulationPlan
from bnnp.modes.simulate.report import Speed
from bnnp.random import DYNAMICS, stream
from bnnp.settings.settings import Settings
from bnnp.training.interruption import Interruption

MOST_WARNINGS = 20  # shown in the log


@dataclass(frozen=True)
class Ending:
    """How a run ended.

    Parameters
    ----------
    finished : bool
        All steps were done.
    stopped : str
        Message of the stop rule or the guard; empty otherwise.
    resumable : bool
        Whether the run can be continued from here: not where the guard stopped it.
    """

    finished: bool = True
    stopped: str = ""
    resumable: bool = True


def begin(settings: Settings, plan: SimulationPlan, atoms: Atoms, former: State | None) -> Simulation:
    """The simulation at its start, or in the state of the restart file."""
    generator = stream(settings.general.random_seed, DYNAMICS, THERMOSTAT)
    simulation = Simulation(atoms, plan.stages, generator)
    if former is not None:
        atoms.calc.evaluations = int(former["evaluations"]) - 1  # the first one repeats the last
        atoms.calc.reset()
        simulation.restore(former)
    return simulation


class Loop:
    """A run with its stop rule, guard and recent frames.

    Parameters
    ----------
    simulation : Simulation
        Its atoms have a :class:`bnnp.interfaces.ase.BNNP`.
    settings : Settings
    plan : SimulationPlan
    former : State or None
        Of the restart file.
    """

    def __init__(
        self, simulation: Simulation, settings: Settings, plan: SimulationPlan, former: State | None = None
    ) -> None:
        self.simulation, self.settings, self.guard = simulation, settings, plan.guard
        self.rule = plan.rule(settings.dynamics.md_uncertainty_patience)
        keywords = settings.dynamics
        self.window = CandidateWindow(keywords.md_candidates_window, keywords.md_candidates_spacing)
        self.fresh, self.flagged = former is None, 0
        if former is not None:
            self.rule.violations, self.flagged = int(former["offences"]), int(former["flagged"])
            prefix = "window."
            window = {name.removeprefix(prefix): a for name, a in former.items() if name.startswith(prefix)}
            self.window.restore(window, simulation.atoms)

    def follow(
        self, files: SimulationFiles, log: Log, stop: Interruption, identity: Mapping[str, object]
    ) -> Ending:
        """Run to the end, a signal, or a stop by the rule or the guard."""
        simulation, ending = self.simulation, Ending()
        left = sum(stage.steps for stage in simulation.stages) - simulation.progress.total
        speed = Speed(simulation.progress)
        bar: Progress[object] = log.progress(description="dynamics", total=left)
        with bar:
            if self.fresh:
                ending = self._observe(files, log)
                self._save(files, identity)
            steps = simulation.run()
            while ending.finished and not simulation.finished:
                try:
                    next(steps)
                    ending = self._observe(files, log)
                except NumericalError as error:
                    ending = self._unphysical(files, str(error))
                self._after_step(files, identity, bar, speed, ending)
                if stop() and not ending.stopped and not simulation.finished:
                    self._save(files, identity)
                    return Ending(finished=False)
        return ending

    def _after_step(
        self,
        files: SimulationFiles,
        identity: Mapping[str, object],
        bar: Progress[object],
        speed: Speed,
        ending: Ending,
    ) -> None:
        progress = self.simulation.progress
        due = progress.total % self.settings.dynamics.md_restart_every == 0 or self.simulation.finished
        if ending.resumable and (due or ending.stopped):
            self._save(files, identity)
        bar.note = speed.text(progress)
        bar.update()

    def _observe(self, files: SimulationFiles, log: Log) -> Ending:
        """Check and write what is due at this step."""
        simulation, settings = self.simulation, self.settings
        total = simulation.progress.total
        judged = total % settings.dynamics.md_uncertainty_every == 0
        frame = total % settings.dynamics.md_write_every == 0
        line = total % settings.dynamics.md_log_every == 0
        flux, samples = (
            every is not None and total % every == 0
            for every in (settings.dynamics.md_heat_flux, settings.dynamics.md_samples)
        )
        trouble = self.guard.check(simulation)
        if not trouble and line:
            trouble = self.guard.check_drift(simulation)
        if not trouble and line:
            neighbors = simulation.atoms.calc.neighbors(simulation.atoms)
            trouble = self.guard.check_distances(simulation.atoms, neighbors)
        seen = uncertainty_of(simulation.atoms) if judged or frame or trouble else None
        if line or seen or flux or samples:
            snapshot = observe(simulation, seen)
            if line or seen:
                files.write_line(snapshot)
            if flux:
                files.write_heat_flux(snapshot, simulation.atoms)
            if samples:
                files.write_samples(snapshot, simulation.atoms)
        if frame or trouble:
            files.write_frame(simulation)
        if judged or trouble:
            self.window.add(simulation.atoms, total, simulation.progress.time)
        if trouble:
            return self._unphysical(files, trouble)
        return self._judge(files, log, seen) if seen and judged else Ending()

    def _judge(self, files: SimulationFiles, log: Log, seen: Uncertainty) -> Ending:
        """Apply the stop rule to the uncertainties of this step."""
        progress, verdict = self.simulation.progress, self.rule.judge(seen)
        if not verdict.flagged:
            return Ending()
        self.flagged += 1
        files.write_candidates(list(self.window.take(verdict.stop)), verdict.reasons, progress.total)
        text = f"step {progress.total} ({progress.time:g} fs): {'; '.join(verdict.reasons)}"
        if self.flagged <= MOST_WARNINGS:
            log.warn(text + " (further warnings: see md.out)" * (self.flagged == MOST_WARNINGS))
        if not verdict.stop:
            return Ending()
        looks = self.rule.patience
        running = f" in {looks} looks running" if looks > 1 else ""
        return Ending(
            False,
            f"stopped by md_uncertainty_stop{running} at {text}. The potential does not know this region; "
            f"{count(files.candidates, 'frame is', 'frames are')} in {CANDIDATES}: compute them and train "
            "with them, or raise the threshold and continue with --restart.",
        )

    def _unphysical(self, files: SimulationFiles, trouble: str) -> Ending:
        """End the run because of the guard or a configuration without energy; keep the last frames."""
        progress = self.simulation.progress
        if np.isfinite(self.simulation.atoms.positions).all():
            files.write_candidates(list(self.window.take(force=True)), [trouble], progress.total)
        dt = self.simulation.stage.timestep
        return Ending(
            False,
            f"stopped by the physical guard at step {progress.total} ({progress.time:g} fs): {trouble}. "
            f"Either the potential is far from its training data (frames before it are in {CANDIDATES}), or "
            f"the time step of {dt:g} fs is too long; the limits are the md_guard keywords.",
            resumable=False,
        )

    def _save(self, files: SimulationFiles, identity: Mapping[str, object]) -> None:
        state = self.simulation.state() | {
            "evaluations": np.array(self.simulation.atoms.calc.evaluations),
            "offences": np.array(self.rule.violations),
            "flagged": np.array(self.flagged),
        }
        window = {f"window.{name}": value for name, value in self.window.state().items()}
        files.write_restart(state | window, identity)
