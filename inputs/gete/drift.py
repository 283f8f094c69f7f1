"""Measures how well the energy is conserved: GeTe, 216 atoms, 100 frozen masks, NVE behind a short NVT.

    python drift.py POTENTIAL [--data test.data] [--structure 25] [--temperature 900] [--ps 50] [--timestep 1]

POTENTIAL is what mode 2 left (potential/). The run is made in --out by `bnnp --mode 3`; the same command
continues one that was cut short. The drift is the slope of a straight line through the conserved quantity of
the NVE stage; its error is that of the slopes of ten blocks.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from bnnp.io.md_out import read_md_out
from bnnp.io.md_restart import FILE_NAME as RESTART

BLOCKS = 10


def main() -> None:
    """Prepare, run, measure."""
    options = parse_arguments()
    out = options.out.resolve()
    if not (out / RESTART).exists():
        prepare(options, out)
    command = [sys.executable, "-m", "bnnp", "--mode", "3", "--data", str(options.data.resolve())]
    command += ["--restart"] * (out / RESTART).exists()
    with open(out / "mode3.log", "a") as log:
        subprocess.run(command, cwd=out, stdout=log, stderr=subprocess.STDOUT, check=True)
    measure(out)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("potential", type=Path)
    parser.add_argument("--data", type=Path, default=Path("test.data"))
    parser.add_argument("--structure", type=int, default=25, help="number in --data; 25: 900 K, held out")
    parser.add_argument("--temperature", type=float, default=900.0)
    parser.add_argument("--ps", type=float, default=50.0)
    parser.add_argument("--timestep", type=float, default=1.0, help="fs")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("drift"))
    return parser.parse_args()


def prepare(options: argparse.Namespace, out: Path) -> None:
    """The potential, and its input.nn with the keywords of the run."""
    out.mkdir(parents=True, exist_ok=True)
    for path in options.potential.iterdir():
        shutil.copy(path, out / path.name)
    warm, cold = (round(1000 * ps / options.timestep) for ps in (2.0, options.ps))
    with open(out / "input.nn", "a") as file:
        file.write(
            f"threads {options.threads}\nmd_steps {warm} {cold}\nmd_ensemble nvt nve\nmd_thermostat bussi\n"
            f"md_temperature {options.temperature}\nmd_timestep {options.timestep}\n"
            f"md_structure {options.structure}\nmd_write_every 1000\nmd_uncertainty_every 1000\n"
        )


def measure(out: Path) -> None:
    """Drift of the NVE stage, meV/atom/ps, and how much of it there is in all."""
    table = read_md_out(out / "md.out")
    nve = table["stage"] == 2
    with open(out / "trajectory.extxyz") as file:
        atoms = int(file.readline())
    time, energy = table["time"][nve] / 1000.0, 1000.0 * table["E_conserved"][nve] / atoms
    slope = np.polyfit(time, energy - energy[0], 1)[0]
    blocks = zip(np.array_split(time, BLOCKS), np.array_split(energy, BLOCKS), strict=True)
    ends = [(t.mean(), e.mean()) for t, e in blocks]
    slopes = np.diff([e for _, e in ends]) / np.diff([t for t, _ in ends])
    error = slopes.std(ddof=1) / np.sqrt(len(slopes))
    print(f"{atoms} atoms, {time[-1] - time[0]:.1f} ps NVE, mean {table['T'][nve].mean():.0f} K")
    print(f"drift {slope:.1e} +- {error:.0e} meV/atom/ps; rms of the fluctuation {energy.std():.4f} meV/atom")
    print(f"potential energy fluctuates by {1000 * table['E_pot'][nve].std() / atoms:.3f} meV/atom")


if __name__ == "__main__":
    main()
