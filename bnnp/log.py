"""The log of a run, on standard output of rank 0.

Plain text, at most 80 columns or as wide as a narrower terminal (long names of files excepted), each line
flushed at once so that a batch log is always up to date. Progress is a tqdm bar on a terminal, and in a file
a plain line at about every tenth of the work.
"""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Iterable, Iterator, Sequence, Sized
from types import TracebackType
from typing import Any, Generic, TextIO, TypeVar

from bnnp import __version__, parallel
from bnnp.messages import WIDTH, columns, count, fold
from bnnp.settings.keywords import KEYWORDS
from bnnp.settings.keywords.charges import ChargeSettings
from bnnp.settings.settings import Settings

T = TypeVar("T")

PAUSE = 1.0  # seconds at least between two lines of progress in a file
_NAME = 26  # columns of the name of an item
_PURPOSE = {0: "check", 1: "mode 1: symmetry functions", 2: "mode 2: training", 3: "mode 3: prediction"}


class Log:
    """The log of one run.

    Parameters
    ----------
    stream : TextIO, optional
        Standard output by default.
    enabled : bool, optional
        Whether to print; by default only on rank 0.
    runner : bool, optional
        Whether RuNNer's lines about every structure and epoch, and n2p2's about every extrapolation, are
        wanted, too.
    """

    def __init__(
        self, stream: TextIO | None = None, enabled: bool | None = None, runner: bool = False
    ) -> None:
        self.runner = runner
        self._stream = sys.stdout if stream is None else stream
        self._enabled = parallel.is_root() if enabled is None else enabled
        self._start = time.perf_counter()
        self.n_warnings = 0
        self.width = min(WIDTH, columns(self._stream))

    def header(self, settings: Settings, kernel: str = "", threads: int | None = None) -> None:
        """Program, date, resources, units, elements; then the warnings and the ignored keywords of input.nn.

        Parameters
        ----------
        settings : Settings
        kernel : str
            Instruction set of the C++ core, ``Descriptor.kernel``.
        threads : int, optional
            Threads of each rank; by default those of the keyword.
        """
        dynamics = settings.mode == 3 and settings.dynamics.md_steps
        purpose = "mode 3: molecular dynamics" if dynamics else _PURPOSE[settings.mode]
        self.line(f"bnnp {__version__}   {purpose}")
        self.line("-" * self.width)
        model, units = settings.model, settings.model.units
        self.item("date", f"{datetime.datetime.now():%Y-%m-%d %H:%M:%S}")
        self.item(
            "processes", _processes(parallel.size(), settings.general.threads if threads is None else threads)
        )
        if kernel:
            self.item("kernel", kernel)
        self.item("units", f"{units.name} ({units.length}, {units.energy}, {units.force})")
        self.item("elements", " ".join(model.elements))
        if not settings.chooses_functions:
            counts = ", ".join(f"{count} of {element}" for element, count in model.n_inputs.items())
            counts += f"; largest cutoff {model.largest_cutoff:g} {units.length}"
        else:
            most = settings.descriptors.most_functions(len(model.elements))
            counts = f"at most {most} of each element, chosen by mode 1"
        self.item("symmetry functions", counts)
        if settings.warnings or settings.ignored:
            self.line()
        for warning in settings.warnings:
            self.warn(warning)
        if settings.ignored:
            self._ignored(settings)

    def _ignored(self, settings: Settings) -> None:
        """Print the keywords without effect: those of charges and other optimizers by name, the rest with the
        reason."""
        unknown = [name for name in settings.ignored if KEYWORDS[name].tier == "O"]
        names_of_charges = [keyword.name for keyword in ChargeSettings.keywords()]
        known = [name for name in settings.ignored if name not in unknown]
        if of_charges := [name for name in known if name in names_of_charges]:
            self.note(f"accepted without effect on the charges of this input.nn: {', '.join(of_charges)}")
        if idle := [name for name in known if name not in of_charges]:
            method = f"optimizer {settings.training.optimizer}"
            if settings.training.optimizer == "kalman":
                method += f", kalman_updates {settings.kalman.kalman_updates}"
            self.note(f"accepted without effect, because not of {method}: {', '.join(idle)}")
        if unknown:
            self.note("accepted without effect:")
        for name in unknown:
            self._wrap(f"      {name:<32} ", KEYWORDS[name].help)

    def section(self, title: str) -> None:
        """Begin a section with this title."""
        self.line()
        self.line(f"{title} {'-' * max(3, self.width - len(title) - 1)}")

    def line(self, text: str = "") -> None:
        """Print one line; what is too long goes on in further ones, indented as the first."""
        if not self._enabled:
            return
        if len(text) > self.width:
            words = text.lstrip()
            self._wrap(" " * (len(text) - len(words)), words)
            return
        self._stream.write(text + "\n")
        self._stream.flush()

    def raw(self, text: str) -> None:
        """Print and count a warning in the format of another program, however long it is."""
        self.n_warnings += 1
        if self._enabled:
            self._stream.write(text + "\n")

    def item(self, name: str, value: object) -> None:
        """Print a name and its value, aligned with other items."""
        self._wrap(f"  {name:<{_NAME}} ", str(value), " " * (_NAME + 3))

    def warn(self, text: str) -> None:
        """Print and count a warning, wrapped."""
        self.n_warnings += 1
        self._wrap("WARNING: ", text)

    def note(self, text: str) -> None:
        """Print information that requires no action, wrapped."""
        self._wrap("note: ", text)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Print aligned columns, numbers to the right, text to the left; floats get 6 digits.

        A table that is too wide is continued below, with its first column again; a long text in its last
        column goes on in the next line.
        """
        shown = [[_cell(value) for value in row] for row in rows]
        numeric = [all(_is_number(row[k]) for row in shown) for k in range(len(columns))]
        widths = [max(len(cells[k]) for cells in [list(columns), *shown]) for k in range(len(columns))]
        last = len(columns) - 1
        if not numeric[last] and last:
            longest = max(len(word) for row in [list(columns), *shown] for word in row[last].split() or [""])
            room = self.width - 2 * (last + 1) - sum(widths[:last])
            widths[last] = min(widths[last], max(room, longest))
        for number, chosen in enumerate(self._pieces(widths)):
            if number:
                self.line()
            for cells in [list(columns), ["-" * width for width in widths], *shown]:
                aligned = [
                    cells[k].rjust(widths[k]) if numeric[k] else cells[k].ljust(widths[k]) for k in chosen
                ]
                text = "  " + "  ".join(aligned).rstrip()
                indent = 2 + sum(widths[k] + 2 for k in chosen[:-1])
                self._wrap(text[:indent], text[indent:], " " * indent)

    def _pieces(self, widths: Sequence[int]) -> list[list[int]]:
        """The columns of each piece of a table, the first in all of them."""
        pieces = [[0]]
        for k in range(1, len(widths)):
            if 2 + sum(widths[j] + 2 for j in pieces[-1]) + widths[k] > self.width and len(pieces[-1]) > 1:
                pieces.append([0])
            pieces[-1].append(k)
        return pieces

    def progress(
        self, iterable: Iterable[T] | None = None, description: str = "", total: int | None = None
    ) -> Progress[T]:
        """Show the progress of a loop: iterate over the result, or call its ``update`` and ``close``."""
        return Progress(iterable, description, total, self._stream, self._enabled, self.width)

    def close(self, mode: int, unfinished: str = "") -> None:
        """Print the last lines, in which runnerase looks for "Normal termination of RuNNer".

        Parameters
        ----------
        mode : int
        unfinished : str
            Why the run is not finished; then "Normal termination" is not printed.
        """
        seconds = time.perf_counter() - self._start
        self.line()
        self.line(f"{count(self.n_warnings, 'warning')}; total time {duration(seconds)}")
        name = _PURPOSE[mode].partition(":")[0]
        if unfinished:
            self.line(f"NOT FINISHED: {name}, {unfinished}")
        else:
            self.line(f"Normal termination of RuNNer-style program bnnp, {name}")

    def _wrap(self, prefix: str, text: str, indent: str | None = None) -> None:
        """Print `prefix` and `text` in as many lines as it takes, the further ones behind `indent`."""
        if not self._enabled:
            return
        self._stream.write(fold(text, self.width, prefix, indent) + "\n")
        self._stream.flush()


class Progress(Generic[T]):
    """Progress of a loop: a bar on a terminal, plain lines elsewhere."""

    def __init__(
        self,
        iterable: Iterable[T] | None,
        description: str,
        total: int | None,
        stream: TextIO,
        enabled: bool,
        width: int = WIDTH,
    ) -> None:
        self._iterable = iterable
        self._total = len(iterable) if total is None and isinstance(iterable, Sized) else total
        self._description, self._stream, self._enabled, self._width = description, stream, enabled, width
        self._start = self._last = time.perf_counter()
        self._done = self._shown = 0
        self._bar: Any = None
        self.note = ""  # printed at the end of the line, for example a speed
        if enabled and stream.isatty():
            from tqdm import tqdm

            self._bar = tqdm(desc=f"  {description}", total=self._total, file=stream, ncols=width, leave=True)

    def __iter__(self) -> Iterator[T]:
        with self:
            for item in self._iterable or ():
                yield item
                self.update()

    def __enter__(self) -> Progress[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def update(self, steps: int = 1) -> None:
        """Add finished steps."""
        self._done += steps
        if self._bar is not None:
            if self.note:
                self._bar.set_postfix_str(self.note, refresh=False)
            self._bar.update(steps)
        elif self._enabled and self._total:
            tenth = 10 * self._done // self._total
            now = time.perf_counter()
            if tenth > self._shown and (now - self._last > PAUSE or self._done == self._total):
                self._shown, self._last = tenth, now
                self._line(tenth)

    def close(self) -> None:
        """End the progress bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _line(self, tenth: int) -> None:
        seconds = time.perf_counter() - self._start
        left = seconds * (self._total or 0) / self._done - seconds
        remaining = f", about {duration(left)} left" if tenth < 10 else ""
        text = f"{self._description} {10 * tenth:3d} %  {self._done}/{self._total}  "
        text += f"{duration(seconds)}{remaining}{', ' * bool(self.note)}{self.note}"
        self._stream.write(fold(text, self._width, "  ", "    ") + "\n")
        self._stream.flush()


def duration(seconds: float) -> str:
    """A time span as text: ``0.4 s``, ``12 s``, ``3 min 20 s``, ``2 h 05 min``."""
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def byte_count(n_bytes: float) -> str:
    """A number of bytes as text, in powers of 1000: ``512 B``, ``1.5 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 999.5:
            return f"{n_bytes:.0f} {unit}" if unit == "B" else f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.3g} TB"


def _processes(ranks: int, threads: int) -> str:
    each = count(threads, "thread") if threads else "all cores"
    return f"{ranks} MPI ranks with {each} each" if ranks > 1 else f"1, with {each}"


def _cell(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _is_number(text: str) -> bool:
    try:
        float(text.rstrip("%"))
    except ValueError:
        return text in ("", "-")
    return True
