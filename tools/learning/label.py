"""Label: energies and forces of the chosen structures, each a job with its state and the reason for it.

A job is a folder; each try of it is one below, with what the program needs and leaves. A label that failed
is tried once more; if it fails again, it is counted with its reason, and the loop goes on without it, unless
more fail than ``loop_failures`` allows. A job whose processes were killed is tried again, up to `MOST_TRIES`
times; where the disk was full, the loop ends, and the next call tries it again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import shlex
import time
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import ase.io
from ase import Atoms

from bnnp.errors import InputError
from bnnp.io.ase_atoms import from_atoms, to_atoms
from bnnp.io.input_data import read_structures, write_structures
from bnnp.io.output import cannot_write
from bnnp.io.text import reason_of
from bnnp.messages import count
from bnnp.potential.loading import load
from bnnp.structure import Structure
from learning import vasp_label
from learning.campaign import Campaign, Stopped, announce, new_folder, write_json
from learning.cut import counted
from learning.division import write_divided
from learning.label_checks import demand_one_method, doubt, other_structure
from learning.local_job import SCRIPT, TIMED_OUT
from learning.queues import (
    ENDED,
    GONE,
    NEW,
    NO_ROOM,
    NOTHING,
    RUNNING,
    WAITING,
    Local,
    Queue,
    Slurm,
    State,
    call,
    ended,
    last_words,
    no_room,
)
from learning.selection import blocks
from learning.teacher import Taught

CONVERGED, UNCONVERGED, FAILED, TIMEOUT, LOST = "converged", "not converged", "failed", "timed out", "lost"
MEND = ("label_template", "label_command", "label_teacher", "label_retry", "label_timeout")
STATE, LABEL = "state.json", "label.data"
MOST_TRIES = 5
FEW = 3  # labels that may fail, or be doubtful, whatever the share
HALF = 0.5  # share of doubtful labels from which the calculations are suspected
LOOK = 0.1  # seconds between two looks at jobs on this machine


@dataclass(frozen=True)
class Outcome:
    """How a label, or a try of it, ended."""

    state: str
    reason: str = ""
    structure: Structure | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Job:
    """The folder of one label."""

    folder: Path

    @property
    def tries(self) -> list[Path]:
        """Folders of its tries."""
        return sorted(self.folder.glob("try_*"), key=lambda path: int(path.name.removeprefix("try_")))

    @property
    def final(self) -> dict[str, object] | None:
        """Its state, once it is final."""
        path = self.folder / STATE
        return json.loads(path.read_text()) if path.is_file() else None

    @property
    def structure(self) -> Structure:
        """What is to be labeled."""
        return next(read_structures(self.folder / "structure.data", require_labels=False))

    def close(self, outcome: Outcome, settings: str) -> None:
        """Write the label, if there is one, and then its state."""
        if outcome.structure is not None:
            write_structures(self.folder / LABEL, [outcome.structure])
        facts = {"state": outcome.state, "reason": outcome.reason, "seconds": outcome.seconds}
        write_json(self.folder / STATE, {**facts, "tries": len(self.tries), "settings": settings})


@dataclass(frozen=True)
class Labeling:
    """The labels of one generation."""

    campaign: Campaign
    generation: int

    @cached_property
    def folder(self) -> Path:
        """The step."""
        return self.campaign.step(self.generation, "label")

    @property
    def jobs(self) -> list[Job]:
        """All of them, in order."""
        return [Job(path) for path in sorted(self.folder.glob("job_*"))]

    @cached_property
    def template(self) -> Path | None:
        """Directory of ``label_template``."""
        words = self.campaign.settings.label.label_template
        return self.campaign.root / " ".join(words) if words else None

    @cached_property
    def settings(self) -> str:
        """Hash of what decides how labels are made: failed ones are tried anew where it has changed."""
        words = {name: self.campaign.keywords.get(name) for name in MEND}
        digest = hashlib.sha256(json.dumps(words, sort_keys=True).encode())
        for path in sorted(self.template.iterdir()) if self.template else ():
            digest.update(path.read_bytes() if path.is_file() else b"")
        return digest.hexdigest()[:16]

    @cached_property
    def queue(self) -> Queue:
        """Where the jobs run."""
        label = self.campaign.settings.label
        if label.label_teacher:
            elements = self.campaign.settings.model.elements
            return Taught(label.label_teacher, elements, self.campaign.root, self.campaign.units)
        if label.label_queue == "local":
            return Local(label.label_jobs, 60.0 * label.label_timeout)
        head = (self.template / "label.sh").read_text() if self.template else ""
        return Slurm(self.folder, head, label.label_jobs)

    def make_jobs(self) -> None:
        """A folder for each chosen structure, those that are not there yet."""
        chosen = blocks(self.campaign.step(self.generation, "select") / "chosen.data")
        for number, structure in enumerate(chosen, 1):
            folder = self.campaign.job(self.generation, number)
            if not folder.exists():
                with new_folder(folder) as temporary:
                    write_structures(temporary / "structure.data", [structure])
        for job in self.jobs:
            final = job.final
            if final and final["state"] != CONVERGED and final["settings"] != self.settings:
                self.prepare(job, second=False)  # the calculation has been mended meanwhile
                (job.folder / STATE).unlink()

    def prepare(self, job: Job, second: bool) -> Path:
        """The folder of the next try."""
        folder = job.folder / f"try_{len(job.tries) + 1}"
        with new_folder(folder) as temporary:
            self.fill(temporary, job.structure, second)
        return folder

    def fill(self, folder: Path, structure: Structure, second: bool) -> None:
        """Write what a try needs."""
        campaign, label = self.campaign, self.campaign.settings.label
        if self.template is not None:
            changes = label.label_retry if second else ()
            vasp_label.prepare(folder, structure, campaign.units, self.template, changes)
            return
        write_structures(folder / "structure.data", [structure])
        if label.label_command:
            ase.io.write(folder / "structure.extxyz", to_atoms(structure, campaign.units), format="extxyz")
            root = shlex.quote(str(campaign.root.resolve()))
            command = campaign.keywords["label_command"]
            (folder / SCRIPT).write_text(f"export BNNP_CAMPAIGN={root}\n{command}\n")

    def look(self) -> dict[Path, str]:
        """Look at all jobs, close those that have ended, submit others; returns where the open ones are."""
        open_ = [job for job in self.jobs if job.final is None]
        current = {job: job.tries[-1] if job.tries else self.prepare(job, second=False) for job in open_}
        states = self.queue.states(list(current.values()))
        waiting: list[Path] = []
        full: list[Path] = []
        for job, folder in current.items():
            state = states[folder]
            if state.kind in (ENDED, GONE):
                outcome = self.outcome(job, folder, state)
                full += [folder] * (outcome.reason == NO_ROOM)
                next_try = self.judge(job, folder, outcome)
                if next_try is not None:
                    waiting.append(next_try)
            elif state.kind == NEW:
                waiting.append(folder)
        if full:
            raise cannot_write(full[0], OSError(errno.ENOSPC, NO_ROOM))
        busy = sum(states[folder].kind not in (NEW, ENDED, GONE) for folder in current.values())
        room = waiting[: max(0, self.queue.limit - busy)]
        if room:
            self.queue.submit(room)
        kinds = {folder: states[folder].kind for folder in current.values()} | dict.fromkeys(room, WAITING)
        return {job.folder: kinds.get(job.tries[-1], NEW) for job in open_ if job.final is None}

    def judge(self, job: Job, folder: Path, outcome: Outcome) -> Path | None:
        """Close a label whose try has ended so, or return the folder of another try."""
        if outcome.state == LOST:
            (folder / LOST).touch()
        normal = sum(not (each / LOST).exists() for each in job.tries)
        if outcome.state == LOST:
            again = len(job.tries) < MOST_TRIES or outcome.reason == NO_ROOM
        else:
            again = outcome.state != CONVERGED and normal < 2 and self.worth(outcome)
        if again:
            return self.prepare(job, second=outcome.state != LOST)
        job.close(outcome, self.settings)
        return None

    def worth(self, outcome: Outcome) -> bool:
        """Whether a second try can differ: what did not converge needs other settings, a teacher gives the
        same."""
        label = self.campaign.settings.label
        return not label.label_teacher and (outcome.state != UNCONVERGED or bool(label.label_retry))

    def outcome(self, job: Job, folder: Path, state: State) -> Outcome:
        """What a try that has ended has given; it is lost if it failed for want of room on the disk."""
        found = self.found(job, folder, state)
        failed = found.state in (FAILED, LOST) and no_room(folder)
        return Outcome(LOST, NO_ROOM) if failed else found

    def found(self, job: Job, folder: Path, state: State) -> Outcome:
        """What a try that has ended has given, whatever the disk."""
        if state.kind == GONE:
            return Outcome(LOST, state.reason)
        if state.code == TIMED_OUT:
            return Outcome(TIMEOUT, "it took longer than allowed", seconds=state.seconds)
        found = self.read(folder)
        if found.state == CONVERGED and state.code:
            found = Outcome(FAILED, "")
        if found.state == FAILED and state.code:
            words = last_words(folder)
            kind = LOST if words == NOTHING else FAILED  # where the disk was full, nothing can be said
            found = Outcome(kind, f"exit code {state.code}: {words[:200]}")
        if found.structure is not None and (
            why := other_structure(job.structure, found.structure, self.campaign)
        ):
            return Outcome(FAILED, why, seconds=state.seconds)
        return replace(found, seconds=state.seconds)

    def read(self, folder: Path) -> Outcome:
        """The label that a try has left."""
        units = self.campaign.units
        try:
            if (folder / LABEL).is_file():
                return Outcome(CONVERGED, structure=next(read_structures(folder / LABEL)))
            if (folder / "label.extxyz").is_file():
                atoms = ase.io.read(folder / "label.extxyz", index=-1)
                assert isinstance(atoms, Atoms)
                return Outcome(CONVERGED, structure=from_atoms(atoms, units))
        except Exception as error:  # of the readers of ASE, too
            return Outcome(FAILED, f"its label cannot be read: {reason_of(error)}")
        structure, reason, unconverged = vasp_label.read_label(folder, units)
        if structure is None:
            return Outcome(UNCONVERGED if unconverged else FAILED, reason)
        return Outcome(CONVERGED, structure=structure)

    def demand_success(self) -> Counter[str]:
        """States of all labels. Raises InputError if more failed than may."""
        finals = [(job, job.final) for job in self.jobs]
        states = Counter(str(final["state"]) for _, final in finals if final)
        failed = [(job, final) for job, final in finals if final and final["state"] != CONVERGED]
        limit = self.campaign.settings.loop.loop_failures
        if len(failed) > max(limit * len(finals), FEW - 1) or (finals and len(failed) == len(finals)):
            reasons = Counter(f"{final['state']}: {final['reason']}" for _, final in failed if final)
            shown = "; ".join(f"{number} {reason}" for reason, number in reasons.most_common(4))
            raise InputError(
                f"{len(failed)} of {count(len(finals), 'label')} of generation {self.generation} failed, "
                f"more than loop_failures {limit:g} allows: {shown}. Look at "
                f"{self.campaign.shown(failed[0][0].folder)}; mend the template or the label_ keywords, "
                "and `bnnp --loop` tries the failed ones again; or raise loop_failures"
            )
        return states


def label(campaign: Campaign, generation: int) -> bool:
    """Label what was chosen; returns False while jobs are in the queue."""
    campaign.demand_unchanged(generation, "select")
    campaign.start(generation, "label")
    labeling = Labeling(campaign, generation)
    labeling.make_jobs()
    announce(generation, "label", f"{count(len(labeling.jobs), 'structure')} by {method_of(campaign)}")
    if not wait(labeling):
        return False
    collect(labeling)
    return True


def method_of(campaign: Campaign) -> str:
    """How labels are made, for people."""
    label = campaign.settings.label
    where = "SLURM" if label.label_queue == "slurm" else f"{count(label.label_jobs, 'job')} at once"
    return f"teacher {label.label_teacher[0]}" if label.label_teacher else where


def wait(labeling: Labeling) -> bool:
    """Look at the jobs until all labels are closed, or once if the user does not want to wait."""
    campaign = labeling.campaign
    loop, slurm = campaign.settings.loop, campaign.settings.label.label_queue == "slurm"
    while open_ := labeling.look():
        try:
            campaign.demand_no_stop()
        except Stopped:
            cancel(labeling)
            raise
        if slurm and not loop.loop_wait:
            announce(
                labeling.generation,
                "label",
                f"{count(len(open_), 'job is', 'jobs are')} in the queue or to be looked at again; `bnnp "
                "--loop` goes on later, `bnnp --loop status` shows them",
            )
            if loop.loop_resubmit and isinstance(labeling.queue, Slurm):
                resubmit(campaign, labeling.queue, bool({WAITING, RUNNING} & set(open_.values())))
            return False
        time.sleep(loop.loop_wait if slurm else LOOK)
    return True


def resubmit(campaign: Campaign, queue: Slurm, working: bool) -> None:
    """Submit the user's script with `bnnp --loop` behind all label jobs.

    Not if that has been done, and they are still `working`.
    """
    numbers = queue.numbers()
    mark = queue.folder / "resubmitted.json"
    done = mark.is_file() and json.loads(mark.read_text()) == numbers
    if numbers and not (done and working):
        script = " ".join(campaign.settings.loop.loop_resubmit)
        call("sbatch", f"--dependency=afterany:{':'.join(numbers)}", script, folder=campaign.root)
        write_json(mark, numbers)


def cancel(labeling: Labeling) -> int:
    """Cancel the jobs that wait or run; they are submitted again by the next `bnnp --loop`."""
    folders = [job.tries[-1] for job in labeling.jobs if job.final is None and job.tries]
    states = labeling.queue.states(folders)
    open_ = [folder for folder in folders if states[folder].kind not in (NEW, ENDED, GONE)]
    labeling.queue.cancel(open_)
    return len(open_)


def late_labels(campaign: Campaign, generation: int) -> list[Path]:
    """Labels of former generations that came after they were given up, and were not taken yet."""
    taken = {
        path
        for number in range(1, generation)
        if campaign.marker(number, "label")
        for path in campaign.facts(number, "label")["late"]
    }
    found = []
    for number in range(1, generation):
        labeling = Labeling(campaign, number)
        for job in labeling.jobs:
            given_up = (job.final or {}).get("state") in (TIMEOUT, LOST)
            if given_up and campaign.shown(job.folder) not in taken and late(labeling, job) is not None:
                found.append(job.folder)
    return found


def late(labeling: Labeling, job: Job) -> Structure | None:
    """The label of one of the tries of a job, if there is one by now."""
    for folder in job.tries:
        state = ended(folder)
        found = None if state is None else labeling.outcome(job, folder, state).structure
        if found is not None:
            return found
    return None


def collect(labeling: Labeling) -> None:
    """All labels that can be trusted, divided into sets; the others to doubtful.data."""
    campaign, generation, folder = labeling.campaign, labeling.generation, labeling.folder
    states = labeling.demand_success()
    labels = [
        with_info(campaign, next(read_structures(job.folder / LABEL)), job)
        for job in labeling.jobs
        if (final := job.final) and final["state"] == CONVERGED
    ]
    late_ones = late_labels(campaign, generation)
    for path in late_ones:
        job = Job(path)
        found = late(Labeling(campaign, int(path.parents[1].name[-3:])), job)
        assert found is not None
        labels.append(with_info(campaign, found, job))
    demand_one_method(campaign, generation, labels)
    potential = load(campaign.potential_folder(generation))
    doubts = [doubt(campaign, potential, each) for each in labels]
    doubtful = [
        replace(s, info={**s.info, "doubt": why}) for s, why in zip(labels, doubts, strict=True) if why
    ]
    if len(doubtful) > max(HALF * len(labels), FEW):
        raise InputError(
            f"{len(doubtful)} of {count(len(labels), 'label')} of generation {generation} differ from "
            f"the prediction by more than label_doubt {campaign.settings.label.label_doubt:g} sigma, the "
            f"first by {next(filter(None, doubts))}: are they calculated as input.data was (functional, "
            "ENCUT, pseudopotentials, units)? If so, raise label_doubt and run `bnnp --loop` again"
        )
    write_structures(folder / "doubtful.data", doubtful)
    sure = [structure for structure, why in zip(labels, doubts, strict=True) if not why]
    sizes = write_divided(campaign, generation, sure, 0, folder)
    text = [f"{number} {state}" for state, number in states.items()]
    text += [f"{len(late_ones)} late ones of former generations"] * bool(late_ones)
    text += [f"{len(doubtful)} doubtful, in {campaign.shown(folder)}/doubtful.data"] * bool(doubtful)
    announce(generation, "label", ", ".join([*text, *(f"{n} {name}" for name, n in sizes.items())]))
    finals = [job.final or {} for job in labeling.jobs]
    campaign.finish(
        generation,
        "label",
        [campaign.step(generation, "select") / "chosen.data"],
        [folder / "labeled.data", folder / "held_out.data", folder / "doubtful.data"],
        states=states,
        reasons=Counter(f"{x['state']}: {x['reason']}" for x in finals if x.get("state") != CONVERGED),
        sizes=sizes,
        labels=len(sure),
        doubtful=len(doubtful),
        late=[campaign.shown(path) for path in late_ones],
        seconds=round(sum(float(str(final.get("seconds", 0.0))) for final in finals), 1),
    )


def with_info(campaign: Campaign, found: Structure, job: Job) -> Structure:
    """A label, with total charge, group and source of its structure, and only what counts of it."""
    method = {"method": found.info["method"]} if "method" in found.info else {}
    own = {name: text for name, text in job.structure.info.items() if name != "sigma"}
    complete = replace(found, charge=job.structure.charge, info={**own, **method}, subset=None)
    return counted(complete, campaign.settings.loop.loop_cut_energy)
