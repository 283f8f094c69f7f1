"""Explore by LAMMPS: a run from the template of ``loop_explore``, and its dump as the frames of the loop.

The template is a directory with ``explore.sh`` and what that needs, such as an input of LAMMPS with
``pair_style bnnp``. Each run is a folder with a copy of it, the potential in ``potential/``, the structure in
``structure.data`` (atom types in the order of the elements) and ``run.lammps``, a script to be included that
sets the variables of `variables`, in units metal. explore.sh leaves ``dump.lammpstrj`` with the columns id,
type, x y z (or another form of positions), fx fy fz and f_sigma[1] to f_sigma[3] (fix sigma all pair N bnnp
forces_std 1), and ``log.lammps`` with PotEng at its steps.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.extxyz import write_xyz
from formats.lammps_dump import DumpChoice, read_dump

from bnnp.errors import InputError
from bnnp.io.ase_atoms import to_atoms
from bnnp.io.ase_labels import PREDICTED
from bnnp.io.output import replace_file
from bnnp.io.trajectory import TRAJECTORY
from bnnp.messages import count
from bnnp.settings.arguments import Ramp
from bnnp.structure import Structure
from learning.campaign import Campaign
from learning.local_job import SCRIPT

NEEDED, DUMP, LOG = "explore.sh", "dump.lammpstrj", "log.lammps"
SIGMAS = tuple(f"f_sigma[{axis}]" for axis in (1, 2, 3))
BAR = 1.0e4  # in a GPa
UNPHYSICAL = ("Lost atoms", "Out of range atoms", "pair_style bnnp: at step")  # errors of LAMMPS
ENDS = "The run ends here, and all further ones"  # of pair_style bnnp


def template_of(campaign: Campaign) -> Path | None:
    """Directory of ``loop_explore``; None for mode 3.

    Raises
    ------
    InputError
        There is none, it has no explore.sh, or a bias is wanted, which LAMMPS does not have.
    """
    words, settings = campaign.settings.loop.loop_explore, campaign.settings
    if not words:
        return None
    template = campaign.root / " ".join(words)
    where = settings.origins["loop_explore"]
    if not (template / NEEDED).is_file():
        raise InputError(f"{where}: {template} has no {NEEDED}; inputs/loop/explore_template has one to copy")
    if any(settings.loop.loop_bias) or settings.dynamics.md_bias:
        raise InputError(f"{where}: LAMMPS has no bias; remove loop_bias and md_bias, or loop_explore")
    return template


def variables(
    campaign: Campaign, structure: Structure, ramps: tuple[Ramp | None, Ramp | None], seed: int, upper: float
) -> dict[str, object]:
    """Variables of run.lammps by name.

    Parameters
    ----------
    ramps : pair of Ramp or None
        Temperature (K) and pressure (GPa) of the run; None: the first of md_temperature and md_pressure.
    upper : float
        The upper trust level of a force component, in units of the campaign. The limit is one of the vector,
        so sqrt(3) times that.
    """
    own, units = campaign.settings.dynamics, campaign.units
    temperature, pressure = ramps[0] or own.md_temperature[0], ramps[1] or own.md_pressure[0]
    pbc = structure.pbc if structure.cell is not None else (False,) * 3
    return {
        "campaign": campaign.root.resolve(),
        "elements": " ".join(campaign.settings.model.elements),
        "boundary": " ".join("p" if along else "f" for along in pbc),
        "temperature": temperature.start,
        "temperature_end": temperature.end,
        "pressure": BAR * pressure.start,  # bar
        "pressure_end": BAR * pressure.end,
        "timestep": own.md_timestep[0] / 1000.0,  # ps
        "steps": sum(own.md_steps),
        "every": own.md_uncertainty_every,
        "patience": own.md_uncertainty_patience,
        "sigma_stop": math.sqrt(3.0) * upper * units.ev / units.angstrom,  # eV/Angstrom
        "seed": seed % 900000000 + 1,
    }


def fill(
    folder: Path, campaign: Campaign, structure: Structure, potential: Path, own: dict[str, object]
) -> None:
    """Write what a run needs; `own` are its :func:`variables`. Raises InputError for a free molecule."""
    if structure.cell is None:
        raise InputError(
            f"loop_structures: {structure.where} has no cell, which a run of LAMMPS needs; give it one with "
            "room around it, or explore it without loop_explore"
        )
    template = template_of(campaign)
    assert template is not None
    shutil.copytree(template, folder, dirs_exist_ok=True)
    (folder / NEEDED).rename(folder / SCRIPT)
    shutil.copytree(potential, folder / "potential")
    lines = [f'variable {name} string "{value}"' for name, value in own.items()]
    (folder / "run.lammps").write_text("\n".join([*lines, ""]))
    atoms, elements = to_atoms(structure, campaign.units), list(campaign.settings.model.elements)
    atoms.wrap()
    path = folder / "structure.data"
    ase.io.write(path, atoms, "lammps-data", specorder=elements, masses=True, atom_style="atomic")


def collect(folder: Path, elements: Sequence[str]) -> None:
    """Write the frames of a run that has ended to trajectory.extxyz, as mode 3 does.

    Raises
    ------
    InputError
        Dump or log are missing, or have not what the loop needs.
    """
    with replace_file(folder / TRAJECTORY) as file:
        for atoms in frames(folder, elements):
            write_xyz(file, atoms)


def frames(folder: Path, elements: Sequence[str]) -> Iterator[Atoms]:
    """The frames of a dump with step, energy, forces and their standard deviations, in eV and Angstrom."""
    dump, log = folder / DUMP, folder / LOG
    for path in (dump, log):
        if not path.is_file():
            raise InputError(f"{path}: explore.sh has not left it; job.out beside it has what it printed")
    with open(dump, encoding="utf-8") as file:
        steps = [int(next(file)) for line in file if line.startswith("ITEM: TIMESTEP")]
    choice = DumpChoice(types=list(elements), units="metal", log=log)
    images = list(read_dump(dump, choice, slice(None), True, []))
    if len(images) != len(steps):
        raise InputError(f"{dump}: {count(len(steps), 'step')}, of which {len(images)} can be read")
    for step, atoms in zip(steps, images, strict=True):
        if missing := [name for name in SIGMAS if name not in atoms.arrays]:
            raise InputError(
                f"{dump}: no column {missing[0]}: write `fix sigma all pair N bnnp forces_std 1`, and "
                f"{' '.join(SIGMAS)} behind `dump custom`"
            )
        spreads = np.column_stack([atoms.arrays[name] for name in SIGMAS])
        frame = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        frame.arrays["forces_std"] = spreads
        frame.info |= {"step": step, **PREDICTED}
        energy, forces = atoms.calc.results["energy"], atoms.calc.results["forces"]
        frame.calc = SinglePointCalculator(frame, energy=energy, forces=forces)
        yield frame
