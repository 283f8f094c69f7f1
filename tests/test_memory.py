"""Freed memory is used again instead of being asked for anew."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, sys
import numpy as np
from bnnp.memory import keep_freed_memory

class Mallinfo2(ctypes.Structure):  # malloc.h of glibc 2.33 and newer
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

def held():
    "Bytes that the C library has from the operating system, in use or free."
    info = library.mallinfo2()
    return info.arena + info.hblkhd

library = ctypes.CDLL(None)
if not hasattr(library, "mallinfo2"):
    sys.exit("no mallinfo2")
library.mallinfo2.restype = Mallinfo2
told = sys.argv[1] == "keep" and keep_freed_memory()
before = held()
np.ones(20_000_000)  # 160 MB, freed at once
kept = held()
array = np.ones(20_000_000)
print(int(told), kept - before, held() - kept)
"""
SIZE = 160_000_000  # what is free before may serve for a hundredth of it


def memory(word: str) -> tuple[bool, int, int]:
    """Whether the C library was told; bytes kept after the first array, and asked for by the second."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, word], capture_output=True, text=True, check=False)
    if "no mallinfo2" in done.stderr:
        pytest.skip("the C library cannot be asked what it holds")
    told, kept, asked = map(int, done.stdout.split())
    return bool(told), kept, asked


def test_freed_memory_is_kept_and_used_again() -> None:
    told, kept, asked = memory("keep")
    assert told
    assert kept > 0.99 * SIZE
    assert asked < 0.01 * SIZE


def test_glibc_gives_freed_memory_back_unless_told() -> None:
    """What the module is for: without it each large array is asked for anew."""
    told, kept, asked = memory("default")
    assert not told
    assert kept < 0.01 * SIZE
    assert asked > 0.99 * SIZE
