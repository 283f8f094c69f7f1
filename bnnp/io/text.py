"""Reading text files with messages a user can act on, and numbers as text without loss.

A file that should be text may be binary: damaged, compressed, or something else under its name. Python's own
message ("'utf-8' codec can't decode byte") says neither which file it is nor what to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bnnp.errors import InputError


def read_lines(path: Path, expected: str, missing: str = "") -> list[str]:
    """The lines of a text file.

    Parameters
    ----------
    expected : str
        What such a file holds, for the message: ``weights and biases``.
    missing : str
        The message if there is no such file; by default the operating system's.

    Raises
    ------
    InputError
        It cannot be read, or is not text.
    """
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: {no_text(error)}, expected {expected}. Bring the file again, or make it anew."
        ) from error
    except OSError as error:
        if missing and isinstance(error, FileNotFoundError):
            raise InputError(missing) from error
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def exact(numbers: Iterable[float]) -> str:
    """Numbers separated by blanks, with the fewest digits that give the same float64 back.

    >>> exact([1, 0.1])
    '1.0 0.1'
    """
    return " ".join([repr(float(number)) for number in numbers])


def no_text(error: UnicodeDecodeError) -> str:
    """Description of a file that is not text, for a message."""
    return f"is no text (byte {error.start + 1} is no letter): binary, compressed or damaged"


def reason_of(error: Exception) -> str:
    """Why another library could not read a file, for a message."""
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, UnicodeDecodeError):
        return f"it {no_text(error)}"
    return f"{type(error).__name__}: {error}"
