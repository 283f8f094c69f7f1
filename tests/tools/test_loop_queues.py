"""Jobs of the loop, on this machine and in a stand-in for SLURM: nothing is lost or run twice."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from learning import local_job
from learning.label import label
from learning.queues import ENDED, GONE, LATE, NEW, RUNNING, WAITING, Local, Slurm, last_words

from bnnp.errors import InputError

sys.path.insert(0, str(Path(__file__).parent))
from loop_case import at_labels, write_template  # noqa: E402

FAKE = """\
import json, os, subprocess, sys
from pathlib import Path

place, name, words = Path(__file__).resolve().parent, Path(sys.argv[0]).name, sys.argv[1:]
with open(place / "calls", "a") as file:
    file.write(" ".join([name, *words]) + "\\n")
table = place / "jobs.json"
jobs = json.loads(table.read_text()) if table.exists() else {}
option = {word.partition("=")[0]: word.partition("=")[2] for word in words}
if name == "sbatch" and "--version" not in option:
    if (place / "refuse").exists():
        sys.exit("sbatch: error: QOSMaxSubmitJobPerUserLimit")
    number = str(100 + len(jobs))
    tasks = int(option.get("--array", "0-0").split("%")[0].split("-")[1]) + 1
    jobs[number] = {"name": option.get("--job-name", ""), "script": os.path.abspath(words[-1])}
    jobs[number]["states"] = ["PENDING"] * tasks
    table.write_text(json.dumps(jobs))
    print(number)
elif name == "squeue" and "--version" not in option:
    for number, job in jobs.items():
        if "--name" in option:
            if job["name"] == option["--name"] and any(s in ("PENDING", "RUNNING") for s in job["states"]):
                print(number)
        else:
            for task, state in enumerate(job["states"]):
                if state in ("PENDING", "RUNNING"):
                    print(f"{number}_{task} {state}")
elif name == "sacct":
    for number, job in jobs.items():
        if job["name"] == option.get("--name", job["name"]):
            for task, state in enumerate(job["states"]):
                print(f"{number}_{task}|{state}" if "--name" not in option else f"{number}_{task}")
elif name == "scancel":
    for word in words:
        number, task = word.split("_")
        jobs[number]["states"][int(task)] = "CANCELLED by 0"
    table.write_text(json.dumps(jobs))
else:
    print("slurm 22.05")
"""


class Cluster:
    """A stand-in for SLURM, whose tasks are run by the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        for name in ("sbatch", "squeue", "sacct", "scancel"):
            path = folder / name
            path.write_text(f"#!{sys.executable}\n{FAKE}")
            path.chmod(stat.S_IRWXU)

    @property
    def jobs(self) -> dict[str, dict[str, object]]:
        return json.loads((self.folder / "jobs.json").read_text())

    def calls(self, name: str) -> list[str]:
        return [line for line in (self.folder / "calls").read_text().splitlines() if line.startswith(name)]

    def set(self, number: str, task: int, state: str) -> None:
        jobs = self.jobs
        jobs[number]["states"][task] = state  # type: ignore[index]
        (self.folder / "jobs.json").write_text(json.dumps(jobs))

    def run(self, number: str, task: int) -> None:
        """Run a task as SLURM would, with its script."""
        environment = os.environ | {"SLURM_ARRAY_TASK_ID": str(task)}
        subprocess.run(["bash", str(self.jobs[number]["script"])], env=environment, check=True)
        self.set(number, task, "COMPLETED")


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    found = Cluster(tmp_path / "commands")
    monkeypatch.setenv("PATH", f"{found.folder}:{os.environ['PATH']}")
    return found


def job(folder: Path, script: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "job.sh").write_text(script)
    return folder


def wait(queue: Local, folders: list[Path]) -> None:
    while any(state.kind == RUNNING for state in queue.states(folders).values()):
        time.sleep(0.05)


