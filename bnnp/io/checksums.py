"""The line ``# potential`` of scaling.data, uncertainty.data and weights files: which belong together.

It names all parts a prediction depends on, each with the first 16 digits of the sha256 of its text, and is
the same in every file of one potential (on one line; 032 is an atomic number)::

    # potential functions:9f86d081884c7d65 scaling:... layers:... normalization:... atoms:... ranges:...
                weights.032:... weights.052:...

So a file of another potential is found, and so is an input.nn that has changed. Files of RuNNer and n2p2 have
no such line and nothing is compared; a user who knows better removes it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from bnnp.errors import StaleFileError

_LINE = re.compile(r"#\s*potential((?:\s+[\w.]+:[0-9a-f]{16})+)\s*$")
_MEANING = {
    "functions": "the elements, symmetry functions, cutoff or units of input.nn",
    "scaling": "the scaling of the symmetry functions in input.nn (now {})",
    "layers": "the networks of input.nn (now {})",
    "normalization": "mean_energy, conv_energy or conv_length of input.nn (now {})",
    "atoms": "the free-atom energies of input.nn (now {})",
    "ranges": "the numbers in scaling.data",
}


def checksums_of(parts: Mapping[str, str]) -> dict[str, str]:
    """Digests of the parts of a potential (:func:`parts_of`), by name."""
    return {name: hashlib.sha256(text.encode()).hexdigest()[:16] for name, text in parts.items()}


def checksum_line(checksums: Mapping[str, str]) -> str:
    """The line with its end, as the writers of the files take it; empty without checksums."""
    words = (f"{name}:{digest}" for name, digest in checksums.items())
    return f"# potential {' '.join(words)}\n" if checksums else ""


def read_checksums(path: Path) -> dict[str, str]:
    """Names and digests in the head of a file; empty if it has none. A file that cannot be read is left to
    its own reader."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.strip() and not line.startswith("#"):
                    break
                if match := _LINE.match(line):
                    return dict(word.split(":") for word in match[1].split())
    except OSError:
        pass
    return {}


def demand_one_potential(paths: Iterable[Path], parts: Mapping[str, str]) -> bool:
    """Raise StaleFileError unless all files, and what they hold, belong together; whether any has the line.

    Parameters
    ----------
    paths : iterable of Path
        The files of the potential; those without the line are not compared.
    parts : mapping of str to str
        What input.nn and the files give (:func:`parts_of`).
    """
    found = {path.name: checksums for path in paths if (checksums := read_checksums(path))}
    if not found:
        return False
    first, known = next(iter(found.items()))
    for name, other in found.items():
        if differing := [part for part in known | other if known.get(part) != other.get(part)]:
            raise StaleFileError(
                f"{first} and {name} belong to different potentials: their lines `# potential` differ in "
                f"{', '.join(differing)}. A training was stopped while it wrote them, or they were copied "
                "from two places. Bring the files that were written together, or run mode 2 again (after a "
                "kill: --restart)."
            )
    digests = checksums_of(parts)
    if differing := [part for part in digests if known.get(part) != digests[part]]:
        what = "; ".join(
            _MEANING.get(part, f"the numbers in {part}.data").format(parts[part]) for part in differing
        )
        raise StaleFileError(
            f"input.nn and the files of the potential do not belong together. Changed since mode 2 wrote "
            f"them: {what}. Bring back what they were made with, or run mode 2 again. If the change is "
            "meant, or another program has rounded the numbers, remove the line `# potential` from "
            f"{', '.join(found)}."
        )
    return True
