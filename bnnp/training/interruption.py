"""SIGTERM and SIGUSR1 as a request to stop: SLURM sends them before the time limit.

The loop checks for it between two steps and ends with a checkpoint, so that ``--restart`` loses nothing.
"""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class Interruption:
    """A context in which the signals set :attr:`name` instead of ending the process."""

    def __init__(self) -> None:
        self.name = ""
        self._former: dict[signal.Signals, Any] = {}

    def __call__(self) -> bool:
        """Whether a signal has come."""
        return bool(self.name)

    def __enter__(self) -> Interruption:
        for number in SIGNALS:
            self._former[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.name = signal.Signals(number).name
