"""Ctrl-C, SIGTERM and SIGUSR1 as a request to stop: SLURM sends them before the time limit.

The loop checks for it between two steps and ends with a checkpoint, so that ``--restart`` loses nothing. A
second Ctrl-C ends the program at once.
"""

from __future__ import annotations

import os
import signal
import time
from types import FrameType, TracebackType
from typing import Any

from bnnp import parallel
from bnnp.errors import SignalStop

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
ECHO = 1.0  # seconds in which mpiexec and the terminal may both deliver the same Ctrl-C
_ANSWER = b"\nCtrl-C: ending after this step, with a checkpoint. Press it again to end at once.\n"


class Interruption:
    """A context in which the signals set :attr:`name` instead of ending the process."""

    def __init__(self) -> None:
        self.name = ""
        self._time = 0.0
        self._former: dict[signal.Signals, Any] = {}

    def __call__(self) -> bool:
        """Whether a signal has come."""
        return bool(self.name)

    def end(self, unfinished: bool) -> None:
        """Raise SignalStop on every rank if a signal left the work of any of them `unfinished`; every rank
        calls this."""
        mine = int(signal.Signals[self.name]) if self.name and unfinished else 0
        if number := parallel.broadcast(max(parallel.gather(mine), default=0)):
            raise SignalStop(number)

    def __enter__(self) -> Interruption:
        for number in SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:  # as a background job of a shell has Ctrl-C
                self._former[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if number == signal.SIGINT:
            if self.name and now - self._time > ECHO:
                raise KeyboardInterrupt
            if not self.name and parallel.is_root():
                os.write(2, _ANSWER)  # a stream must not be used in a signal handler
        if not self.name:
            self.name, self._time = signal.Signals(number).name, now
