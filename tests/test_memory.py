"""Freed memory is used again instead of being asked for anew."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np
from bnnp.memory import keep_freed_memory
told = sys.argv[1] == "keep" and keep_freed_memory()
np.ones(20_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    np.ones(20_000_000)  # 160 MB, 39063 pages of 4 kB or 76 of 2 MB
print(told, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(word: str) -> tuple[bool, int]:
    done = subprocess.run([sys.executable, "-c", PROGRAM, word], capture_output=True, text=True, check=True)
    told, count = done.stdout.split()
    return told == "True", int(count)


def test_pages_are_asked_for_once() -> None:
    told, count = faults("keep")
    if not told:
        pytest.skip("the C library is not glibc")
    assert count < 50 < faults("default")[1]
