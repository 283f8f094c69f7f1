"""Train: a potential on all labels so far, from the last weights or, now and then, from random ones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

from bnnp.errors import InputError
from bnnp.io.input_data import read_structures, write_structures
from bnnp.io.output import replace_file
from bnnp.messages import count
from bnnp.settings.arguments import AUTO
from bnnp.settings.settings import automatic_file
from bnnp.structure import Structure
from bnnp.training import CHECKPOINT
from learning.campaign import Campaign, announce, without

LEFT_OUT = ("loop_", "label_", "md_", "runner_mode", "calibration_ood_group")
ARCHITECTURE = (
    *("global_hidden_layers_short", "global_nodes_short", "global_activation_short"),
    *("element_hidden_layers_short", "element_nodes_short", "element_activation_short"),
    *("cutoff_type", "normalize_nodes"),
)  # another network cannot begin with the last weights


def train(campaign: Campaign, generation: int) -> None:
    """Modes 1 and 2 on the labels of all generations; an interrupted one is continued."""
    campaign.demand_unchanged(generation, "label")
    folder = campaign.start(generation, "train")
    former = start_of(campaign, generation)
    if not (folder / CHECKPOINT).is_file():
        number = write_structures(folder / "input.data", training_data(campaign, generation, former))
        with replace_file(folder / "input.nn") as file:
            file.write(settings_text(campaign, generation, former))
        begin = "from random weights" if former is None else f"from the weights of generation {former}"
        announce(generation, "train", f"{count(number, 'structure')}, {begin}")
        campaign.run(folder, "mode1.log", "--mode", 1)
        campaign.run(folder, "mode2.log", "--mode", 2)
    else:
        campaign.run(folder, "mode2.log", "--mode", 2, "--restart")
    if not list((folder / "potential").glob("weights.*.data")):
        raise InputError(f"{campaign.shown(folder)}: mode 2 left no potential; see mode2.log there")
    inputs = [*campaign.labeled(generation), folder / "input.nn"]
    campaign.finish(generation, "train", inputs, sorted((folder / "potential").glob("*.*")), start=former)


def start_of(campaign: Campaign, generation: int) -> int | None:
    """Generation whose weights a training begins with; None for random ones."""
    every = campaign.settings.loop.loop_retrain
    if generation == 0 or (every and generation % every == 0):
        return None
    former = campaign.potential(generation - 1)
    used = campaign.marker(former, "train")
    assert used is not None
    changed = [name for name in ARCHITECTURE if used.keywords.get(name) != campaign.keywords.get(name)]
    return None if changed else former


def settings_text(campaign: Campaign, generation: int, former: int | None) -> str:
    """input.nn of a training."""
    text = without((campaign.root / "input.nn").read_text(), *LEFT_OUT)
    if former is None:
        return text
    source = campaign.step(former, "train")
    epochs = campaign.settings.loop.loop_epochs
    if epochs != AUTO:
        text = f"{without(text, 'epochs')}epochs {epochs}\n"
    chosen = automatic_file(source / "input.nn")
    if (
        chosen.is_file()
    ):  # the functions that mode 1 chose then: they stay until the next start from random weights
        text = f"{without(text, 'symmetry_functions')}{chosen.read_text()}"
    elif campaign.settings.chooses_functions:
        functions = [line for line in (source / "input.nn").read_text().splitlines() if "symfunction" in line]
        text += "\n".join([*functions, ""])
    place = os.path.relpath(source / "potential", campaign.step(generation, "train"))
    return f"{without(text, 'transfer_from')}transfer_from {place}\n"


def training_data(campaign: Campaign, generation: int, former: int | None) -> Iterator[Structure]:
    """All labels, the newest with ``loop_weight`` in a training from the last weights."""
    weight = 1.0 if former is None else campaign.settings.loop.loop_weight
    for path in campaign.labeled(generation):
        if path.stat().st_size == 0:
            continue
        newest = weight != 1.0 and path.parent == campaign.step(generation, "label")
        for structure in read_structures(path):
            if newest:
                weighted = repr(structure.weight * weight)
                yield replace(structure, info={**structure.info, "weight": weighted})
            else:
                yield structure
