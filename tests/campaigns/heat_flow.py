"""Green-Kubo against driven dynamics: the conductivity of one small crystal by both, within the errors.

    python tests/campaigns/heat_flow.py FOLDER [--steps 40000] [--forces 0.002 0.004 0.008]

32 atoms of the closed-form copper of tests/conftest.py at 300 K, time steps of 5 fs, four seeds of each. The
crystal is as small for both, so its size does not matter. Ends with 1 if the driven result of the smallest
force is more than three standard errors from Green-Kubo. Needs the extra phonons.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

from ase.build import bulk

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from conftest import write_solid  # noqa: E402

from bnnp.io.ase_atoms import from_atoms  # noqa: E402
from bnnp.io.input_data import write_structures  # noqa: E402
from bnnp.units import METAL  # noqa: E402

KEYWORDS = """threads 1
random_seed {seed}
md_temperature 300
md_timestep 5
md_steps 2000 {steps}
md_ensemble nvt {ensemble}
md_thermostat_time 500
md_log_every 100
md_write_every 100000
md_uncertainty_every 100000
md_restart_every 100000
md_heat_flux 2
md_guard_drift 0.05
"""


def call(folder: Path, *words: str) -> str:
    """Run the program, and give what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "bnnp", *words], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return done.stdout


def conductivity(folder: Path, steps: int, force: float) -> tuple[float, float]:
    """Of four runs, with its standard error; Green-Kubo for `force` 0."""
    for seed in range(1, 5):
        text = KEYWORDS.format(seed=seed, steps=steps, ensemble="nvt" if force else "nve")
        text += f"md_driving_force 0 {force}\n" if force else ""
        write_solid(folder / str(seed), samples=0, extra=text)
        crystal = from_atoms(bulk("Cu", a=4.05, cubic=True) * 2, METAL, labels=False)
        write_structures(folder / str(seed) / "input.data", [crystal])
        call(folder / str(seed), "--mode", "3")
    files = [f"{seed}/heat_flux.out" for seed in range(1, 5)]
    text = " ".join(call(folder, "analyze", "--transport", *files).split())
    found = re.search(r"thermal conductivity (\S+) \+- (\S+) W", text)
    assert found is not None, text
    print(f"F_e {force:g} 1/Angstrom: {text}", flush=True)
    return float(found[1]), float(found[2])


def main() -> int:
    """See the head of the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=40000)
    parser.add_argument("--forces", type=float, nargs="+", default=[0.002, 0.004, 0.008])
    words = parser.parse_args()
    equilibrium, error = conductivity(words.folder.resolve() / "green_kubo", words.steps, 0.0)
    driven = {
        force: conductivity(words.folder.resolve() / f"force_{force:g}", words.steps, force)
        for force in words.forces
    }
    value, own = driven[min(driven)]
    return int(abs(value - equilibrium) > 3.0 * (error**2 + own**2) ** 0.5)


if __name__ == "__main__":
    sys.exit(main())
