"""Explore: molecular dynamics of many starts with the potential of the last generation, by mode 3 or LAMMPS.

Each run is a folder with a copy of the potential, one structure and the md_ keywords of input.nn; every look
at the uncertainty is written as a frame. A run ends by its length, its guard, or where sigma is beyond the
upper trust level.
"""

from __future__ import annotations

import itertools
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bnnp.errors import InputError
from bnnp.io.input_data import StructureFile, write_structures
from bnnp.io.output import replace_file
from bnnp.io.trajectory import TRAJECTORY
from bnnp.messages import count
from bnnp.potential.loading import load
from bnnp.potential.potential import Potential
from bnnp.settings.arguments import Ramp
from bnnp.structure import Structure
from learning.campaign import Campaign, Stopped, announce, new_folder, without
from learning.explore_lammps import ENDS, LOG, UNPHYSICAL, collect, fill, template_of, variables
from learning.local_job import CODE, SCRIPT
from learning.queues import ENDED, GONE, NEW, Local, last_words

REPLACED = ("md_structure", "md_write_every", "md_uncertainty_warn", "md_uncertainty_stop", "md_members")
STOPPED = 3  # exit code of a run that the rule or the guard has stopped
MOST_TRIES = 5  # of a run whose processes were killed
LOOK = 0.1  # seconds between two looks at the runs


@dataclass(frozen=True)
class Start:
    """One run: where it starts, and what is not in input.nn."""

    structure: Structure
    temperature: Ramp | None
    pressure: Ramp | None
    bias: float | None
    seed: int


@dataclass(frozen=True)
class Levels:
    """Trust levels of a potential: sigma of a force component, in its units."""

    lower: float
    upper: float


def trust_levels(campaign: Campaign, potential: Potential) -> Levels:
    """The levels of ``loop_lower`` and ``loop_upper`` for a potential.

    Raises
    ------
    InputError
        It has no calibration of forces.
    """
    calibration, limit = potential.calibration, campaign.settings.loop.loop_lower
    if calibration is None or "forces" not in calibration.quantiles:
        raise InputError(
            "the potential has no calibration of its forces, so its standard deviations have no size to "
            "choose by; the log of its mode 2 says why (generation_NNN/train/mode2.log)"
        )
    lower = calibration.quantile("forces", limit.quantile) if limit.quantile is not None else limit.value
    assert lower is not None
    return Levels(lower, lower * campaign.settings.loop.loop_upper)


def starting_structures(campaign: Campaign) -> list[Structure]:
    """Those of ``loop_structures``.

    Raises
    ------
    InputError
        There is no such file or structure, or an element is not in input.nn.
    """
    chosen, where = campaign.settings.loop.loop_structures, campaign.settings.origins["loop_structures"]
    name = chosen[0] if isinstance(chosen[0], str) else "input.data"
    file = StructureFile(campaign.root / name, campaign.settings.model.elements, require_labels=False)
    numbers = [each for each in chosen if isinstance(each, int)] or range(1, len(file) + 1)
    if bad := [number for number in numbers if number > len(file)]:
        raise InputError(f"{where}: structure {bad[0]} is wanted, but {name} has {len(file)}")
    return [file[number - 1] for number in numbers]


def starts(campaign: Campaign, generation: int) -> list[Start]:
    """All runs of a generation: structures x temperatures x pressures x biases x seeds."""
    loop = campaign.settings.loop
    temperatures, pressures = loop.loop_temperature or (None,), loop.loop_pressure or (None,)
    biases, seeds = loop.loop_bias or (None,), range(loop.loop_seeds)
    first = campaign.settings.general.random_seed + 10000 * generation
    combinations = itertools.product(starting_structures(campaign), temperatures, pressures, biases, seeds)
    return [Start(*each[:4], first + number) for number, each in enumerate(combinations)]


def settings_of_run(campaign: Campaign, potential: str, start: Start, levels: Levels) -> str:
    """input.nn of a run: the potential, then the md_ keywords of the campaign with those of the run."""
    own = {
        "random_seed": str(start.seed),
        "threads": "1",
        "md_write_every": str(campaign.settings.dynamics.md_uncertainty_every),
        "md_uncertainty_stop": f"forces {levels.upper!r}",
    }
    varied = {"temperature": start.temperature, "pressure": start.pressure, "bias": start.bias}
    own |= {f"md_{name}": str(value) for name, value in varied.items() if value is not None}
    taken = {name: words for name, words in campaign.keywords.items() if name.startswith("md_")}
    kept = {name: words for name, words in taken.items() if name not in (*own, *REPLACED)}
    lines = [f"{name} {words}" for name, words in {**kept, **own}.items()]
    return "\n".join([without(potential, *own).rstrip(), *lines, ""])


