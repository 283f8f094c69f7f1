"""MPI: rank, size, broadcast, gather, map, sum, abort.

The launcher decides. Without one (`bnnp --mode 1`) there is one process and mpi4py is not imported; under
`mpiexec` or `srun` the communicator is mpi4py's COMM_WORLD. If a launcher starts several processes but MPI
sees only one (`srun` with the wrong ``--mpi``, `mpiexec` of another MPI), each would write the same files:
:func:`check_launch` stops the run.

No other module imports mpi4py, and no numerical module imports this one.
"""

from __future__ import annotations

import heapq
import os
import sys
import time
import traceback
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import accumulate, chain, takewhile
from operator import itemgetter
from types import TracebackType
from typing import Any, TypeVar

from bnnp.errors import BnnpError, InputError

T = TypeVar("T")

BATCH = 4  # items of a rank between two gathers of :func:`ordered_map`
LOOK = 5e-5  # s between two looks whether all ranks have come

# Environment variables of launchers: the number of processes, and the rank of this one.
_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE", "JSM_NAMESPACE_SIZE", "FLUX_JOB_SIZE")
_RANKS = (
    "OMPI_COMM_WORLD_RANK",
    "PMI_RANK",
    "PMIX_RANK",
    "MV2_COMM_WORLD_RANK",
    "PALS_RANKID",
    "ALPS_APP_PE",
)
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")

_GIVEN_THREADS = os.environ.get("OMP_NUM_THREADS", "")  # before pin_threads


def rank() -> int:
    """Number of this process, from 0."""
    communicator = _communicator()
    return 0 if communicator is None else int(communicator.Get_rank())


def size() -> int:
    """Number of processes."""
    communicator = _communicator()
    return 1 if communicator is None else int(communicator.Get_size())


def is_root() -> bool:
    """Whether this process is rank 0, which prints and creates files."""
    return rank() == 0


def barrier() -> None:
    """Wait until every rank has called this.

    Meanwhile Python's handlers of signals run, so that the root removes its temporary files; within a call of
    MPI they would not.
    """
    communicator = _communicator()
    if communicator is not None:
        arrived = communicator.Ibarrier()
        while not arrived.Test():
            time.sleep(LOOK)


def broadcast(value: T) -> T:
    """The root's `value` on every rank."""
    communicator = _communicator()
    if communicator is None:
        return value
    received: T = communicator.bcast(value, root=0)
    return received


def on_root(function: Callable[..., T], *arguments: Any) -> T:
    """Call `function` on the root only; every rank gets its result.

    An exception on the root is raised on every rank, so that all end with the same message.
    """
    outcome: tuple[Any, Exception | None] = (None, None)
    if is_root():
        try:
            outcome = (function(*arguments), None)
        except Exception as error:
            outcome = (None, error)
    result: T
    result, failure = broadcast(outcome)
    if failure is not None:
        raise failure
    return result


def gather(value: T) -> list[T]:
    """On the root the list of every rank's `value`, in rank order; elsewhere an empty list."""
    communicator = _communicator()
    if communicator is None:
        return [value]
    barrier()
    return communicator.gather(value, root=0) or []


def ordered_map(compute: Callable[[int], T], count: int) -> Iterator[T]:
    """Yield ``compute(0)``, ``compute(1)``, ... on the root, computed by all ranks; nothing on the others.

    The first BnnpError is raised on every rank, on the root after all results before it.
    """
    batch = BATCH * size()
    for first in range(0, count, batch):
        mine = range(first + rank(), min(first + batch, count), size())
        parts = gather([(index, _attempt(compute, index)) for index in mine])
        results = [result for _, result in sorted(chain.from_iterable(parts), key=itemgetter(0))]
        failure = broadcast(next((each for each in results if isinstance(each, BnnpError)), None))
        yield from takewhile(lambda each: not isinstance(each, BnnpError), results)
        if failure is not None:
            raise failure


def _attempt(compute: Callable[[int], T], index: int) -> T | BnnpError:
    """``compute(index)``, or the error that it raised."""
    try:
        return compute(index)
    except BnnpError as error:
        return error


def sum_array(array: T) -> T:
    """Sum a NumPy array over the ranks, in place, and return it."""
    communicator = _communicator()
    if communicator is not None:
        from mpi4py import MPI

        communicator.Allreduce(MPI.IN_PLACE, array, op=MPI.SUM)
    return array


