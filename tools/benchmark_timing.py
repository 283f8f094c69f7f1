"""Time and memory of a call, and the tables that tools/benchmark.py prints."""

from __future__ import annotations

import platform
import re
import resource
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click

from bnnp.log import Log

PATIENCE = 5.0  # seconds after which no further run of a part is started
TABLE = 120  # columns of the terminal
STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Measurement:
    """Several runs of one call.

    Parameters
    ----------
    best, median : float, seconds
        Wall time.
    processor : float, seconds
        Smallest processor time of all threads together: what counts on a machine that others use too.
    peak : float, bytes
        Largest resident memory of the process while it ran; since its start where that cannot be told.
    """

    best: float
    median: float
    processor: float
    peak: float


def measure(call: Callable[[], object], repeat: int) -> Measurement:
    """Run `call` up to `repeat` times; the first run counts only if it is long, or the only one."""
    reset_peak()
    begun = time.perf_counter()
    first = _timed(call)
    times = [first] if first[0] > PATIENCE / 10 or repeat == 1 else []
    while not times or (len(times) < repeat and time.perf_counter() - begun < PATIENCE):
        times.append(_timed(call))
    walls, processors = zip(*times, strict=True)
    return Measurement(min(walls), median(walls), min(processors), peak_memory())


def _timed(call: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor time of one call, seconds."""
    start, busy = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - start, time.process_time() - busy


def reset_peak() -> None:
    """Forget the largest memory so far (Linux; elsewhere nothing happens)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> float:
    """Largest resident memory of this process since :func:`reset_peak`, bytes."""
    with suppress(OSError, TypeError):
        if found := re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text()):
            return 1024.0 * int(found[1])
    return 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def processor() -> str:
    """Name of the processor, for the head of a table."""
    with suppress(OSError):
        found = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
        if found:
            return found[1]
    return platform.machine()


def show_head(kernel: str, *lines: str) -> None:
    """Processor and instruction set, then `lines`."""
    click.echo("\n".join([f"{processor()}; kernel {kernel}", *lines]))


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print aligned columns."""
    click.echo()
    log = Log(sys.stdout, enabled=True)
    log.width = TABLE  # rows are compared side by side
    log.table(columns, rows)
