"""input.nn, the settings file of RuNNer and n2p2.

One keyword per line, followed by its arguments, separated by blanks; lines may have any order. ``#`` and
``!`` begin a comment. Reading gives the arguments as text; :mod:`bnnp.settings` interprets them. Writing is
for a finished potential: only the keywords that a prediction needs, one symmetry function per line, in n2p2's
order.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

from bnnp.charges.electrostatics import Electrostatics, FixedCharges
from bnnp.descriptors.functions import sort_functions
from bnnp.errors import InputError
from bnnp.io.output import replace_file
from bnnp.model import Model
from bnnp.network.architecture import Architecture
from bnnp.units import Normalization

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
        """File and line, for error messages."""
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
            "directory; --input names another file."
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    lines = tuple(_keyword_lines(_text_lines(content), str(path)))
    if not lines:
        raise InputError(f"{path}: has no keyword; see `bnnp --keywords` and inputs/ for examples")
    return lines


def _text_lines(content: bytes) -> list[str]:
    """The lines of a file in UTF-8, or else in Latin-1, which old files have in their comments."""
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
    model: Model,
    architecture: Architecture,
    own: Sequence[str] = (),
    comment: str = "",
) -> None:
    """Write the input.nn of a finished potential, as n2p2 and LAMMPS ``pair_style hdnnp`` read it.

    Parameters
    ----------
    path : str or Path
    model : Model
        Its `architecture` is not used. Free-atom energies of zero are not written.
    architecture : Architecture
        Of all elements: n2p2 does not build different networks for single elements correctly.
    own : sequence of str
        Lines with bnnp's own keywords (``units``, ``ensemble_size``), which n2p2 ignores with a warning.
    comment : str
        First lines of the file.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    elements, cutoff, scaling = model.elements, model.cutoff, model.scaling
    lines = [f"# {line}" for line in comment.splitlines()] + list(own)
    if model.normalization != Normalization():
        lines += [f"{name} {value!r}" for name, value in vars(model.normalization).items()]
    lines += [f"number_of_elements {len(elements)}", "elements " + " ".join(elements)]
    energies = {element: model.atom_energies.get(element, 0.0) for element in elements}
    lines += [f"atom_energy {element} {energy!r}" for element, energy in energies.items() if energy]
    if model.repulsion is not None:
        lines += [f"zbl_repulsion {model.repulsion.inner!r} {model.repulsion.outer!r}"]
    lines += [
        f"cutoff_type {cutoff.type}" + (f" {cutoff.alpha!r}" if cutoff.alpha else ""),
        *_SCALING[scaling.kind],
        f"scale_min_short {scaling.s_min!r}",
        f"scale_max_short {scaling.s_max!r}",
        f"global_hidden_layers_short {len(architecture.nodes)}",
        "global_nodes_short " + " ".join(map(str, architecture.nodes)),
        "global_activation_short " + " ".join(architecture.activations),
        *["normalize_nodes"] * model.normalize_nodes,
    ]
    if model.electrostatics is not None:
        lines += _charge_lines(model.electrostatics)
    if model.fixed_charges is not None:
        lines += _fixed_lines(model.fixed_charges)
    for element in elements:
        functions = sort_functions(model.functions[element])
        lines += [f"symfunction_short {function.definition()}" for function in functions]
    with replace_file(path) as file:
        file.write("\n".join(lines) + "\n")


def _charge_lines(charges: Electrostatics) -> list[str]:
    """The keywords of a potential with networks of the charges."""
    network = next(iter(charges.architecture.values()))
    return [
        f"nnp_type {4 if charges.equilibrated else 3}G-HDNNP",
        *_sum_lines(charges),
        f"global_hidden_layers_electrostatic {len(network.nodes)}",
        "global_nodes_electrostatic " + " ".join(map(str, network.nodes)),
        "global_activation_electrostatic " + " ".join(network.activations),
    ]


def _fixed_lines(charges: FixedCharges) -> list[str]:
    """The keywords of fixed charges: with generation 3, which no program reads without them."""
    values = [f"fixed_charge {element} {float(value)!r}" for element, value in charges.values.items()]
    return ["nnp_type 3G-HDNNP", "electrostatic_type 3", *values, *_sum_lines(charges.electrostatics)]


def _sum_lines(charges: Electrostatics) -> list[str]:
    """The keywords of widths, screening and Ewald sum."""
    screening, rule = charges.screening, charges.ewald
    lines = [f"fixed_gausswidth {element} {width!r}" for element, width in charges.widths.items() if width]
    if screening is not None:
        lines += [f"screen_electrostatics {screening.inner!r} {screening.outer!r} {screening.core}"]
    lines += [f"four_pi_epsilon {charges.four_pi_epsilon!r}"]
    if charges.conv_charge != 1.0:
        lines += [f"conv_charge {charges.conv_charge!r}"]
    if rule.fixed is not None:
        alpha = 1.0 / (sqrt(2.0) * rule.fixed.eta)
        lines += [f"ewald_alpha {alpha!r}", f"ewald_cutoff {rule.fixed.r_cut!r}"]
        lines += [f"ewald_kmax {rule.fixed.k_max}"]
    else:
        numbers = [rule.precision]
        if rule.method == 1:
            numbers += [rule.largest_charge, *([] if rule.r_cut is None else [rule.r_cut])]
        lines += [f"ewald_truncation_error_method {rule.method}"]
        lines += ["ewald_prec " + " ".join(map(repr, numbers))]
    return lines