def deal(costs: Sequence[float]) -> list[int]:
    """Distribute items over the ranks so that the summed costs balance.

    The most expensive item left goes to the rank with the smallest sum (R. L. Graham, SIAM J. Appl. Math. 17,
    416 (1969)). Every rank computes the same distribution without communication.

    Parameters
    ----------
    costs : (n_items,) numbers
        Estimated work of each item, the same on all ranks.

    Returns
    -------
    list of int
        Indices of this rank's items, ascending.
    """
    loads = [(0.0, number) for number in range(size())]
    mine: list[int] = []
    for item in sorted(range(len(costs)), key=lambda k: (-float(costs[k]), k)):
        load, number = loads[0]
        heapq.heapreplace(loads, (load + float(costs[item]), number))
        if number == rank():
            mine.append(item)
    return sorted(mine)


def stretch(costs: Sequence[float]) -> range:
    """This rank's items, where each rank has neighboring ones, and the summed costs balance.

    Parameters
    ----------
    costs : (n_items,) numbers
        Estimated work of each item, the same on all ranks.
    """
    sums = list(accumulate(costs, initial=0.0))
    first, last = (bisect_left(sums, sums[-1] * number / size()) for number in (rank(), rank() + 1))
    return range(first, last if rank() + 1 < size() else len(costs))


def abort(code: int) -> None:
    """End every rank with exit code `code`; the caller has printed the message."""
    sys.stdout.flush()
    sys.stderr.flush()
    communicator = _communicator()
    if communicator is None or size() == 1:
        raise SystemExit(code)
    time.sleep(0.2)  # so that the launcher passes on the message before it ends the ranks
    communicator.Abort(code)


def wait_for_root_to_report(surely: bool = False) -> None:
    """Give lower ranks the time to print the same error first and to end the run.

    All ranks find a mistake in a file at once, but it should be printed once. Longer if the root `surely` has
    it, too, as signals of a launcher.
    """
    time.sleep(0.4 * min(rank(), 5) + 3.0 * (surely and not is_root()))


def check_launch() -> None:
    """Stop if the launcher announced more processes than MPI sees.

    Raises
    ------
    InputError
        Several independent processes, or an MPI launch without a usable MPI library.
    """
    announced = announced_size()
    if announced > 1 and size() == 1:
        raise InputError(
            f"the launcher started {announced} processes but each of them is alone: MPI sees 1 process. "
            "mpi4py and the launcher belong to different MPI libraries. Use the mpiexec of the MPI that "
            "mpi4py was built with, or another `srun --mpi=...` (`srun --mpi=list` shows them), "
            "or start one process."
        )


def announced_size() -> int:
    """Number of processes that the launcher started, from its environment variables; 1 without a launcher.

    SLURM_NTASKS is not used, as a batch script has it too; only a job *step* has SLURM_STEP_NUM_TASKS.
    """
    sizes = [int(os.environ[name]) for name in _SIZES if os.environ.get(name, "").isdigit()]
    if not sizes and "SLURM_STEP_ID" in os.environ:
        sizes = [int(count) for count in [os.environ.get("SLURM_STEP_NUM_TASKS", "")] if count.isdigit()]
    return max(sizes, default=1)


def given_threads() -> int:
    """The OMP_NUM_THREADS that the program was started with, of the outermost level; 0 without it."""
    first = _GIVEN_THREADS.partition(",")[0].strip()
    return int(first) if first.isdecimal() else 0


def pin_threads(number: int) -> None:
    """Set the number of threads of BLAS, OpenMP and torch in this process.

    The environment variables affect libraries loaded later: call this before numpy and torch are imported. A
    torch that is already loaded is set directly.
    """
    for name in _THREADS:
        os.environ[name] = str(number)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(number)


@cache
def _communicator() -> Any:
    """COMM_WORLD of mpi4py, or None for a process without MPI launcher."""
    announced = announced_size()
    if announced == 1 and not any(name in os.environ for name in _RANKS):
        return None
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: mpi4py is there, the MPI library is not
        if announced == 1:
            return None
        raise InputError(
            f"the launcher started {announced} processes but MPI cannot be used: "
            f"{str(error).splitlines()[0]}. Install mpi4py against this machine's MPI (`pip install mpi4py` "
            "with its module loaded), or start one process."
        ) from error
    if MPI.COMM_WORLD.Get_size() > 1:
        sys.excepthook = _abort_on_exception
    return MPI.COMM_WORLD


def _abort_on_exception(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """`sys.excepthook` that ends all ranks: the others would wait forever for one that has died."""
    sys.stderr.write("".join(traceback.format_exception(kind, error, trace)))  # in one piece
    abort(1)
