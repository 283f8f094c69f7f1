"""Time and memory of calls, made in alternation; medians and spreads, also beside those of an earlier run."""

from __future__ import annotations

import json
import platform
import re
import resource
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click
import numpy as np

from bnnp.errors import InputError
from bnnp.io.output import replace_file
from bnnp.log import Log

PATIENCE = 5.0  # seconds for each call, after which no further round is started
TABLE = 120  # columns of the terminal
STATUS = Path("/proc/self/status")
NUMBERS = np.linspace(0.0, 1.0, 200_000)  # their sines are the yardstick: a fixed piece of work
COLUMNS = ("cpu us/atom", "cpu +-", "wall us/atom", "wall +-", "peak MB")
FEWEST = 3  # rounds from which a spread can be told
QUARTILE = 0.6745  # of the standard normal distribution


@dataclass(frozen=True)
class Measurement:
    """The rounds of one call, in their order.

    Parameters
    ----------
    processor, wall : sequence of float, seconds
        Processor time of all threads and child processes together, which counts on a machine that others use
        too, and wall time.
    yardstick : sequence of float, seconds
        Processor time of a fixed piece of work in the same rounds: how fast the machine was.
    peak : float, bytes
        Largest resident memory of this process while the call ran; since its start where that cannot be told.
    """

    processor: Sequence[float]
    wall: Sequence[float]
    yardstick: Sequence[float]
    peak: float

    def per(self, number: float) -> Measurement:
        """The same for one of `number` atoms, steps or the like that each call worked on."""
        processor, wall = ([seconds / number for seconds in each] for each in (self.processor, self.wall))
        return Measurement(processor, wall, self.yardstick, self.peak)

    @property
    def relative(self) -> list[float]:
        """Processor times in units of the yardstick of the same round."""
        return [mine / fixed for mine, fixed in zip(self.processor, self.yardstick, strict=True)]

    def cells(self, scale: float = 1e6) -> tuple[str, ...]:
        """What stands below COLUMNS; `scale` is the number of units of the table in a second."""
        times = (f"{scale * f(each):.2f}" for each in (self.processor, self.wall) for f in (median, spread))
        return *times, f"{self.peak / 1e6:.0f}"


def measure(
    calls: Mapping[str, Callable[[], object]], repeat: int, patience: float = PATIENCE
) -> dict[str, Measurement]:
    """Run all `calls` one after the other, up to `repeat` rounds, so that a change of speed meets them all.

    The first round counts only if it is long, or the only one. After `patience` seconds for each call none is
    started.
    """
    begun, end = time.perf_counter(), patience * len(calls)
    rounds: list[dict[str, tuple[float, float]]] = []
    peaks, warm = dict.fromkeys(calls, 0.0), repeat > 1
    while not rounds or (len(rounds) < repeat and time.perf_counter() - begun < end):
        times = {"": _timed(lambda: np.sin(NUMBERS).sum())}
        for name, call in calls.items():
            reset_peak()
            times[name] = _timed(call)
            peaks[name] = max(peaks[name], peak_memory())
        if not warm or sum(wall for _, wall in times.values()) > PATIENCE / 10 * len(calls):
            rounds.append(times)
        warm = False

    def column(name: str, number: int) -> list[float]:
        return [times[name][number] for times in rounds]

    return {
        name: Measurement(column(name, 0), column(name, 1), column("", 0), peak)
        for name, peak in peaks.items()
    }


def _timed(call: Callable[[], object]) -> tuple[float, float]:
    """Processor and wall time of one call, seconds."""
    start, busy = time.perf_counter(), _busy()
    call()
    wall = time.perf_counter() - start
    return _busy() - busy, wall


def _busy() -> float:
    """Processor time of this process and of its children that have ended, seconds."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return float(np.median(values))


def spread(values: Sequence[float]) -> float:
    """Half the distance of the quartiles; 0 for one value."""
    low, high = np.percentile(values, [25, 75])
    return float(high - low) / 2


def ratio(now: Sequence[float], then: Sequence[float]) -> tuple[float, float]:
    """Ratio of the medians of two runs and its standard error.

    That of the median of n values is sqrt(pi / 2 n) times their standard deviation (of a normal distribution,
    for large n), which is estimated from the quartiles.
    """
    squares = [(spread(each) / QUARTILE / median(each)) ** 2 * np.pi / 2 / len(each) for each in (now, then)]
    found = median(now) / median(then)
    return found, found * float(np.sqrt(sum(squares)))


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


@dataclass
class Results:
    """Rows of this run by their names, to be kept in a file or seen beside those of an earlier one."""

    rows: dict[str, Measurement] = field(default_factory=dict)
    machine: str = field(default_factory=processor)

    def add(self, found: Measurement, *words: object) -> Measurement:
        """Keep a row under a name of `words`."""
        self.rows[", ".join(map(str, words))] = found
        return found

    def save(self, path: Path) -> None:
        """Write all rows."""
        with replace_file(path) as file:
            json.dump(asdict(self), file)

    @classmethod
    def read(cls, path: Path) -> Results:
        """The rows of a file of :meth:`save`. Raises InputError if it is none."""
        try:
            content = json.loads(path.read_text())
            rows = {name: Measurement(**row) for name, row in content["rows"].items()}
            for row in rows.values():
                rounds = np.array([row.processor, row.wall, row.yardstick], dtype=float)
                if rounds.ndim != 2 or not rounds.size or not (rounds > 0.0).all():
                    raise ValueError("expected as many positive times of each kind")
            return cls(rows, str(content["machine"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{path}: is no file of results; expected what `benchmark.py --save FILE ...` writes"
            ) from error

    def compare(self, earlier: Results) -> None:
        """Print how each row has changed, and the rows that only one of both has."""
        both = [name for name in self.rows if name in earlier.rows]
        table = [(name, *change(self.rows[name], earlier.rows[name])) for name in both]
        if both:
            show_table(("processor time", "then (us)", "now (us)", "now / then", "+-", "verdict"), table)
            speed, _ = ratio(*([t for x in both for t in run.rows[x].yardstick] for run in (self, earlier)))
            click.echo(f"Fixed work takes {speed:.2f} times as long as then; now / then is free of that.")
        if self.machine != earlier.machine:
            click.echo(f"Then the processor was another one: {earlier.machine}; now {self.machine}.")
        for words, names in (
            ("only now", self.rows.keys() - earlier.rows.keys()),
            ("only then", earlier.rows.keys() - self.rows.keys()),
        ):
            for name in sorted(names):
                click.echo(f"{words}: {name}")


def change(now: Measurement, then: Measurement) -> tuple[str, ...]:
    """Medians in microseconds, their ratio in units of the yardstick, its error, and what that says.

    A ratio that differs from 1 by less than twice its error, or by less than a hundredth, is no change.
    """
    found, error = ratio(now.relative, then.relative)
    changed = abs(found - 1.0) > max(2.0 * error, 0.01)
    verdict = ("faster" if found < 1.0 else "slower") if changed else "same"
    if min(len(now.wall), len(then.wall)) < FEWEST:
        verdict = "too few rounds"
    times = (f"{1e6 * median(each.processor):.2f}" for each in (then, now))
    return *times, f"{found:.3f}", f"{error:.3f}", verdict
