"""inputs/slurm: the scripts are valid and go on after the time limit; a real SLURM, if any, accepts them."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

SLURM = Path(__file__).resolve().parents[2] / "inputs" / "slurm"
SCRIPTS = sorted(SLURM.glob("*.sh"))
RESTARTING = {"mode2_cpu.sh": ("2", "checkpoint.npz"), "mode2_gpu.sh": ("2", "checkpoint.npz")} | {
    "md.sh": ("3", "md_restart.npz")
}
OPTIONS = {  # of `man sbatch`
    *("job-name", "ntasks", "cpus-per-task", "mem", "mem-per-cpu", "time", "requeue", "open-mode", "output"),
    *("signal", "array", "gpus"),
}
STUBS = {
    "srun": 'echo "srun $*" >>calls\nexec "$@"\n',
    "scontrol": 'echo "scontrol $*" >>calls\n',
    "scancel": 'echo "scancel $*" >>calls\nkill -USR1 "$(cat bnnp.pid)"\n',
}
RUNS = 'echo "bnnp $*" >>calls\n'
SAVES = """
echo $$ >bnnp.pid
trap 'sleep 0.3; echo saved >>calls; exit 0' USR1
kill -USR1 "$(cat script.pid)"
while :; do sleep 0.05; done
"""


def run(script: str, folder: Path, bnnp: str, *arguments: str) -> tuple[int, list[str]]:
    """Exit code and the commands that a script ran, with stand-ins for SLURM's and for bnnp."""
    commands = folder / "commands"
    commands.mkdir(exist_ok=True)
    for name, text in (STUBS | {"bnnp": RUNS + bnnp}).items():
        (commands / name).write_text("#!/bin/bash\n" + text)
        (commands / name).chmod(stat.S_IRWXU)
    (folder / "calls").unlink(missing_ok=True)
    known = {"SLURM_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3", "SLURM_CPUS_PER_TASK": "4"}
    path = {"PATH": f"{commands}:{os.environ['PATH']}"}
    line = 'echo $$ >script.pid; . "$0"'
    command = ["bash", "-c", line, str(SLURM / script), *arguments]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **known, **path}, capture_output=True, text=True, timeout=30
    )
    calls = [path for path in (folder / "calls", folder / "seed_3" / "calls") if path.exists()]
    return done.returncode, [line for path in calls for line in path.read_text().splitlines()]


def test_all_scripts_are_in_the_readme() -> None:
    assert {path.name for path in SCRIPTS} == set(
        re.findall(r"^\| `(\w+\.sh)`", (SLURM / "README.md").read_text(), flags=re.MULTILINE)
    )


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_script_is_bash_with_known_options(script: Path) -> None:
    done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    text = script.read_text()
    options = re.findall(r"^#SBATCH --([a-z-]+)", text, flags=re.MULTILINE)
    assert len(options) == text.count("#SBATCH")
    assert set(options) <= OPTIONS
    assert {"time", "ntasks", "output"} <= set(options)


@pytest.mark.parametrize("script", [*RESTARTING, "mode1.sh", "mode3.sh"])
def test_first_run_and_restart(script: str, tmp_path: Path) -> None:
    """Without a checkpoint from the start, with one by --restart; ended by itself it is not queued again."""
    (tmp_path / "input.nn").write_text("device cuda\n")
    mode, checkpoint = RESTARTING.get(script, (script[4], ""))
    tail = " --data input.data" if script == "mode3.sh" else ""
    expected = f"bnnp --mode {mode}{tail}"
    assert run(script, tmp_path, "") == (0, [f"srun {expected}", expected])
    if checkpoint:
        (tmp_path / checkpoint).touch()
        assert run(script, tmp_path, "")[1] == [f"srun {expected} --restart", f"{expected} --restart"]
    assert run(script, tmp_path, "exit 3\n")[0] == 3


@pytest.mark.parametrize("script", RESTARTING)
def test_signal_saves_and_queues_again(script: str, tmp_path: Path) -> None:
    (tmp_path / "input.nn").write_text("device cuda\n")
    code, calls = run(script, tmp_path, SAVES)
    assert code == 0
    assert calls[2:] == ["scancel --signal=USR1 7", "saved", "scontrol requeue 7"]


@pytest.mark.parametrize("code", [1, 3])
def test_mistake_or_stop_at_the_signal_is_not_queued_again(code: int, tmp_path: Path) -> None:
    _, calls = run("md.sh", tmp_path, SAVES.replace("exit 0", f"exit {code}"))
    assert calls[-1] == "saved"


def test_job_killed_before_it_could_save_is_queued_again(tmp_path: Path) -> None:
    _, calls = run(
        "mode2_cpu.sh", tmp_path, SAVES.replace("trap 'sleep 0.3; echo saved >>calls; exit 0' USR1", "")
    )
    assert calls[-1] == "scontrol requeue 7"


def test_gpu_script_wants_device_cuda(tmp_path: Path) -> None:
    (tmp_path / "input.nn").write_text("# device cuda\n")
    assert run("mode2_gpu.sh", tmp_path, "") == (1, [])


def test_seeds_have_directories_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "input.nn").write_text("epochs 3\nrandom_seed 200\n")
    (tmp_path / "input.data").write_text("data")
    code, calls = run("mode2_seeds.sh", tmp_path, "")
    assert (code, calls) == (0, ["bnnp --mode 2"])
    assert (tmp_path / "seed_3" / "input.nn").read_text() == "epochs 3\nrandom_seed 3\n"
    assert (tmp_path / "seed_3" / "input.data").read_text() == "data"
    (tmp_path / "seed_3" / "calls").unlink()
    (tmp_path / "seed_3" / "checkpoint.npz").touch()
    assert run("mode2_seeds.sh", tmp_path, "")[1] == ["bnnp --mode 2 --restart"]


def slurm_answers() -> bool:
    """Whether there is a SLURM, and a node in it."""
    if not (shutil.which("sbatch") and shutil.which("sinfo")):
        return False
    command = ["sinfo", "--noheader", "--states=idle,alloc,mixed", "--format=%D"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0 and done.stdout.strip() not in ("", "0")


@pytest.mark.skipif(not shutil.which("sbatch"), reason="no sbatch")
def test_genuine_sbatch_accepts_and_runs(tmp_path: Path) -> None:
    """Every script as it would be submitted (smaller where the cluster is), and one real job of two tasks."""
    if not slurm_answers():
        pytest.skip("no SLURM controller answers")
    for script in SCRIPTS:
        memory = "--mem-per-cpu=100M" if "--mem-per-cpu" in script.read_text() else "--mem=100M"
        small = ["--ntasks=1", "--cpus-per-task=1", memory, "--time=1"]
        gpu = ["--gpus=0"] if "--gpus" in script.read_text() else []
        command = ["sbatch", "--test-only", *small, *gpu, str(script)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
    (tmp_path / "job.sh").write_text(
        f"#!/bin/bash\nsrun --mpi=none {sys.executable} -m bnnp --mode 1\necho code $?\n"
    )
    command = [
        "sbatch",
        "--wait",
        "--ntasks=2",
        "--mem=500M",
        "--time=2",
        f"--output={tmp_path}/log",
        "job.sh",
    ]
    subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=True)
    log = (tmp_path / "log").read_text()
    assert "started 2 processes but each of them is alone" in log
    assert "code 1" in log
