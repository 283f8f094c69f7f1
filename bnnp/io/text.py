"""Text files that are none: what a reader says of bytes that are no letters.

Files of a potential get binary by damage, by compression or by a name given to something else. Python's own
words for it ("'utf-8' codec can't decode byte") help nobody.
"""

from __future__ import annotations

from pathlib import Path

from bnnp.errors import InputError


def read_lines(path: Path, expected: str) -> list[str]:
    """The lines of a text file.

    Parameters
    ----------
    expected : str
        What such a file is, for the message: ``weights and biases``.

    Raises
    ------
    FileNotFoundError
        For a reader that knows what to do then.
    InputError
        It cannot be read, or is no text.
    """
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: {no_text(error)}, expected {expected}. Bring the file again, or make it anew."
        ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def no_text(error: UnicodeDecodeError) -> str:
    """What is wrong, in a few words."""
    return f"is no text (byte {error.start + 1} is no letter): binary, compressed or damaged"


def reason_of(error: Exception) -> str:
    """Why a reader of another program gave up, in a few words."""
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, UnicodeDecodeError):
        return f"it {no_text(error)}"
    return f"{type(error).__name__}: {error}"
