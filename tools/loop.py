"""Active learning: explore, select, label, train, judge, generation by generation, until nothing surprises.

\b
bnnp --loop doctor     checks every input, command, template and element, and runs nothing
bnnp --loop            does what can be done now; the same command goes on after any end
bnnp --loop status     one table: errors, thresholds, labels by state and reason
bnnp --loop stop       ends a campaign at work, and cancels jobs that wait or run

The directory has input.nn (with the keywords loop_ and label_: `bnnp --keywords`), input.data, the
structures to begin with, and for VASP a template (label_template). Each generation has a folder, and each
label one in it; a finished step leaves done.json. Runs and trainings are `bnnp --mode 1|2|3` in their
folders: the commands are printed, and each can be repeated by hand. loop.out has a line for each generation,
which `bnnp plot loop` draws.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import click
from learning.campaign import STEPS, STOP, Campaign, Stopped
from learning.division import divide_start
from learning.doctor import demand_healthy, diagnose
from learning.explore import explore
from learning.judge import ended, judge
from learning.label import Labeling, cancel, label
from learning.queues import Local
from learning.selection import select
from learning.status import status
from learning.train import train

from bnnp.command import SETTINGS, Command, say
from bnnp.errors import InputError
from bnnp.io.lock import DirectoryLock

ACTIONS: dict[str, Callable[[Campaign, int], object]] = {
    "explore": explore,
    "select": select,
    "label": lambda campaign, generation: (
        label(campaign, generation) if generation else divide_start(campaign)
    ),
    "train": train,
    "judge": judge,
}


def next_step(campaign: Campaign) -> tuple[int, str] | str:
    """The step to do now, or why there is none."""
    for generation in range(campaign.settings.loop.loop_generations + 1):
        for name in STEPS if generation else STEPS[2:]:
            if campaign.marker(generation, name) is None and not (
                name == "train" and nothing(campaign, generation)
            ):
                return generation, name
        if ended(campaign, generation):
            limit = campaign.settings.loop.loop_end
            return (
                f"The loop has ended: two generations running had at most {limit:g} of their frames beyond "
                "the level."
            )
    number = campaign.settings.loop.loop_generations
    return (
        f"loop_generations {number} are done. Raise it in input.nn, and run the same command again, to go on."
    )


def nothing(campaign: Campaign, generation: int) -> bool:
    """Whether a generation has no labels to train on."""
    marker = campaign.marker(generation, "label")
    return marker is not None and marker.facts["labels"] == 0


def go(campaign: Campaign) -> None:
    """Do the steps, one after the other, until there are none or jobs are in the queue."""
    demand_healthy(campaign)
    for change in campaign.changes():
        say(f"input.nn has changed since the last step: {change}; it counts from now on")
    (campaign.root / STOP).unlink(missing_ok=True)
    while not isinstance(step := next_step(campaign), str):
        campaign.demand_no_stop()
        generation, name = step
        if ACTIONS[name](campaign, generation) is False:
            return
    say(step)
    last = campaign.potential(campaign.generations[-1])
    say(f"Potential: {campaign.shown(campaign.step(last, 'train') / 'potential')}")


def end(campaign: Campaign) -> None:
    """Stop a driver at work, or cancel what one has left in the queue or at work."""
    lock = DirectoryLock(campaign.root)
    try:
        lock.take("--loop stop")
    except InputError:
        (campaign.root / STOP).touch()
        say("`bnnp --loop` ends as soon as it looks: after a training, or at once while it waits for jobs.")
        return
    number = 0
    try:
        for generation in campaign.generations[1:]:
            if campaign.marker(generation, "label") is None:
                number += cancel(Labeling(campaign, generation))
            if campaign.marker(generation, "explore") is None:
                Local().cancel(sorted(campaign.step(generation, "explore").glob("run_*")))
    finally:
        lock.release()
    say(f"Nobody is at work here; {number} jobs were cancelled. `bnnp --loop` goes on.")


@click.command("loop", cls=Command, help=__doc__, context_settings=SETTINGS)
@click.argument("what", type=click.Choice(["status", "doctor", "stop"]), required=False)
def main(what: str | None) -> None:
    """Do, show, check or stop."""
    campaign = Campaign.open(Path.cwd())
    if what == "status":
        for line in status(campaign):
            say(line)
    elif what == "doctor":
        found = list(diagnose(campaign))
        for name, text, right in found:
            say(f"{'ok   ' if right else 'WRONG'} {name}: {text}")
        if not all(right for _, _, right in found):
            sys.exit(1)
    elif what == "stop":
        end(campaign)
    else:
        lock = DirectoryLock(campaign.root)
        lock.take("--loop")
        try:
            go(campaign)
        except Stopped as stopped:
            (campaign.root / STOP).unlink(missing_ok=True)
            say(str(stopped))
        finally:
            lock.release()


if __name__ == "__main__":
    main()
