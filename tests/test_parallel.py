"""MPI verbs: the launcher decides, a failing rank ends the job, false launches are refused."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bnnp import parallel
from bnnp.errors import InputError

MPIEXEC = Path(sys.executable).with_name("mpiexec")
LAUNCHERS = ("OMPI_", "PMI", "PMIX_", "MV2_", "SLURM_", "PALS_", "ALPS_", "FLUX_", "JSM_", "HYDI_", "MPI")

needs_mpi = pytest.mark.skipif(not MPIEXEC.exists(), reason="no mpiexec beside the Python in use")


def environment(**extra: str) -> dict[str, str]:
    """Environment of a process that no launcher started."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(LAUNCHERS)}
    return clean | {"OMP_NUM_THREADS": "1"} | extra


def python(code: str, ranks: int = 0, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run a program, under mpiexec if `ranks`."""
    launcher = [str(MPIEXEC), "-n", str(ranks)] if ranks else []
    command = [*launcher, sys.executable, "-c", code]
    return subprocess.run(command, env=environment(**extra), capture_output=True, text=True, timeout=60)


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(LAUNCHERS):
            monkeypatch.delenv(name)
    parallel._communicator.cache_clear()


def test_serial_needs_no_mpi4py() -> None:
    """Without a launcher mpi4py is not imported, so a machine without an MPI library is fine."""
    code = "from bnnp.parallel import rank, size; import sys; print(rank(), size(), 'mpi4py' in sys.modules)"
    assert python(code).stdout.split() == ["0", "1", "False"]


def test_serial_verbs() -> None:
    values = np.arange(3.0)
    assert parallel.is_root()
    assert parallel.broadcast("x") == "x"
    assert parallel.gather(4) == [4]
    assert parallel.sum_array(values) is values
    assert parallel.on_root(divmod, 7, 2) == (3, 1)
    assert parallel.deal([1.0, 5.0, 2.0]) == [0, 1, 2]
    with pytest.raises(SystemExit) as stop:
        parallel.abort(3)
    assert stop.value.code == 3


@needs_mpi
def test_verbs_on_three_ranks() -> None:
    code = """
import numpy as np
from bnnp import parallel
a = np.full(4, parallel.rank() + 1.0)
assert parallel.sum_array(a) is a and (a == 6).all()
assert parallel.broadcast(parallel.rank()) == 0
assert parallel.gather(parallel.rank() ** 2) == ([0, 1, 4] if parallel.is_root() else [])
assert parallel.on_root(parallel.rank) == 0
parallel.barrier()
print(parallel.size())
"""
    done = python(code, ranks=3)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("3") == 3  # lines of several ranks may run into each other


@pytest.mark.parametrize("ranks", [1, 2, 3, 7])
def test_deal_covers_every_item_once_and_balances(monkeypatch: pytest.MonkeyPatch, ranks: int) -> None:
    """Graham's bound for longest-first: no load above 4/3 of the best, which is at least the mean."""
    costs = np.random.default_rng(5).lognormal(0.0, 1.0, 200)
    monkeypatch.setattr(parallel, "size", lambda: ranks)
    shares = []
    for rank in range(ranks):
        monkeypatch.setattr(parallel, "rank", lambda rank=rank: rank)
        shares.append(parallel.deal(costs.tolist()))
    assert sorted(item for share in shares for item in share) == list(range(200))
    loads = [costs[share].sum() for share in shares]
    assert max(loads) <= 4.0 / 3.0 * max(costs.sum() / ranks, costs.max())


@pytest.mark.parametrize("ranks", [1, 3, 40])
def test_stretches_follow_each_other_and_balance(monkeypatch: pytest.MonkeyPatch, ranks: int) -> None:
    """Each within the largest item of its part; ranks beyond the items have none."""
    costs = np.random.default_rng(2).integers(1, 50, 30).tolist()
    monkeypatch.setattr(parallel, "size", lambda: ranks)
    items, sums = [], []
    for rank in range(ranks):
        monkeypatch.setattr(parallel, "rank", lambda rank=rank: rank)
        mine = parallel.stretch(costs)
        items += list(mine)
        sums.append(sum(costs[item] for item in mine))
    assert items == list(range(30))
    assert max(sums) <= sum(costs) / ranks + max(costs)


@needs_mpi
@pytest.mark.parametrize("failing", [0, 1])
def test_exception_on_one_rank_ends_all(failing: int) -> None:
    """The other rank waits at a barrier; it must not wait for ever (the call has a time limit)."""
    code = f"""
from bnnp import parallel
if parallel.rank() == {failing}:
    raise RuntimeError("lost")
parallel.barrier()
"""
    done = python(code, ranks=2)
    assert done.returncode != 0
    assert done.stderr.count("RuntimeError: lost") == 1


@needs_mpi
def test_a_signal_ends_a_root_that_waits_for_another_rank() -> None:
    """It must not sit in MPI's call until the other rank ends the run."""
    code = (
        "import os, signal, threading, time\n"
        "from bnnp import parallel\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "if parallel.is_root():\n"
        "    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "else:\n"
        "    time.sleep(30.0)\n"
        "try:\n"
        "    parallel.gather(1)\n"
        "except KeyboardInterrupt:\n"
        "    print('cleaned', flush=True)\n"
        "    parallel.abort(130)\n"
    )
    start = time.monotonic()
    result = python(code, ranks=2)
    assert "cleaned" in result.stdout
    assert result.returncode == 130
    assert time.monotonic() - start < 25.0


@needs_mpi
def test_error_on_root_reaches_every_rank() -> None:
    code = """
import sys
from bnnp import parallel
from bnnp.errors import InputError
def fail():
    raise InputError("line 3")
try:
    parallel.on_root(fail)
except InputError as error:
    sys.stdout.write(f"caught {error}\\n")  # one piece: the ranks share the stream
"""
    assert python(code, ranks=2).stdout.count("caught line 3") == 2


@needs_mpi
def test_error_of_an_item_reaches_every_rank_behind_the_results_before_it() -> None:
    """Item 5 fails, on rank 1 of 2; whoever catches the error goes on with the same collective calls."""
    code = """
import sys
from bnnp import parallel
from bnnp.errors import InputError
def compute(index):
    if index in (5, 6):
        raise InputError(f"item {index}")
    return index
found = []
try:
    found.extend(parallel.ordered_map(compute, 40))
except InputError as error:
    assert found == ([0, 1, 2, 3, 4] if parallel.is_root() else [])
    assert parallel.on_root(len, found) == 5
    sys.stdout.write(f"caught {error}\\n")
"""
    done = python(code, ranks=2)
    assert done.stdout.count("caught item 5") == 2, done.stderr


@pytest.mark.parametrize(
    "announced",
    [
        {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "1"},
        {"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "4", "SLURM_NTASKS": "4"},
    ],
    ids=["other MPI", "srun"],
)
@needs_mpi
def test_several_lonely_processes_are_refused(announced: dict[str, str]) -> None:
    """The launcher says 4, MPI says 1: each process would write the same file."""
    code = """
from bnnp import parallel
from bnnp.errors import InputError
try:
    parallel.check_launch()
except InputError as error:
    print(error)
"""
    done = python(code, **announced)
    assert "4 processes but each of them is alone" in done.stdout, done.stderr


def test_slurm_batch_script_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch script sees SLURM_NTASKS of its allocation, but is no job step of several tasks."""
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setenv("SLURM_NTASKS", "64")
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert parallel.announced_size() == 1
    parallel.check_launch()
    assert parallel.size() == 1


def test_launch_without_mpi_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """mpi4py without a library raises RuntimeError on import; several ranks cannot go on, one can."""
    blocked = "import sys; sys.modules['mpi4py'] = None\n"  # import raises ImportError
    one = python(blocked + "from bnnp import parallel; print(parallel.size())", PMI_SIZE="1", PMI_RANK="0")
    assert one.stdout.strip() == "1", one.stderr
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(InputError, match="2 processes but MPI cannot be used"):
        parallel.size()


@pytest.mark.parametrize(("said", "expected"), [("3", 3), ("2,4", 2), ("many", 0), ("", 0)])
def test_threads_of_the_environment_count_before_they_are_pinned(said: str, expected: int) -> None:
    code = "from bnnp import parallel as p; p.pin_threads(1); print(p.given_threads())"
    assert python(code, OMP_NUM_THREADS=said).stdout == f"{expected}\n"
