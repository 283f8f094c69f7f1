"""Standard deviations of g(r) from one trajectory, by reweighting, against runs of every sample.

    python error_bars.py FOLDER POTENTIAL CRYSTAL --temperature 300 [--members 12] [--steps 10000]

POTENTIAL is the directory `potential` of a training, CRYSTAL any file ASE reads. One run with `md_samples`
and `bnnp analyze --error-bars`, then one with `md_members`: of their g(r) the variance over the members, less
the statistical one of each (from blocks). Both are summed where g(r) is above 0.2. Prints a line for a table:
root mean square of (V_s - V) / kT, both standard deviations, their ratio, the statistical error.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from pathlib import Path

import ase.io
import numpy as np

from bnnp.io.tables import read_table

TOOLS = Path(__file__).resolve().parents[2] / "tools"
sys.path.insert(0, str(TOOLS))

from study_tools import run_bnnp, with_keyword  # noqa: E402

KEYWORDS = {
    "threads": "1",
    "md_ensemble": "nvt nvt",
    "md_thermostat": "langevin",
    "md_timestep": "2",
    "md_thermostat_time": "200",
    "md_log_every": "100",
    "md_write_every": "20",
    "md_uncertainty_every": "1000000",
    "md_restart_every": "1000000",
}
FIRST = 1000  # steps to equilibrate
RDF = "--r-max", "6", "--bins", "60", "--skip", str(FIRST // 20 + 1)


def prepare(folder: Path, words: argparse.Namespace, more: dict[str, str]) -> None:
    """A folder with the potential, the crystal and the keywords of a run."""
    shutil.copytree(words.potential, folder, dirs_exist_ok=True)
    text = (folder / "input.nn").read_text()
    own = {
        "md_steps": f"{FIRST} {words.steps}",
        "md_temperature": f"{words.temperature:g}",
        "md_structure": "crystal.extxyz",
    }
    for name, value in (KEYWORDS | own | more).items():
        text = with_keyword(text, name, value)
    (folder / "input.nn").write_text(text)
    ase.io.write(folder / "crystal.extxyz", words.crystal)


def compare(words: argparse.Namespace) -> str:
    """Both estimates, a line of a table."""
    one, many = words.folder / "one", words.folder / "members"
    prepare(one, words, {"md_samples": "20"})
    run_bnnp(one, "mode3.log", "--mode", "3")
    run_bnnp(one, "analyze.log", "analyze", "trajectory.extxyz", "--error-bars", *RDF)
    prepare(many, words, {"md_members": str(words.members)})
    run_bnnp(many, "mode3.log", "--mode", "3")
    curves, errors = [], []
    for number in range(1, words.members + 1):
        folder = many / f"md_member_{number:02d}"
        run_bnnp(folder, "analyze.log", "analyze", "trajectory.extxyz", "--rdf", *RDF)
        table, _ = read_table(folder / "rdf.out")
        curves.append(table["g_total"])
        errors.append(table["g_total_err"])
    table, _ = read_table(one / "rdf.out")
    inside = table["g_total"] > 0.2
    of_members = np.var(curves, axis=0, ddof=1) - np.square(errors).mean(axis=0)
    members = np.sqrt(max(0.0, of_members[inside].mean()))
    reweighted = np.sqrt(np.square(table["g_total_std"][inside]).mean())
    noise = np.sqrt(np.square(errors).mean(axis=0)[inside].mean())
    spread = re.search(r"scatters by (\S+)", " ".join((one / "analyze.log").read_text().split()))
    assert spread is not None
    ratio = f"{reweighted / members:.2f}" if members > 0.0 else "nan"  # all of it is statistical
    return (
        f"| {words.folder.name} | {words.temperature:g} | {spread[1]} | {reweighted:.3g} | {members:.3g} | "
        f"{ratio} | {noise:.3g} |"
    )


def main() -> None:
    """See the head of the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=lambda text: Path(text).resolve())
    parser.add_argument("potential", type=Path)
    parser.add_argument("crystal", type=ase.io.read)
    parser.add_argument("--temperature", type=float, required=True)
    parser.add_argument("--members", type=int, default=12)
    parser.add_argument("--steps", type=int, default=10000)
    print(compare(parser.parse_args()))


if __name__ == "__main__":
    main()
