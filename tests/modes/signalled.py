"""Runs of the program that get a signal at a place of the run, not at a time: any machine gives the same."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PROGRAM = """
import os, signal, sys
from bnnp.cli import main

name, file, opened, calls = *sys.argv[1:3], *map(int, sys.argv[3:5])

def count(frame, event, argument):
    global calls
    calls -= event == "call"
    if calls <= 0:
        sys.setprofile(None)
        os.kill(os.getpid(), signal.Signals[name])

def watch(event, arguments):
    global opened
    if event != "open" or isinstance(arguments[0], int) or os.path.abspath(os.fsdecode(arguments[0])) != file:
        return
    opened -= arguments[1][0] in "aw"
    if opened == 0:
        opened = -1
        sys.setprofile(count)

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by children of a shell's background job
sys.addaudithook(watch)
main(sys.argv[5:])
"""


def run_and_signal(
    folder: Path,
    mode: int,
    name: str,
    moment: tuple[str | Path, int, int],
    *arguments: str,
    launcher: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """Run a mode as a process that sends itself a signal.

    Parameters
    ----------
    folder : Path
    mode : int
    name : str
        The signal, like ``SIGTERM``.
    moment : (file, n, calls)
        When a file of `folder` is opened for writing for the n-th time, and so many calls of Python
        functions later.
    arguments : str
        Further ones of the command line.
    launcher : sequence of str
        For several ranks, of which the one that opens the file sends the signal to itself.
    """
    file, times, calls = moment
    words = [name, str((folder / file).absolute()), str(times), str(calls), "--mode", str(mode)]
    return subprocess.run(
        [*launcher, sys.executable, "-c", PROGRAM, *words, *arguments],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