def explore(campaign: Campaign, generation: int) -> None:
    """Make the runs of a generation, those that are not there yet."""
    if not campaign.settings.dynamics.md_steps:
        raise InputError(
            "input.nn: has no md_steps: say how long the runs of the loop are, such as `md_steps 20000`, and "
            "`md_temperature T` or `loop_temperature T1 T2`"
        )
    folder, source = campaign.start(generation, "explore"), campaign.potential_folder(generation)
    levels, planned = trust_levels(campaign, load(source)), starts(campaign, generation)
    folders = [prepare(campaign, folder, number, each, levels) for number, each in enumerate(planned, 1)]
    mev = campaign.units.mev_per_angstrom
    announce(
        generation,
        "explore",
        f"{count(len(folders), 'run')} of molecular dynamics, {campaign.settings.loop.loop_jobs} at "
        f"once, by the potential of generation {campaign.potential(generation - 1)}; trust levels "
        f"{mev * levels.lower:.3g} and {mev * levels.upper:.3g} meV/Angstrom",
    )
    run_all(campaign, folders)
    if template_of(campaign) is not None:
        for run in folders:
            if not (run / TRAJECTORY).is_file():
                collect(run, campaign.settings.model.elements)
    facts = [
        {
            "run": campaign.shown(run),
            "stopped": reason_of_stop(run),
            "temperature": None if start.temperature is None else str(start.temperature),
        }
        for run, start in zip(folders, planned, strict=True)
    ]
    outputs = [run / TRAJECTORY for run in folders]
    inputs = sorted(source.glob("*"))
    campaign.finish(
        generation, "explore", inputs, outputs, runs=facts, lower=levels.lower, upper=levels.upper
    )


def prepare(campaign: Campaign, folder: Path, number: int, start: Start, levels: Levels) -> Path:
    """The folder of a run, made if it is not there."""
    run = folder / f"run_{number:04d}"
    if run.exists():
        return run
    source = campaign.potential_folder(int(folder.parent.name.removeprefix("generation_")))
    if template_of(campaign) is not None:
        ramps = start.temperature, start.pressure
        own = variables(campaign, start.structure, ramps, start.seed, levels.upper)
        with new_folder(run) as temporary:
            fill(temporary, campaign, start.structure, source, own)
        return run
    with new_folder(run) as temporary:
        shutil.copytree(source, temporary, dirs_exist_ok=True)
        text = settings_of_run(campaign, (source / "input.nn").read_text(), start, levels)
        (temporary / "input.nn").write_text(text)
        write_structures(temporary / "input.data", [start.structure])
        program = f"{shlex.quote(sys.executable)} -m bnnp"
        with replace_file(temporary / SCRIPT) as file:
            file.write(f"restart=\n[ -e md_restart.npz ] && restart=--restart\n{program} --mode 3 $restart\n")
    return run


def run_all(campaign: Campaign, folders: Sequence[Path]) -> None:
    """Run what has not ended.

    Raises
    ------
    InputError
        A run failed; the others are ended.
    Stopped
        `bnnp --loop stop`.
    """
    queue = Local(campaign.settings.loop.loop_jobs)
    try:
        _run_all(campaign, folders, queue)
    except (InputError, Stopped):
        queue.cancel(folders)
        raise


def _run_all(campaign: Campaign, folders: Sequence[Path], queue: Local) -> None:
    tries = dict.fromkeys(folders, 0)
    while True:
        states = queue.states(folders)
        for folder, state in states.items():
            if state.kind == ENDED and state.code > 128 and tries[folder] < MOST_TRIES:
                (folder / CODE).unlink()  # a signal: it goes on
            elif state.kind == ENDED and state.code not in (0, STOPPED) and reason_of_stop(folder) != "guard":
                raise InputError(
                    f"molecular dynamics in {campaign.shown(folder)} ended with {state.code}: "
                    f"{failure(folder)}. Mend input.nn or the template of loop_explore, remove "
                    f"{campaign.shown(folder.parent)} and run "
                    "`bnnp --loop` again"
                )
        open_ = [folder for folder in folders if states[folder].kind in (NEW, GONE)]
        running = sum(state.kind not in (NEW, GONE, ENDED) for state in states.values())
        if not open_ and not running and all(queue.states(folders)[each].kind == ENDED for each in folders):
            return
        campaign.demand_no_stop()
        for folder in open_[: max(0, queue.limit - running)]:
            tries[folder] += 1
            if tries[folder] > MOST_TRIES:
                raise InputError(
                    f"molecular dynamics in {campaign.shown(folder)} was killed {MOST_TRIES} times; memory? "
                    "Look at job.out there, then run `bnnp --loop` again"
                )
            queue.submit([folder])
        time.sleep(LOOK)


def failure(folder: Path) -> str:
    """The message with which a run of bnnp failed."""
    text = (folder / "job.out").read_text(errors="replace")
    return " ".join(text.rpartition("ERROR: ")[2].split()) if "ERROR: " in text else last_words(folder)


def reason_of_stop(folder: Path) -> str:
    """``guard``, ``sigma``, or empty for a run that came to its end."""
    paths = (path for name in ("job.out", LOG) if (path := folder / name).is_file())
    text = " ".join(word for path in paths for word in path.read_text(errors="replace").split())
    if any(words in text for words in ("stopped by the physical guard", *UNPHYSICAL)):
        return "guard"
    return "sigma" if any(words in text for words in ("stopped by md_uncertainty_stop", ENDS)) else ""
