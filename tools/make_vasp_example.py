"""Make directories that look like VASP's, for the tutorial: silicon, molecular dynamics, no VASP involved.

\b
python tools/make_vasp_example.py vasp
python tools/make_vasp_example.py vasp --temperatures 300 --temperatures 600 --frames 10

Each run is Langevin dynamics of 64 atoms at one temperature with the Stillinger-Weber potential
(tools/stillinger_weber.py), the cell slightly strained, every 10th step of 2 fs written down. Its energies,
forces and stresses stand where DFT's would stand: in vasprun.xml in one run, OUTCAR in the next, and so on,
with the tags that bnnp vasp looks for and nothing else of these files. As in life, one step of each
run is marked as not converged, and the last run was killed in its last step.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import ase.units
import click
import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta
from numpy.typing import ArrayLike
from stillinger_weber import ELEMENTS, FRICTION, TIMESTEP, StillingerWeber

NELM = 60  # electronic iterations after which VASP gives up
ITERATIONS = 3  # written for a step that converged
KILOBAR = 0.1 * ase.units.GPa  # eV/Angstrom^3
EQUILIBRATION = 100  # steps
INTERVAL = 10  # steps between those written
STRAIN = 0.015
RULE = " " + "-" * 83


def run_of(temperature: float, frames: int, seed: int) -> Iterator[Atoms]:
    """Snapshots of one run with energy, forces and stress."""
    rng = np.random.default_rng([seed, round(temperature)])
    atoms = bulk("Si", "diamond", a=ELEMENTS["Si"].lattice, cubic=True) * (2, 2, 2)
    atoms.set_cell(atoms.cell @ (np.eye(3) + np.diag(rng.normal(scale=STRAIN, size=3))), scale_atoms=True)
    atoms.calc = StillingerWeber(ELEMENTS["Si"])
    thermalize_momenta(atoms, temperature_K=2.0 * temperature, rng=rng)  # half of it becomes potential energy
    dynamics = Langevin(atoms, TIMESTEP, temperature_K=temperature, friction=FRICTION, fixcm=False, rng=rng)
    dynamics.run(EQUILIBRATION)
    for _ in range(frames):
        dynamics.run(INTERVAL)
        yield atoms


def kilobars(atoms: Atoms) -> list[float]:
    """Minus the stress in VASP's order, XX YY ZZ XY YZ ZX."""
    xx, yy, zz, yz, zx, xy = -atoms.get_stress() / KILOBAR
    return [xx, yy, zz, xy, yz, zx]


def iterations_of(step: int, frames: int) -> int:
    """Electronic iterations of a step: one in the middle does not converge."""
    return NELM if step == frames // 2 else ITERATIONS


def vasprun(run: Iterator[Atoms], frames: int) -> str:
    """The text of vasprun.xml."""
    parts: list[str] = []
    for step, atoms in enumerate(run):
        if not parts:
            parts.append(_vasprun_head(atoms))
        energy = f'<i name="e_fr_energy"> {atoms.get_potential_energy():16.8f} </i>'
        energy += f'<i name="e_wo_entrp"> {atoms.get_potential_energy():16.8f} </i>'
        energy += f'<i name="e_0_energy"> {atoms.get_potential_energy():16.8f} </i>'
        xx, yy, zz, xy, yz, zx = kilobars(atoms)
        parts += [" <calculation>\n"]
        parts += [f"  <scstep>\n   <energy>{energy}</energy>\n  </scstep>\n"] * iterations_of(step, frames)
        parts += ["  <structure>\n   <crystal>\n", _varray("basis", atoms.cell.array), "   </crystal>\n"]
        parts += [_varray("positions", atoms.get_scaled_positions(wrap=False)), "  </structure>\n"]
        parts += [_varray("forces", atoms.get_forces())]
        parts += [_varray("stress", [(xx, xy, zx), (xy, yy, yz), (zx, yz, zz)])]
        parts += [f"  <energy>{energy}</energy>\n </calculation>\n"]
    return "".join([*parts, "</modeling>\n"])


