"""Which frames the loop labels, how labels are divided, and how sigma and new potentials are judged."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist

import ase.units
import numpy as np
import pytest
from ase import Atoms
from ase.io.extxyz import write_xyz
from learning.campaign import Campaign, without
from learning.division import divide, divide_start
from learning.doctor import demand_healthy, diagnose
from learning.explore import Levels, Start, settings_of_run, starts
from learning.judge import Errors, ended, judge, ratio, write_table
from learning.label import label
from learning.selection import classify, frames_of, select, to_structure, viability
from learning.status import status
from learning.train import settings_text, start_of
from loop import next_step

from bnnp.errors import InputError
from bnnp.io.ase_atoms import to_atoms
from bnnp.io.input_data import StructureFile, write_structures
from bnnp.settings.arguments import Ramp
from bnnp.settings.settings import load_settings
from bnnp.structure import Set
from bnnp.units import METAL

sys.path.insert(0, str(Path(__file__).parent))
from loop_case import at_labels, copper, write_campaign, write_template  # noqa: E402

TEACHER = "label_teacher emt\n"


def test_viability_is_one_up_to_a_standard_deviation_and_a_fifth_at_1_8() -> None:
    """The form of ALmoMD with s of harmonic atoms: 32 atoms at 500 K."""
    s = math.sqrt(1.5 * 32) * ase.units.kB * 500.0
    energies = np.array([1.0 * s, 1.8 * s, 2.6 * s, -5.0, *np.zeros(9)])  # the median is 0, as is its spread
    np.testing.assert_allclose(viability(energies, 32, 500.0), [1, 0.2, 0.04, *np.ones(10)], rtol=1e-12)


def test_the_spread_of_the_run_counts_where_it_is_larger_than_that_of_harmonic_atoms() -> None:
    energies = [3.0 * NormalDist().inv_cdf((number + 0.5) / 9999) for number in range(9999)]
    chances = viability(np.array([*energies, 3.0 * 1.8]), 1, 1.0)
    assert chances[-1] == pytest.approx(0.2, rel=0.01)


def test_frames_are_told_apart_by_the_trust_levels_and_their_energy() -> None:
    sigmas = np.array([0.1, 0.2, 0.9, 1.0, np.nan, 0.3])
    kinds = classify(sigmas, np.array([1, 1, 1, 1, 1, 0.5]), np.full(6, 0.6), Levels(0.2, 1.0), 0)
    assert kinds == ["quiet", "candidate", "candidate", "beyond", "beyond", "unlikely"]


def test_a_frame_is_taken_anyway_after_so_many_quiet_looks() -> None:
    sigmas, ones = np.array([0.1] * 5 + [0.5] + [0.1] * 3), np.ones(9)
    kinds = classify(sigmas, ones, 0.0 * ones, Levels(0.2, 1.0), 2)
    assert [index for index, kind in enumerate(kinds) if kind == "anyway"] == [1, 3, 7]
    assert "anyway" not in classify(sigmas, ones, 0.0 * ones, Levels(0.2, 1.0), 0)


def test_the_start_and_a_frame_of_the_guard_are_no_frames_to_label(tmp_path: Path) -> None:
    write_campaign(tmp_path, TEACHER)
    campaign = Campaign.open(tmp_path)
    (tmp_path / "run").mkdir()
    with open(tmp_path / "run" / "trajectory.extxyz", "w") as file:
        for step in range(4):
            atoms = Atoms("CuAu", [[0, 0, 0], [5.0, 0, 0.1 * step]], cell=[4, 4, 4], pbc=True)
            atoms.info |= {"step": step, "energy": -1.0 * step}
            atoms.arrays["forces_std"] = np.array([[0.1, 0.2, 0.1], [0.1, 0.1, 0.05 * step]])
            write_xyz(file, [atoms], columns=["symbols", "positions", "forces_std"])
    run = {"run": "run", "stopped": "guard", "temperature": None}
    frames = list(frames_of(campaign, run))
    assert [frame.step for frame in frames] == [1, 2]
    assert [frame.sigma for frame in frames] == [0.2, 0.2]
    assert [frame.energy for frame in frames] == [-1.0, -2.0]
    assert [frame.step for frame in frames_of(campaign, run | {"stopped": ""})] == [1, 2, 3]
    structure = to_structure(campaign, replace(frames[1], atoms=frames[1].atoms[[1, 0]]), 3)
    assert structure.symbols == ["Cu", "Au"]  # by element, as POSCAR has them, within the cell
    np.testing.assert_allclose(structure.positions[1], [1.0, 0.0, 0.2])
    assert structure.energy is None
    assert dict(structure.info) == {"group": "generation_003", "source": "run:2", "sigma": "0.2"}


def explored(folder: Path, solid: Path, extra: str) -> Campaign:
    """Generation 1 has a run of the start and twelve frames: sigma 0.05, 0.15, ..., 1.15 eV/Angstrom."""
    campaign = at_labels(folder, solid, 1, TEACHER + extra)
    (campaign.step(1, "select") / "done.json").unlink()
    run = campaign.step(1, "explore") / "run_0001"
    run.mkdir()
    with open(run / "trajectory.extxyz", "w") as file:
        for step, structure in enumerate(copper(13, seed=5, labels=False)):
            atoms = to_atoms(structure, METAL)
            atoms.info |= {"step": 10 * step, "energy": -1.0}
            atoms.arrays["forces_std"] = np.full((4, 3), 0.1 * step - 0.05)
            write_xyz(file, [atoms], columns=["symbols", "positions", "forces_std"])
    facts = {"run": campaign.shown(run), "stopped": "", "temperature": "600"}
    campaign.finish(1, "explore", [], [run / "trajectory.extxyz"], lower=0.3, upper=0.9, runs=[facts])
    return campaign


def steps(campaign: Campaign) -> list[int]:
    """Steps of the frames that were chosen."""
    chosen = StructureFile(campaign.step(1, "select") / "chosen.data", require_labels=False)
    return [int(structure.info["source"].rpartition(":")[2]) for structure in chosen]


def test_the_farthest_frames_between_the_levels_are_chosen(tmp_path: Path, solid: Path) -> None:
    campaign = explored(tmp_path, solid, "loop_labels 3\nloop_quiet 0\n")
    select(campaign, 1)
    found = steps(campaign)
    assert len(found) == 3
    assert set(found) <= {40, 50, 60, 70, 80, 90}
    facts = campaign.facts(1, "select")
    assert facts["counts"] == {"quiet": 3, "candidate": 6, "unlikely": 0, "beyond": 3, "anyway": 0}
    assert (facts["share"], facts["chosen"], facts["frames"]) == (0.75, 3, 12)
    again = "bnnp select --number 3 --beside labeled.data --overwrite candidates.data chosen.data"
    before = (campaign.step(1, "select") / "chosen.data").read_bytes()
    words = [sys.executable, "-m", *again.split()]
    subprocess.run(words, cwd=campaign.step(1, "select"), check=True, stdout=subprocess.DEVNULL)
    assert (campaign.step(1, "select") / "chosen.data").read_bytes() == before


def test_the_random_arm_draws_from_all_but_the_absurd(tmp_path: Path, solid: Path) -> None:
    campaign = explored(tmp_path, solid, "loop_labels 9\nloop_select random\n")
    select(campaign, 1)
    assert steps(campaign) == [10, 20, 30, 40, 50, 60, 70, 80, 90]
    other = explored(tmp_path / "b", solid, "loop_labels 4\nloop_select random\n")
    select(other, 1)
    assert len(steps(other)) == 4


def test_a_generation_without_candidates_labels_and_trains_nothing(tmp_path: Path, solid: Path) -> None:
    campaign = at_labels(tmp_path, solid, 0, TEACHER + "loop_generations 1\n")
    assert next_step(campaign) == (1, "label")
    assert label(campaign, 1)
    assert next_step(campaign) == (1, "judge")
    judge(campaign, 1)
    facts = campaign.facts(1, "judge")
    assert facts["potential"] == 0
    assert facts["new_rmse_F"] is None
    assert str(next_step(campaign)).startswith("loop_generations 1 are done")


def test_sets_are_disjoint_of_the_wanted_sizes_and_kept(tmp_path: Path) -> None:
    structures = copper(60)
    names = divide(structures, {"held out": 0.1, "calibration": 0.5, "test": 0.1}, 3, 1.0)
    assert Counter(names) == {"held out": 6, "calibration": 30, "test": 6, "train": 18}
    write_campaign(tmp_path, TEACHER)
    write_structures(
        tmp_path / "input.data",
        [replace(s, subset=Set.TEST if n < 10 else None) for n, s in enumerate(copper(80))],
    )
    campaign = Campaign.open(tmp_path)
    divide_start(campaign)
    step = campaign.step(0, "label")
    labeled, held = list(StructureFile(step / "labeled.data")), list(StructureFile(step / "held_out.data"))
    assert len(labeled) + len(held) == 80
    assert {s.positions.tobytes() for s in labeled}.isdisjoint(s.positions.tobytes() for s in held)
    assert None not in {s.subset for s in labeled}
    assert sum(s.subset is Set.CALIBRATION for s in labeled) >= 13  # ten, and three to spare
    pinned = {s.positions.tobytes() for s in StructureFile(tmp_path / "input.data") if s.subset is Set.TEST}
    assert pinned <= {s.positions.tobytes() for s in labeled if s.subset is Set.TEST}


def test_frames_of_a_trajectory_are_held_out_in_blocks() -> None:
    """Neighboring frames are alike: one held out between two that are trained on judges nothing."""
    first = copper(1)[0]
    frames = [replace(first, positions=first.positions + 1e-3 * step) for step in range(100)]
    names = divide(frames, {"held out": 0.1}, 1, 1.0)
    held = [index for index, name in enumerate(names) if name == "held out"]
    assert held == list(range(held[0], held[0] + 10))


def test_runs_are_all_combinations_with_different_seeds(tmp_path: Path) -> None:
    more = "loop_structures 2 5\nloop_pressure 0 1:5\nloop_seeds 3\nloop_bias 0 2.5\nmd_ensemble npt\n"
    write_campaign(tmp_path, TEACHER + more)
    campaign = Campaign.open(tmp_path)
    found = starts(campaign, 1)
    assert len(found) == 2 * 1 * 2 * 2 * 3
    assert len({each.seed for each in [*found, *starts(campaign, 2)]}) == 48
    data = StructureFile(tmp_path / "input.data")
    assert {each.structure.positions.tobytes() for each in found} == {
        data[n].positions.tobytes() for n in (1, 4)
    }
    start = Start(data[1], Ramp(600, 600), Ramp(1.0, 5.0), 2.5, 7)
    text = settings_of_run(campaign, "units metal\nelements Cu\nrandom_seed 1\n", start, Levels(0.1, 0.5))
    lines = text.split("\n")
    assert {"random_seed 7", "md_temperature 600", "md_pressure 1:5", "md_bias 2.5"} <= set(lines)
    assert {"md_ensemble npt", "md_steps 100", "md_write_every 10", "md_uncertainty_stop forces 0.5"} <= set(
        lines
    )
    assert len([line for line in lines if line.startswith("random_seed")]) == 1


def test_trainings_begin_with_the_last_weights_or_now_and_then_with_random_ones(
    tmp_path: Path, solid: Path
) -> None:
    campaign = at_labels(tmp_path, solid, 1, TEACHER + "loop_retrain 3\nloop_epochs 9\n")
    assert [start_of(campaign, generation) for generation in range(4)] == [None, 0, 0, None]
    (tmp_path / "given.nn").write_text(settings_text(campaign, 1, 0))
    settings = load_settings(tmp_path / "given.nn", 2)
    assert settings.transfer.transfer_from == ("../../generation_000/train/potential",)
    assert settings.training.epochs == 9
    assert not settings.given("md_steps")
    assert not settings.given("label_teacher")
    text = (tmp_path / "input.nn").read_text()
    (tmp_path / "input.nn").write_text(text.replace("global_nodes_short 8", "global_nodes_short 9"))
    assert start_of(Campaign.open(tmp_path), 1) is None  # a network of another shape


def test_scores_of_the_standard_deviations() -> None:
    """Normal errors of the right size: ZMS 1, coverage 0.9; missed and false alarms by hand."""
    rng = np.random.default_rng(5)
    sigma = rng.uniform(1.0, 2.0, 50000)
    largest, largest_sigma = np.array([3.1, 2.9, 0.9, 1.1, 3.1]), np.array([0.9, 0.9, 1.0, 1.5, 1.0])
    normal = sigma * rng.normal(size=50000)
    errors = Errors(normal, sigma, 2 * normal, sigma, largest, largest_sigma)
    scores = errors.scores(1.0)
    assert scores["sqrt_zms_E"] == pytest.approx(1.0, abs=0.02)
    assert scores["sqrt_zms_F"] == pytest.approx(2.0, abs=0.04)
    assert scores["coverage_F"] == pytest.approx(math.erf(1.6449 / 2 / math.sqrt(2)), abs=0.01)
    assert (scores["missed"], scores["false_alarms"]) == (1.0, 1.0)


def test_a_potential_is_better_by_the_mean_ratio_of_its_errors() -> None:
    assert ratio((1.0, 2.0), (2.0, 2.0)) == 0.75
    assert ratio((3.0, 2.0), (2.0, 2.0)) > 1.0
    assert ratio((0.0, 1.0), (0.0, 1.0)) == 1.0


def test_two_quiet_generations_running_end_the_loop(tmp_path: Path, solid: Path) -> None:
    campaign = at_labels(tmp_path, solid, 1, TEACHER + "loop_end 0.1\n")
    shares = {1: 0.05, 2: 0.2, 3: 0.1, 4: 0.0}
    for generation, share in shares.items():
        campaign.start(generation, "select")
        campaign.finish(generation, "select", [], [], share=share, chosen=0)
    assert [ended(campaign, generation) for generation in (1, 2, 3, 4)] == [False, False, False, True]


def test_a_step_whose_files_have_changed_is_not_built_upon(tmp_path: Path, solid: Path) -> None:
    campaign = at_labels(tmp_path, solid, 1, TEACHER)
    campaign.demand_unchanged(1, "select")
    chosen = campaign.step(1, "select") / "chosen.data"
    chosen.write_text(chosen.read_text() + "# remark\n")
    with pytest.raises(InputError, match="chosen.data has changed since `select` of generation 1 wrote it"):
        campaign.demand_unchanged(1, "select")
    chosen.unlink()
    with pytest.raises(InputError, match="is not there any more"):
        campaign.demand_unchanged(1, "select")


def test_changed_keywords_are_told_and_recorded_but_other_units_refused(tmp_path: Path, solid: Path) -> None:
    at_labels(tmp_path, solid, 1, TEACHER)
    text = (tmp_path / "input.nn").read_text()
    (tmp_path / "input.nn").write_text(text + "loop_labels 7\n")
    campaign = Campaign.open(tmp_path)
    assert campaign.changes() == ["loop_labels not there -> 7"]
    campaign.start(1, "label")
    campaign.finish(1, "label", [], [], labels=0)
    assert campaign.marker(1, "label").changed == ["loop_labels not there -> 7"]
    assert campaign.changes() == []
    (tmp_path / "input.nn").write_text(text.replace("units metal", "units atomic"))
    with pytest.raises(InputError, match="units metal -> atomic: the labels and potentials of this campaign"):
        Campaign.open(tmp_path).changes()


def test_a_damaged_marker_is_named(tmp_path: Path, solid: Path) -> None:
    campaign = at_labels(tmp_path, solid, 1, TEACHER)
    (campaign.step(1, "select") / "done.json").write_text('{"inputs": {}')
    with pytest.raises(InputError, match=r"generation_001/select/done.json cannot be read .*; remove it"):
        campaign.facts(1, "select")


def test_lines_of_other_chapters_are_left_out() -> None:
    text = "md_steps 3\n  loop_end 0.1 # x\nepochs 2\n# md_steps\n"
    assert without(text, "md_", "loop_") == "epochs 2\n# md_steps\n"


def test_status_of_a_campaign(tmp_path: Path, solid: Path) -> None:
    write_campaign(tmp_path / "new", TEACHER)
    assert "Nothing has been done yet" in next(status(Campaign.open(tmp_path / "new")))
    campaign = at_labels(tmp_path / "old", solid, 3, TEACHER)
    write_table(campaign)
    text = "\n".join(status(campaign))
    assert "Generation 1: explore, select done." in text
    heading, first = text.split("\n")[:2]
    assert heading.split()[:2] == ["gen", "labels"]
    assert first.split()[:2] == ["0", "6"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({TEACHER: ""}, "has none of label_template, label_command, label_teacher"),
        ({TEACHER: TEACHER + "label_command x\n"}, "has label_command and label_teacher, expected one of"),
        ({"md_steps 100\n": ""}, "has no md_steps"),
        ({"loop_temperature 600\n": ""}, "neither loop_temperature nor md_temperature"),
        ({TEACHER: TEACHER + "loop_pressure 1\n"}, "loop_pressure needs `md_ensemble npt`"),
        ({TEACHER: TEACHER + "loop_cut 1\nfixed_charge Cu 0\n"}, "loop_cut does not go with charges"),
        ({TEACHER: TEACHER + "loop_structures 81\n"}, "structure 81 is wanted, but input.data has 80"),
        ({TEACHER: TEACHER + "label_queue slurm\n"}, "remove `label_queue slurm`"),
        ({TEACHER: TEACHER + "label_retry NELM=100\n"}, "there is no label_template"),
        ({TEACHER: "label_command no_such_program x\n"}, "there is no program `no_such_program`"),
        ({TEACHER: "label_template here\n"}, "here is no directory"),
        ({"elements Cu": "elements Cu Ag"}, "no structure has Ag"),
        ({TEACHER: "label_teacher emt asap_cutoff=True\n"}, "does not give the labels of input.data"),
    ],
)
def test_the_doctor_names_what_is_wrong(changes: dict[str, str], message: str, tmp_path: Path) -> None:
    write_campaign(tmp_path, TEACHER)
    assert all(right for _, _, right in diagnose(Campaign.open(tmp_path)))
    text = (tmp_path / "input.nn").read_text()
    for old, new in changes.items():
        text = text.replace(old, new)
    (tmp_path / "input.nn").write_text(text)
    campaign = Campaign.open(tmp_path)
    assert [re.search(re.escape(message), found) for _, found, right in diagnose(campaign) if not right]
    with pytest.raises(InputError, match=re.escape(message)):
        demand_healthy(campaign)


def test_a_whole_template_is_healthy_and_too_few_structures_are_not(tmp_path: Path) -> None:
    write_campaign(tmp_path, "label_template label_template\n", number=39)
    write_template(tmp_path)
    found = {what: (text, right) for what, text, right in diagnose(Campaign.open(tmp_path))}
    assert found["labels"] == ("label_template/ has INCAR, KPOINTS, label.sh and a POTCAR of Cu", True)
    assert found["start set"] == ("input.data has 39 structures; at least 40 are needed to begin", False)
    with pytest.raises(InputError, match="add snapshots"):
        divide_start(Campaign.open(tmp_path))


def test_the_picture_and_the_page_show_each_generation(tmp_path: Path, solid: Path) -> None:
    pytest.importorskip("matplotlib")
    from click.testing import CliRunner
    from plot import main
    from plotting.loop import loop_figure, read_loop

    campaign = at_labels(tmp_path, solid, 3, TEACHER)
    missing = CliRunner().invoke(main, ["loop", str(tmp_path)])
    assert "loop.out: no such file; `bnnp --loop` writes it" in missing.output
    write_table(campaign)
    line = (tmp_path / "loop.out").read_text().splitlines()[1].split()
    second = ["1", "5", "2", "1", *line[4:]]
    with open(tmp_path / "loop.out", "a") as file:
        file.write(" ".join(second) + "\n")
    labels = loop_figure(read_loop(tmp_path)).axes[3]
    curves = {str(each.get_label()): each.get_ydata().tolist() for each in labels.lines}
    assert curves["labels"] == [6, 11]  # sums
    assert curves["failed"][1] - curves["failed"][0] == 2
    done = CliRunner().invoke(main, ["loop", str(tmp_path), "--out", str(tmp_path / "x")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "x.png").stat().st_size > 10000
    page = CliRunner().invoke(main, ["report", str(tmp_path), "--out", str(tmp_path / "page.html")])
    assert page.exit_code == 0, page.output
    assert "<h2>Active learning</h2>" in (tmp_path / "page.html").read_text()
