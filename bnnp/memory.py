"""Reuse of freed memory.

glibc returns the memory of large arrays to the operating system when they are freed, and requests zeroed
pages for the next array. A structure of 100 000 atoms, and every structure of mode 1, spends a third of its
time on that. mallopt(3) switches it off: the peak memory stays about the same, but is kept until the process
ends.
"""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h of glibc


def keep_freed_memory() -> bool:
    """Make the C library keep freed memory; False if it cannot (not glibc)."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, -1))
