"""input.nn, the settings file of RuNNer and n2p2.

One keyword a line, its arguments behind it, separated by blanks; the order of lines is free. Everything
right of ``#`` or ``!`` is comment. Reading yields the words as they stand: what they mean is the matter
of :mod:`bnnp.settings`. Writing is for a finished potential: only what n2p2 and LAMMPS need, symmetry
functions one a line, in n2p2's order.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bnnp.descriptors.cutoffs import Cutoff
from bnnp.descriptors.functions import SymmetryFunction, sort_functions
from bnnp.descriptors.scaling import ScalingScheme
from bnnp.errors import InputError
from bnnp.io.output import replace_file
from bnnp.network.architecture import Architecture

_SCALING = {
    "none": (),
    "scale": ("scale_symmetry_functions",),
    "center": ("center_symmetry_functions",),
    "both": ("scale_symmetry_functions", "center_symmetry_functions"),
    "sigma": ("scale_symmetry_functions_sigma",),
}


@dataclass(frozen=True)
class KeywordLine:
    """One keyword of the file.

    Parameters
    ----------
    name : str
        The keyword as it is spelled in the file.
    words : tuple of str
        Its arguments.
    number : int
        Of the line in the file, from 1.
    text : str
        The whole line, comment included.
    file : str
        Name of the file, as messages show it.
    """

    name: str
    words: tuple[str, ...]
    number: int
    text: str = ""
    file: str = "input.nn"

    @property
    def where(self) -> str:
        """The place as an error message names it."""
        return f"{self.file} line {self.number}"


def read_input_nn(path: str | Path) -> tuple[KeywordLine, ...]:
    """Read all keywords of a file, in file order.

    Raises
    ------
    InputError
        The file is missing, unreadable, not a text file, or empty.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file in {Path.cwd()}. bnnp reads its settings from input.nn in the working "
            "directory; "
            "--input names another file."
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    lines = tuple(_keyword_lines(_text_lines(content), str(path)))
    if not lines:
        raise InputError(f"{path}: has no keyword; see `bnnp --keywords` and inputs/ for examples")
    return lines


def _text_lines(content: bytes) -> list[str]:
    """The lines of a file in UTF-8, or else in Latin-1: old files have comments in that."""
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        encoding = "latin-1"
    else:
        encoding = "utf-8"
    return [line.decode(encoding) for line in content.splitlines()]


def _keyword_lines(lines: Iterable[str], file: str) -> Iterator[KeywordLine]:
    for number, line in enumerate(lines, start=1):
        words = line.replace("!", "#").split("#", 1)[0].split()
        if not all(word.isascii() and word.isprintable() for word in words):
            raise InputError(
                f"{file} line {number}: is not a text file, or `{words[0][:20]!a}` has letters that only "
                "comments may have"
            )
        if words:
            yield KeywordLine(words[0], tuple(words[1:]), number, line.rstrip(), file)


def write_input_nn(
    path: str | Path,
    *,
    elements: tuple[str, ...],
    functions: Mapping[str, tuple[SymmetryFunction, ...]],
    cutoff: Cutoff,
    scaling: ScalingScheme,
    architecture: Architecture,
    normalize_nodes: bool = False,
    atom_energies: Mapping[str, float] | None = None,
    normalization: tuple[float, float, float] | None = None,
    units: str = "",
    ensemble_size: int = 1,
    comment: str = "",
) -> None:
    """Write the input.nn of a finished potential, as n2p2 and LAMMPS ``pair_style hdnnp`` read it.

    Parameters
    ----------
    elements : tuple of str
        Sorted by atomic number.
    functions : mapping of element to its symmetry functions
    architecture : Architecture
        Of every element: n2p2 does not build other networks for single elements correctly.
    atom_energies : mapping of element to float, energy
        Those in effect; n2p2 adds each one it finds, so zeros are left out.
    normalization : (float, float, float), optional
        n2p2's mean_energy, conv_energy, conv_length, if they are in effect.
    units : str
        Value of bnnp's keyword ``units`` if it is not the default; n2p2 warns of it and goes on.
    ensemble_size : int
        Networks of bnnp's ensemble; n2p2 uses the first.
    comment : str
        First lines of the file.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    energies = {element: energy for element, energy in (atom_energies or {}).items() if energy}
    lines = [f"# {line}" for line in comment.splitlines()]
    lines += [f"units {units}"] if units else []
    lines += [f"ensemble_size {ensemble_size}"] if ensemble_size > 1 else []
    for name, value in zip(("mean_energy", "conv_energy", "conv_length"), normalization or (), strict=False):
        lines.append(f"{name} {value!r}")
    lines += [f"number_of_elements {len(elements)}", "elements " + " ".join(elements)]
    lines += [f"atom_energy {element} {energies[element]!r}" for element in elements if element in energies]
    lines += [f"cutoff_type {cutoff.type}" + (f" {cutoff.alpha!r}" if cutoff.alpha else "")]
    lines += [
        *_SCALING[scaling.kind],
        f"scale_min_short {scaling.s_min!r}",
        f"scale_max_short {scaling.s_max!r}",
    ]
    lines += [
        f"global_hidden_layers_short {len(architecture.nodes)}",
        "global_nodes_short " + " ".join(map(str, architecture.nodes)),
        "global_activation_short " + " ".join(architecture.activations),
    ]
    lines += ["normalize_nodes"] * normalize_nodes
    for element in elements:
        lines += [
            f"symfunction_short {function.definition()}" for function in sort_functions(functions[element])
        ]
    with replace_file(path) as file:
        file.write("\n".join(lines) + "\n")
