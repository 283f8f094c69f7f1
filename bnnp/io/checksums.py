"""The line ``# potential`` of scaling.data, uncertainty.data and weights files, which identifies a potential.

It lists everything a prediction depends on, each with the first 16 digits of the sha256 of its text, and is
the same in every file of a potential (on one line; 032 is an atomic number)::

    # potential functions:9f86d081884c7d65 scaling:... layers:... normalization:... atoms:... ranges:...
                weights.032:... weights.052:...

A file of another potential and a changed input.nn are recognized by it. Files of RuNNer and n2p2 have no
such line and are not compared; neither are those from which a user has removed it.
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
    "repulsion": "zbl_repulsion of input.nn (now {})",
    "charges": "the charges: input.nn, weightse or hardness files",
    "ranges": "the numbers in scaling.data",
}


def checksums_of(parts: Mapping[str, str]) -> dict[str, str]:
    """First 16 digits of the sha256 of each part of a potential (``PotentialFiles.parts``)."""
    return {name: hashlib.sha256(text.encode()).hexdigest()[:16] for name, text in parts.items()}


def checksum_line(checksums: Mapping[str, str]) -> str:
    """The line with its line break, as the writers of the files take it; empty without checksums."""
    pairs = (f"{name}:{digest}" for name, digest in checksums.items())
    return f"# potential {' '.join(pairs)}\n" if checksums else ""


def read_checksums(path: Path) -> dict[str, str]:
    """Names and digests in the header of a file; empty if it has none or cannot be read."""
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
    """Whether any file has the line; StaleFileError unless all files and input.nn are of one potential.

    Parameters
    ----------
    paths : iterable of Path
        The files of the potential; those without the line are not compared.
    parts : mapping of str to str
        What input.nn and the files contain now (``PotentialFiles.parts``).
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
    digests = {"ranges": known.get("ranges")} | checksums_of(parts)  # ranges: not read if nothing is scaled
    if differing := [part for part in known | digests if known.get(part) != digests.get(part)]:
        what = "; ".join(_meaning(part).format(parts.get(part, "none")) for part in differing)
        raise StaleFileError(
            f"input.nn and the files of the potential do not belong together. Changed since mode 2 wrote "
            f"them: {what}. Bring back what they were made with, or run mode 2 again. If the change is "
            "meant, or another program has rounded the numbers, remove the line `# potential` from "
            f"{', '.join(found)}."
        )
    return True


def _meaning(part: str) -> str:
    if part.startswith("weights"):
        return f"the numbers in {part}.data"
    return _MEANING.get(part, f"`{part}`, which this version of bnnp does not know")