def _vasprun_head(atoms: Atoms) -> str:
    rows = "".join(f"    <rc><c>{symbol:2}</c><c>   1</c></rc>\n" for symbol in atoms.symbols)
    return f"""<?xml version="1.0" encoding="ISO-8859-1"?>
<modeling>
 <generator>
  <i name="program" type="string">stillinger_weber.py, not VASP</i>
  <i name="version" type="string">6.4.2</i>
 </generator>
 <parameters>
   <separator name="electronic convergence" >
    <i type="int" name="NELM">{NELM:6d}</i>
   </separator>
 </parameters>
 <atominfo>
  <atoms>{len(atoms):8d} </atoms>
  <array name="atoms" >
   <set>
{rows}   </set>
  </array>
 </atominfo>
"""


def _varray(name: str, rows: ArrayLike) -> str:
    lines = "".join("   <v>" + "".join(f" {x:16.8f}" for x in row) + " </v>\n" for row in np.asarray(rows))
    return f'  <varray name="{name}" >\n{lines}  </varray>\n'


def outcar(run: Iterator[Atoms], frames: int) -> str:
    """The text of OUTCAR."""
    lines: list[str] = []
    for step, atoms in enumerate(run):
        if not lines:
            lines += [
                " vasp.6.4.2 (in truth stillinger_weber.py)",
                f"   VRHFIN ={atoms.symbols[0]}: s2p2",
                f"   TITEL  = PAW_PBE {atoms.symbols[0]} 05Jan2001",
                f"   number of dos      NEDOS =    301   number of ions     NIONS = {len(atoms):6d}",
                f"   ions per type =            {len(atoms):6d}",
                f"   NELM   = {NELM:6d};   NELMIN=  2; NELMDL= -5     # of ELM steps",
                "   ISIF   =      2    stress and relaxation",
            ]
        lines += _outcar_step(step, iterations_of(step, frames), atoms)
    return "\n".join([*lines, " General timing and accounting informations for this job:", ""])


def _outcar_step(step: int, iterations: int, atoms: Atoms) -> Iterator[str]:
    energy = atoms.get_potential_energy()
    for iteration in range(1, iterations + 1):
        yield f"--------------------------------------- Iteration {step + 1:6d}({iteration:4d})  ----------"
    yield "  in kB   " + "".join(f"{x:12.5f}" for x in kilobars(atoms))
    yield "      direct lattice vectors                 reciprocal lattice vectors"
    for vector, other in zip(atoms.cell.array, atoms.cell.reciprocal(), strict=True):
        yield "   " + "".join(f"{x:13.9f}" for x in vector) + "   " + "".join(f"{x:13.9f}" for x in other)
    yield " POSITION                                       TOTAL-FORCE (eV/Angst)"
    yield RULE
    for position, force in zip(atoms.positions, atoms.get_forces(), strict=True):
        yield "".join(f"{x:13.5f}" for x in position) + "    " + "".join(f"{x:14.6f}" for x in force)
    yield RULE
    yield "  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)"
    yield f"  free  energy   TOTEN  = {energy:18.8f} eV"
    yield ""
    yield f"  energy  without entropy= {energy:16.8f}  energy(sigma->0) = {energy:16.8f}"
    yield "     LOOP+:  cpu time    4.7344: real time    4.7387"


FORMATS = {"vasprun.xml": vasprun, "OUTCAR": outcar}


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--temperatures",
    multiple=True,
    type=float,
    default=(300.0, 900.0, 1500.0),
    show_default=True,
    help="Kelvin, one for each run.",
)
@click.option("--frames", type=click.IntRange(3), default=60, show_default=True, help="Steps of each run.")
@click.option("--seed", default=1, show_default=True)
def main(directory: Path, temperatures: tuple[float, ...], frames: int, seed: int) -> None:
    """Run and write."""
    if directory.exists():
        click.echo(f"ERROR: {directory} exists; name a new directory", err=True)
        sys.exit(1)
    for number, temperature in enumerate(temperatures):
        name = list(FORMATS)[number % len(FORMATS)]
        text = FORMATS[name](run_of(temperature, frames, seed), frames)
        if number == len(temperatures) - 1:
            text = text[: -len(text) // (3 * frames)]  # killed
        path = directory / f"Si_{temperature:g}K" / name
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
        click.echo(f"Written: {path}, {frames} steps")


if __name__ == "__main__":
    main()
