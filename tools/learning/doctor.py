"""Doctor: looks at every input, command, file and element before anything is run or submitted."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator

import numpy as np

from bnnp.errors import BnnpError, InputError
from bnnp.io.input_data import StructureFile
from bnnp.messages import count
from learning import teacher, vasp_label
from learning.campaign import Campaign
from learning.division import LEAST
from learning.explore import starts
from learning.explore_lammps import template_of
from learning.label import Labeling
from learning.queues import call

WAYS = ("label_template", "label_command", "label_teacher")
SPACE = 10**9  # bytes that should be free
SAME_ENERGY, SAME_FORCE = 1e-3, 1e-2  # eV/atom, eV/Angstrom: a teacher that made the data gives them again


def checks(campaign: Campaign) -> Iterator[tuple[str, Callable[[], str]]]:
    """Each check by what it looks at; it returns what it found, or raises a BnnpError."""
    yield "how labels are made", lambda: the_way(campaign)
    yield "start set", lambda: start_set(campaign)
    yield "molecular dynamics", lambda: dynamics(campaign)
    yield "labels", lambda: ways(campaign)
    if campaign.settings.label.label_queue == "slurm" or campaign.settings.loop.loop_resubmit:
        yield "queue", slurm
    yield "disk", lambda: disk(campaign)


def the_way(campaign: Campaign) -> str:
    """The keyword that says how labels are made: one of three."""
    given = [name for name in WAYS if campaign.settings.given(name)]
    if len(given) != 1:
        got = "has none of" if not given else f"has {' and '.join(given)}, expected one of"
        raise InputError(f"input.nn: {got} {', '.join(WAYS)}; say with one of them how labels are made")
    changes = campaign.settings.label.label_retry
    if changes and given[0] != WAYS[0]:
        raise InputError("input.nn: label_retry changes INCAR, but there is no label_template; remove it")
    vasp_label.demand_retry(changes, campaign.settings.origins["label_retry"])
    if given[0] == WAYS[2] and campaign.settings.label.label_queue != "local":
        raise InputError("input.nn: label_teacher works in this process; remove `label_queue slurm`")
    return campaign.keywords[given[0]]


def start_set(campaign: Campaign) -> str:
    """input.data: enough, with the elements of input.nn."""
    file = StructureFile(campaign.root / "input.data", campaign.settings.model.elements)
    if len(file) < LEAST:
        raise InputError(
            f"input.data has {count(len(file), 'structure')}; at least {LEAST} are needed to begin"
        )
    missing = set(campaign.settings.model.elements) - {x for structure in file for x in structure.symbols}
    if missing:
        raise InputError(
            f"input.data: no structure has {', '.join(sorted(missing))}, which `elements` of input.nn "
            "names; add some, or leave the element out"
        )
    return count(len(file), "structure")


def dynamics(campaign: Campaign) -> str:
    """The runs: how many, how long, and at which temperatures."""
    own = campaign.settings.dynamics
    if not own.md_steps:
        raise InputError(
            "input.nn: has no md_steps: say how long the runs of the loop are, such as `md_steps 20000`"
        )
    if not (own.md_temperature or campaign.settings.loop.loop_temperature):
        raise InputError(
            "input.nn: has neither loop_temperature nor md_temperature: say how hot the runs are, in K"
        )
    if campaign.settings.loop.loop_pressure and "npt" not in own.md_ensemble:
        raise InputError("input.nn: loop_pressure needs `md_ensemble npt`")
    if campaign.settings.loop.loop_cut and campaign.settings.model.charged:
        raise InputError(
            f"{campaign.settings.origins['loop_cut']}: loop_cut does not go with charges, as the total "
            "charge of a region that is cut out is not known; remove it, and label whole cells"
        )
    by = "LAMMPS" if template_of(campaign) else "mode 3"
    runs = len(starts(campaign, 1))
    return f"{count(runs, 'run')} of {count(sum(own.md_steps), 'step')} in each generation, by {by}"


def ways(campaign: Campaign) -> str:
    """Files and programs that label."""
    the_way(campaign)
    label, elements = campaign.settings.label, campaign.settings.model.elements
    if label.label_template:
        template = Labeling(campaign, 1).template
        assert template is not None
        vasp_label.demand_template(template, elements)
        return f"{template.name}/ has INCAR, KPOINTS, label.sh and a POTCAR of {', '.join(elements)}"
    if label.label_command:
        word = label.label_command[0].replace("$BNNP_CAMPAIGN", str(campaign.root)).strip("\"'")
        known = subprocess.run(["bash", "-c", 'type -- "$1"', "bash", word], capture_output=True, check=False)
        if known.returncode and "=" not in word:
            raise InputError(
                f"label_command: there is no program `{word}`; write its path, or load its module"
            )
        return f"{label.label_command[0]} is there"
    return taught(campaign)


def taught(campaign: Campaign) -> str:
    """The teacher, and whether it gives the labels of input.data."""
    words, elements = campaign.settings.label.label_teacher, campaign.settings.model.elements
    own, units = teacher.calculator(words, elements, campaign.root), campaign.units
    known = StructureFile(campaign.root / "input.data", elements)[0]
    found = teacher.label(known, units, own)
    assert found.energy is not None
    assert known.energy is not None
    assert found.forces is not None
    assert known.forces is not None
    energy = abs(found.energy - known.energy) * units.ev / len(known)
    force = float(np.abs(found.forces - known.forces).max()) * units.ev / units.angstrom
    if energy > SAME_ENERGY or force > SAME_FORCE:
        raise InputError(
            f"label_teacher {' '.join(words)} does not give the labels of input.data: structure 1 differs by "
            f"{energy:.3g} eV/atom and {force:.3g} eV/Angstrom. Make input.data with this teacher, or "
            "label with what made input.data"
        )
    return f"{words[0]} gives the labels of structure 1 of input.data"


def slurm() -> str:
    """Whether SLURM answers."""
    return call("sbatch", "--version").strip() + ", " + call("squeue", "--version").strip()


def disk(campaign: Campaign) -> str:
    """Space that is left."""
    free = shutil.disk_usage(campaign.root).free
    if free < SPACE:
        raise InputError(f"{free / 1e9:.2g} GB are free here; a campaign should have more, so make space")
    return f"{free / 1e9:.3g} GB are free"


def diagnose(campaign: Campaign) -> Iterator[tuple[str, str, bool]]:
    """What was looked at, what was found, and whether it is right."""
    for what, check in checks(campaign):
        try:
            yield what, check(), True
        except BnnpError as error:
            yield what, str(error), False


def demand_healthy(campaign: Campaign) -> None:
    """Raise the InputError of the first check that fails, all but that of the queue and the disk."""
    for what, check in checks(campaign):
        if what not in ("queue", "disk"):
            check()