def test_a_job_leaves_its_code_its_output_and_its_time(tmp_path: Path) -> None:
    folders = [job(tmp_path / "a b", "echo first\necho last; exit 7\n"), job(tmp_path / "c", "sleep 0.3\n")]
    queue = Local(2)
    assert [state.kind for state in queue.states(folders).values()] == [NEW] * 2
    queue.submit(folders)
    wait(queue, folders)
    first, second = queue.states(folders).values()
    assert (first.kind, first.code, second.code) == (ENDED, 7, 0)
    assert second.seconds >= 0.3
    assert last_words(folders[0]) == "last"


def test_a_job_that_never_began_is_new_and_one_that_was_killed_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("learning.queues.GRACE", 0.2)
    new, killed = job(tmp_path / "new", ""), job(tmp_path / "killed", "kill -9 0\n")
    (new / "submitted").touch()  # by a driver that was killed before it started the job
    first, queue = Local(), Local()
    first.submit([killed])
    first.started[killed].wait()
    wait(queue, [new, killed])
    assert {path.name: state.kind for path, state in queue.states([new, killed]).items()} == {
        "new": NEW,
        "killed": GONE,
    }


def test_two_starts_of_a_job_run_it_once(tmp_path: Path) -> None:
    folder = job(tmp_path / "a", "echo x >> ran; sleep 0.5\n")
    queues = [Local(), Local()]
    for queue in queues:
        queue.submit([folder])
    for queue in queues:
        wait(queue, [folder])
    queues[0].started[folder].wait()
    queues[1].started[folder].wait()
    assert (folder / "ran").read_text() == "x\n"
    subprocess.run([sys.executable, local_job.__file__, str(folder)], check=True)
    assert (folder / "ran").read_text() == "x\n"


def test_an_array_runs_each_job_in_its_folder_with_the_lines_of_the_user(
    tmp_path: Path, cluster: Cluster
) -> None:
    place = tmp_path / "label here"
    folders = [job(place / f"job {n}" / "try_1", f"echo {n} > result; exit {n}\n") for n in range(3)]
    queue = Slurm(place, "#!/bin/bash\n#SBATCH --time=10\necho no\n", 2)
    assert {state.kind for state in queue.states(folders).values()} == {NEW}
    queue.submit(folders)
    assert cluster.calls("sbatch")[0].split()[3] == "--array=0-2%2"
    assert "#SBATCH --time=10\n" in (place / "array_001.sh").read_text()
    assert {state.kind for state in queue.states(folders).values()} == {WAITING}
    cluster.set("100", 1, "RUNNING")
    assert queue.states(folders)[folders[1]].kind == RUNNING
    for task in range(3):
        cluster.run("100", task)
    assert [(state.kind, state.code) for state in queue.states(folders).values()] == [
        (ENDED, n) for n in range(3)
    ]
    assert [(folder / "result").read_text() for folder in folders] == ["0\n", "1\n", "2\n"]


def test_one_squeue_and_one_sacct_tell_of_all_jobs(tmp_path: Path, cluster: Cluster) -> None:
    folders = [job(tmp_path / "label" / f"job_{n}", "") for n in range(7)]
    queue = Slurm(tmp_path / "label", "", 4)
    queue.submit(folders[:4])
    queue.submit(folders[4:])
    (cluster.folder / "calls").unlink()
    queue.states(folders)
    assert (len(cluster.calls("squeue")), len(cluster.calls("sacct"))) == (1, 1)


def test_a_driver_killed_behind_sbatch_finds_its_array_again(tmp_path: Path, cluster: Cluster) -> None:
    """The number was not noted: it is found by the name, and nothing is submitted twice."""
    folders = [job(tmp_path / "label" / f"job_{n}", "") for n in range(2)]
    Slurm(tmp_path / "label", "", 4).submit(folders)
    record = tmp_path / "label" / "array_001.json"
    noted = json.loads(record.read_text())
    record.write_text(json.dumps({name: noted[name] for name in ("name", "jobs")}))
    states = Slurm(tmp_path / "label", "", 4).states(folders)
    assert {state.kind for state in states.values()} == {WAITING}
    assert json.loads(record.read_text()) == noted


