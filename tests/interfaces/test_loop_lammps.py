"""`bnnp --loop` explores by LAMMPS: a stand-in that writes its files, and LAMMPS where it is installed."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import ase.io
import numpy as np
import pytest
from learning.campaign import Campaign
from learning.doctor import dynamics
from learning.explore import explore
from learning.selection import select

from bnnp.errors import InputError
from bnnp.interfaces.ase import BNNP
from bnnp.io.calibration_section import CalibrationData, checksums
from bnnp.io.input_data import StructureFile, write_structures
from bnnp.potential.files import read_members, write_directory
from bnnp.potential.loading import load
from bnnp.settings.settings import load_settings
from bnnp.uncertainty.calibration import PERCENT, Calibration, Quantity
from bnnp.uncertainty.maps import Quadratic

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "tools"))
from loop_case import copper, write_campaign  # noqa: E402

KEYWORDS = """\
label_teacher emt
loop_explore template
loop_structures 1 2
loop_jobs 2
loop_quiet 2
loop_lower {lower}
loop_upper 2
md_uncertainty_patience 1
"""
STAND_IN = """\
import sys
import ase.io
import numpy as np

variables = {}
for line in open("run.lammps"):
    words = line.split(None, 3)
    variables[words[1]] = words[3].strip().strip('"')
atoms = ase.io.read("structure.data", format="lammps-data", atom_style="atomic")
every, steps = int(variables["every"]), int(variables["steps"])
dump, log = open("dump.lammpstrj", "w"), open("log.lammps", "w")
log.write("units metal\\n   Step         PotEng\\n")
for step in range(0, steps + 1, every):
    dump.write(f"ITEM: TIMESTEP\\n{step}\\nITEM: NUMBER OF ATOMS\\n{len(atoms)}\\n")
    dump.write("ITEM: BOX BOUNDS pp pp pp\\n")
    dump.write("".join(f"0 {length}\\n" for length in atoms.cell.lengths()))
    dump.write("ITEM: ATOMS id type x y z fx fy fz" + "".join(f" f_sigma[{k}]" for k in (1, 2, 3)) + "\\n")
    for number, position in enumerate(atoms.positions + 1e-3 * step, 1):
        row = [number, 1, *position, 0.1, 0.2, 0.3, SIGMA * step, 0.01, 0.0]
        dump.write(" ".join(map(str, row)) + "\\n")
    log.write(f"{step} {-3.5 * len(atoms) + 1e-3 * step}\\n")
