"""Memory that is freed is kept by the process and used again.

glibc gives large arrays back to the operating system when they are freed, and asks for zeroed pages at the
next call. A structure of 100 000 atoms, and every structure of mode 1, spends a third of its time on that.
mallopt(3) switches it off: the largest memory stays about the same, but is kept until the process ends.
"""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h of glibc


def keep_freed_memory() -> bool:
    """Tell the C library to keep freed memory; False where it cannot be told (not glibc)."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, -1))