def test_a_queue_that_refuses_is_told_and_nothing_is_lost(tmp_path: Path, cluster: Cluster) -> None:
    folders = [job(tmp_path / "label" / "job_1", "")]
    queue = Slurm(tmp_path / "label", "", 4)
    (cluster.folder / "refuse").touch()
    with pytest.raises(InputError, match="QOSMaxSubmitJobPerUserLimit. Nothing is lost: mend the cause"):
        queue.submit(folders)
    (cluster.folder / "refuse").unlink()
    assert queue.states(folders)[folders[0]].kind == NEW
    queue.submit(folders)
    assert queue.states(folders)[folders[0]].kind == WAITING


def test_how_slurm_ends_jobs(tmp_path: Path, cluster: Cluster) -> None:
    """A time limit; a node that failed; and a result that another node has written but is not seen yet."""
    folders = [job(tmp_path / "label" / f"job_{n}", "") for n in range(3)]
    queue = Slurm(tmp_path / "label", "", 4)
    queue.submit(folders)
    for task, state in enumerate(("TIMEOUT", "NODE_FAIL", "COMPLETED")):
        cluster.set("100", task, state)
    first, second, third = queue.states(folders).values()
    assert (first.kind, first.code) == (ENDED, 124)
    assert (second.kind, second.reason) == (GONE, "SLURM says NODE_FAIL, and there is no exit_code")
    assert third.kind == LATE
    assert queue.states(folders)[folders[2]].kind == GONE
    (folders[2] / "exit_code").write_text("0 3\n")
    assert queue.states(folders)[folders[2]].kind == ENDED


def test_cancelled_jobs_are_gone(tmp_path: Path, cluster: Cluster) -> None:
    folders = [job(tmp_path / "label" / f"job_{n}", "") for n in range(2)]
    queue = Slurm(tmp_path / "label", "", 4)
    queue.submit(folders)
    queue.cancel(folders[1:])
    assert cluster.calls("scancel") == ["scancel 100_1"]
    assert [state.kind for state in queue.states(folders).values()] == [WAITING, GONE]


def test_without_slurm_the_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="`sbatch` is not there: `label_queue slurm` needs SLURM's commands"):
        Slurm(tmp_path, "", 1).submit([job(tmp_path / "job", "")])


@pytest.mark.slow
def test_a_campaign_submits_itself_behind_its_labels(tmp_path: Path, cluster: Cluster, solid: Path) -> None:
    """An array of label jobs, then the user's script behind it, once; at the end every job has its label."""
    keywords = "label_template label_template\nlabel_queue slurm\nlabel_jobs 2\nloop_resubmit loop.sh\n"
    campaign = at_labels(tmp_path / "campaign", solid, 3, keywords + "label_doubt 1e9\n")
    write_template(campaign.root)
    for _ in range(2):
        assert not label(campaign, 1)
    first, second = cluster.calls("sbatch")
    assert "--array=0-2%2" in first
    assert second == "sbatch --dependency=afterany:100 loop.sh"
    cluster.set("100", 0, "COMPLETED")  # without its files
    for task in (1, 2):
        cluster.run("100", task)
    assert not label(campaign, 1)
    assert cluster.calls("sbatch")[2:] == ["sbatch --dependency=afterany:100 loop.sh"]
    assert not label(campaign, 1)  # given up and submitted again
    assert "--array=0-0%2" in cluster.calls("sbatch")[3]
    cluster.run("103", 0)
    assert label(campaign, 1)
    assert campaign.facts(1, "label")["states"] == {"converged": 3}


@pytest.mark.slow
def test_a_timeout_ends_what_ignores_the_request_to_end(tmp_path: Path) -> None:
    """A process that ignores SIGTERM, as that of some launchers, is not left beside the next try."""
    (tmp_path / "job.sh").write_text("trap '' TERM\nsleep 300 &\necho $! > number\nwait\n")
    subprocess.run(
        [sys.executable, local_job.__file__, str(tmp_path), "1"], check=False, start_new_session=True
    )
    assert (tmp_path / "exit_code").read_text().split()[0] == "124"
    number = int((tmp_path / "number").read_text())
    state, end = Path(f"/proc/{number}/stat"), time.monotonic() + 10.0
    while state.exists() and state.read_text().split()[2] != "Z":  # a killed process takes a moment
        assert time.monotonic() < end
        time.sleep(0.05)