log.write(f"Loop time of 1 on 1 procs for 100 steps with {len(atoms)} atoms\\n")
END
"""


def campaign_of(folder: Path, solid: Path, lower: float = 0.05, extra: str = "") -> Campaign:
    """A campaign with a calibrated potential, before it explores for the first time."""
    write_campaign(folder, KEYWORDS.format(lower=lower) + extra)
    campaign = Campaign.open(folder)
    train = campaign.start(0, "train")
    (files,) = read_members(solid, load_settings(solid / "input.nn", 3))
    same = Quantity(Quadratic(0.0, 1.0, 0.0, 1.0), np.ones(1), {})
    quantiles = {name: np.linspace(0.01, 0.1, len(PERCENT)) for name in ("energy", "forces")}
    known = Calibration("mc", same, {"Cu": same}, None, 10, 40, 0, quantiles)
    data = CalibrationData("mc", checksums([files.networks]), {"mc": known})
    write_directory(train / "potential", [files.with_calibration(data)])
    write_structures(campaign.start(0, "label") / "labeled.data", copper(4, seed=9))
    for name in ("label", "train", "judge"):
        campaign.start(0, name)
        campaign.finish(0, name, [], [], potential=0, labels=80)
    (folder / "template").mkdir()
    return campaign


def stand_in(campaign: Campaign, sigma: float = 0.002, end: str = "", shell: str = "") -> None:
    """explore.sh with a program that writes the files of LAMMPS."""
    program = campaign.root / "template" / "lmp.py"
    program.write_text(STAND_IN.replace("SIGMA", str(sigma)).replace("END", end))
    (program.parent / "explore.sh").write_text(f"{sys.executable} lmp.py\n{shell}")


def test_the_dump_becomes_the_frames_of_the_loop(tmp_path: Path, solid: Path) -> None:
    """sigma is 0.002 step eV/Angstrom, the levels are 0.05 and 0.1: from the numbers themselves."""
    campaign = campaign_of(tmp_path, solid)
    stand_in(campaign)
    assert dynamics(campaign) == "2 runs of 100 steps in each generation, by LAMMPS"
    explore(campaign, 1)
    run = tmp_path / "generation_001" / "explore" / "run_0002"
    variables = dict(line.split(None, 3)[1::2] for line in (run / "run.lammps").read_text().splitlines())
    assert variables["temperature"] == variables["temperature_end"] == '"600.0"'
    assert (variables["steps"], variables["every"], variables["elements"]) == ('"100"', '"10"', '"Cu"')
    assert float(variables["sigma_stop"].strip('"')) == pytest.approx(np.sqrt(3) * 0.1)
    assert (variables["timestep"], variables["boundary"]) == ('"0.001"', '"p p p"')
    assert load(run / "potential").calibration is not None
    frames = ase.io.read(run / "trajectory.extxyz", ":")
    assert [frame.info["step"] for frame in frames] == list(range(0, 101, 10))
    wanted = StructureFile(tmp_path / "input.data")[1]
    np.testing.assert_allclose(frames[0].cell.lengths(), np.linalg.norm(wanted.cell, axis=1))
    moved = (frames[3].positions - 0.03 - wanted.positions) @ np.linalg.inv(wanted.cell)
    np.testing.assert_allclose(moved, np.round(moved), atol=1e-6)
    assert frames[3].get_potential_energy() == pytest.approx(-3.5 * 4 + 0.03)
    np.testing.assert_allclose(frames[3].get_forces(), np.tile([0.1, 0.2, 0.3], (4, 1)))
    select(campaign, 1)
    rows = [line.split() for line in (run.parents[1] / "select" / "frames.out").read_text().splitlines()[1:]]
    kinds = {int(row[1]): row[4] for row in rows if row[0].endswith("run_0002")}
    assert [kinds[step] for step in (10, 30, 50, 90)] == ["quiet", "candidate", "beyond", "beyond"]
    assert kinds[20] == "anyway"


@pytest.mark.parametrize(
    ("end", "shell", "expected"),
    [
        ('print("bnnp at step 5: .. The run ends here, and all further ones; other")', "", "sigma"),
        ('print("ERROR: Lost atoms: original 4 current 3"); sys.exit(1)', "", "guard"),
        ("", "", ""),
    ],
)
def test_how_a_run_ended(end: str, shell: str, expected: str, tmp_path: Path, solid: Path) -> None:
    campaign = campaign_of(tmp_path, solid)
    stand_in(campaign, end=end, shell=shell)
    explore(campaign, 1)
    assert {run["stopped"] for run in campaign.facts(1, "explore")["runs"]} == {expected}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("END", 'print("ERROR: no such style"); sys.exit(1)'), r"ended with 1: no such style"),
        (("f_sigma[{k}]", "f_other[{k}]"), r"no column f_sigma\[1\]: write `fix sigma all pair"),
        (("PotEng", "TotEng"), r"no thermo table with Step and PotEng"),
        (("dump.lammpstrj", "other"), r"dump.lammpstrj: explore.sh has not left it"),
    ],
)
def test_a_bad_template_is_told(change: tuple[str, str], message: str, tmp_path: Path, solid: Path) -> None:
    campaign = campaign_of(tmp_path, solid)
    stand_in(campaign)
    program = tmp_path / "template" / "lmp.py"
    program.write_text(STAND_IN.replace(*change).replace("SIGMA", "0.002").replace("END", ""))
    with pytest.raises(InputError, match=message):
        explore(campaign, 1)


def test_a_template_without_its_script_or_with_a_bias(tmp_path: Path, solid: Path) -> None:
    campaign = campaign_of(tmp_path, solid, extra="loop_bias 0 2\n")
    with pytest.raises(InputError, match="input.nn line .*template has no explore.sh"):
        dynamics(campaign)
    stand_in(campaign)
    with pytest.raises(InputError, match="LAMMPS has no bias; remove loop_bias"):
        dynamics(campaign)


@pytest.mark.slow
def test_lammps_itself(plugin: Path, tmp_path: Path, solid: Path) -> None:
    """The template of inputs/loop: energies, forces and sigmas of its frames are those of mode 3."""
    campaign = campaign_of(tmp_path, solid, lower=1.0)
    shutil.copytree(ROOT / "inputs" / "loop" / "explore_template", tmp_path / "template", dirs_exist_ok=True)
    shutil.copy(plugin, tmp_path)
    script = tmp_path / "template" / "explore.sh"
    script.write_text(script.read_text().replace("lmp -in", f"{Path(sys.executable).with_name('lmp')} -in"))
    explore(campaign, 1)
    run = tmp_path / "generation_001" / "explore" / "run_0001"
    model = load(run / "potential")
    frames = ase.io.read(run / "trajectory.extxyz", ":")
    assert [frame.info["step"] for frame in frames][:2] == [0, 10]
    for frame in frames:
        energy, forces, spreads = (
            frame.get_potential_energy(),
            frame.get_forces(),
            frame.arrays["forces_std"].copy(),
        )
        frame.calc = BNNP(model, warn=False)
        assert frame.get_potential_energy() == pytest.approx(energy, abs=1e-5)
        np.testing.assert_allclose(frame.get_forces(), forces, atol=1e-5)
        np.testing.assert_allclose(frame.calc.get_property("forces_std", frame), spreads, atol=1e-5)
    assert [run["stopped"] for run in campaign.facts(1, "explore")["runs"]] == ["", ""]
    assert len(frames) == 11
    select(campaign, 1)
    assert campaign.facts(1, "select")["frames"] == 20
    other = campaign_of(tmp_path / "other", solid, lower=0.01)
    shutil.copytree(tmp_path / "template", other.root / "template", dirs_exist_ok=True)
    shutil.copy(plugin, other.root)
    explore(other, 1)
    assert [run["stopped"] for run in other.facts(1, "explore")["runs"]] == ["sigma", "sigma"]
