"""A campaign for tests: copper by EMT, up to the labels of generation 1 without any training."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
from ase.build import bulk
from ase.calculators.emt import EMT
from learning.campaign import Campaign

from bnnp.io.ase_atoms import from_atoms
from bnnp.io.input_data import write_structures
from bnnp.structure import Structure
from bnnp.units import METAL

STAND_IN = Path(__file__).with_name("stand_in_vasp.py")
SETTINGS = """\
units metal
elements Cu
random_seed 1
threads 1
global_symfunction_short 2 0.01 0.0 5.0
global_symfunction_short 2 0.1 0.0 5.0
global_symfunction_short 2 1.0 2.6 5.0
global_symfunction_short 3 0.01 1.0 1.0 5.0
global_symfunction_short 3 0.01 -1.0 1.0 5.0
scale_symmetry_functions
center_symmetry_functions
global_hidden_layers_short 1
global_nodes_short 8
global_activation_short p l
epochs 3
md_steps 100
md_uncertainty_every 10
loop_temperature 600
"""
INCAR = "ENCUT = 400 ; NELM = 60\nALGO = Fast # first\nNSW = 0\n"


def copper(number: int, seed: int = 1, labels: bool = True) -> list[Structure]:
    """Cells of four atoms, strained and displaced, by EMT."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(number):
        atoms = bulk("Cu", cubic=True)
        atoms.set_cell(atoms.cell * rng.uniform(0.97, 1.04), scale_atoms=True)
        atoms.rattle(rng.uniform(0.02, 0.12), rng=rng)
        if labels:
            atoms.calc = EMT()
            atoms.get_stress()
        found.append(from_atoms(atoms, METAL, labels=labels))
    return found


def write_campaign(folder: Path, extra: str, number: int = 80) -> Path:
    """input.nn and input.data."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "input.nn").write_text(SETTINGS + extra)
    write_structures(folder / "input.data", copper(number))
    return folder


def write_template(folder: Path, cases: str = "", otherwise: str = "good") -> Path:
    """label_template for the stand-in: `cases` are lines of a shell's `case` by the directory of a try."""
    template = folder / "label_template"
    template.mkdir(parents=True, exist_ok=True)
    (template / "INCAR").write_text(INCAR)
    (template / "KPOINTS").write_text("gamma\n0\nGamma\n1 1 1\n")
    (template / "POTCAR.Cu").write_text("PAW_PBE Cu 22Jun2005\n   end\n")
    (template / "label.sh").write_text(
        f"#!/bin/bash\n#SBATCH --time=10\ncase $PWD in\n{cases}\n*) behavior={otherwise};;\nesac\n"
        f"{sys.executable} {STAND_IN} $behavior\n"
    )
    return template


def at_labels(folder: Path, solid: Path, number: int, extra: str) -> Campaign:
    """A campaign whose generation 1 has chosen `number` structures; the potential is `solid`."""
    write_campaign(folder, extra)
    campaign = Campaign.open(folder)
    step = campaign.start(0, "label")
    write_structures(step / "labeled.data", copper(4))
    write_structures(step / "held_out.data", copper(2, seed=2))
    campaign.finish(0, "label", [], [step / "labeled.data"], labels=6)
    shutil.copytree(solid, campaign.start(0, "train") / "potential")
    campaign.finish(0, "train", [], [])
    campaign.start(0, "judge")
    campaign.finish(0, "judge", [], [], potential=0)
    campaign.start(1, "explore")
    campaign.finish(1, "explore", [], [], lower=0.1, upper=0.5, runs=[])
    step = campaign.start(1, "select")
    write_structures(step / "chosen.data", copper(number, seed=3, labels=False))
    campaign.finish(1, "select", [], [step / "chosen.data"], share=0.5, chosen=number)
    return campaign
