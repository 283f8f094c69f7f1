"""Status: one table of a campaign, read from its markers; nothing is changed and nobody is disturbed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from bnnp.io.lock import FILE_NAME as LOCK
from bnnp.messages import count, percent
from learning.campaign import STEPS, STOP, Campaign, locked
from learning.judge import COLUMNS, ended, row
from learning.label import CONVERGED, Labeling

SHOWN = (
    *(
        ("generation", "gen"),
        ("labels", "labels"),
        ("failed", "failed"),
        ("doubtful", "doubt"),
        ("rmse_E", "E"),
    ),
    *(("rmse_F", "F"), ("new_rmse_F", "F new"), ("sqrt_zms_F", "sqrt ZMS"), ("missed", "missed")),
    *(("false_alarms", "false"), ("share", "beyond"), ("lower", "level"), ("potential", "in force")),
)


def status(campaign: Campaign) -> Iterator[str]:
    """The lines to show."""
    if not campaign.generations:
        yield "Nothing has been done yet: `bnnp --loop doctor` checks, `bnnp --loop` begins."
        return
    yield "  ".join(f"{title:>8}" for _, title in SHOWN)
    for generation in campaign.generations:
        if campaign.marker(generation, "judge"):
            values = dict(zip(COLUMNS, row(campaign, generation), strict=True))
            yield "  ".join(f"{shown(name, values[name]):>8}" for name, _ in SHOWN)
    yield (
        "E, F: errors on the held-out structures of all generations, meV/atom and meV/Angstrom; F new: "
        "on new labels before they were trained on; beyond: share of frames beyond the level of sigma "
        "(meV/Angstrom)."
    )
    generation = campaign.generations[-1]
    yield from labels(campaign)
    if (campaign.root / STOP).exists():
        yield "To be stopped (`bnnp --loop stop`)."
    if (campaign.root / LOCK).exists():
        holder = (campaign.root / LOCK).read_text().strip()
        held = locked(campaign.root / LOCK)
        yield f"At work: {holder}" if held else f"{LOCK} is not held by a process here: {holder}"
    done = [name for name in STEPS if campaign.marker(generation, name)]
    if "judge" in done:
        end = ", and the loop has ended" if ended(campaign, generation) else ""
        yield f"Generation {generation} is done{end}."
    else:
        yield f"Generation {generation}: {', '.join(done) or 'nothing'} done."
    total = sum(
        marker.seconds for g in campaign.generations for n in STEPS if (marker := campaign.marker(g, n))
    )
    yield f"Time of all finished steps: {total / 60.0:.1f} minutes. {changes(campaign)}".rstrip()


def shown(name: str, value: float) -> str:
    """A number of the table."""
    if not math.isfinite(value):
        return "-"
    return percent(value).replace(" ", "") if name == "share" else f"{value:.3g}"


def labels(campaign: Campaign) -> Iterator[str]:
    """States of all labels, and the reasons of those that failed."""
    states, reasons, seconds = Counter[str](), Counter[str](), 0.0
    for generation in campaign.generations[1:]:
        for job in Labeling(campaign, generation).jobs:
            final = job.final or {"state": "open", "reason": "", "seconds": 0.0}
            states[str(final["state"])] += 1
            seconds += float(str(final["seconds"]))
            if final["state"] not in (CONVERGED, "open"):
                reasons[f"{final['state']}: {final['reason']}"] += 1
    if states:
        text = ", ".join(f"{number} {state}" for state, number in states.most_common())
        yield f"Labels: {text}; {seconds / 3600.0:.3g} hours of jobs."
    for reason, number in reasons.most_common():
        yield f"  {number:4d}  {reason}"


def changes(campaign: Campaign) -> str:
    """How often the keywords have changed between steps."""
    markers = [campaign.marker(g, n) for g in campaign.generations for n in STEPS]
    number = sum(bool(marker and marker.changed) for marker in markers)
    return f"Keywords have changed before {count(number, 'step')} (done.json has how)." if number else ""
