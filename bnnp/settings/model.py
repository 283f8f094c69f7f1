"""The model an input.nn describes: elements, symmetry functions, cutoff, scaling, networks.

Each function combines a few keywords and checks them against each other; a mistake is an InputError with the
line to correct.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any

from ase.data import atomic_numbers

from bnnp.descriptors.cutoffs import Cutoff
from bnnp.descriptors.functions import (
    SymmetryFunction,
    expand_element,
    expand_global,
    parse_function,
    sort_functions,
)
from bnnp.descriptors.scaling import ScalingScheme
from bnnp.errors import InputError
from bnnp.io.input_nn import KeywordLine
from bnnp.messages import count
from bnnp.model import Model
from bnnp.network.architecture import Architecture
from bnnp.repulsion import Repulsion
from bnnp.settings.arguments import FIT, read_integer
from bnnp.settings.dialects import dialect
from bnnp.settings.electrostatics import read_electrostatics, read_fixed_charges
from bnnp.settings.keyword_file import KeywordFile, mistake
from bnnp.units import UNITS, Normalization

HIGHEST_NUMBER = 102  # H to No, as in RuNNer and n2p2
FUNCTION_KEYWORDS, CHARGE_FUNCTIONS = (
    (f"symfunction_{kind}", f"element_symfunction_{kind}", f"global_symfunction_{kind}")
    for kind in ("short", "electrostatic")
)

Functions = dict[str, tuple[SymmetryFunction, ...]]


def read_model(file: KeywordFile, warnings: list[str]) -> Model:
    """The whole model; new `warnings` are appended.

    Raises
    ------
    InputError
        Keywords that contradict each other, with the line to correct.
    """
    elements = read_elements(file)
    functions = read_functions(file, elements)
    of_charges = read_architecture(file, elements, warnings, "electrostatic")
    electrostatics = read_electrostatics(file, elements, of_charges)
    if electrostatics is not None and functions[elements[0]]:
        demand_same_functions(file, functions)
    return Model(
        architecture=read_architecture(file, elements, warnings),
        functions=functions,
        cutoff=read_cutoff(file),
        atom_energies=atom_energies(file, elements, warnings),
        normalization=read_normalization(file),
        repulsion=read_repulsion(file, functions),
        electrostatics=electrostatics,
        fixed_charges=read_fixed_charges(file, elements, warnings),
        scaling=read_scaling(file, warnings),
        normalize_nodes=file.value("normalize_nodes"),
        units=UNITS[file.value("units")],
    )


def read_elements(file: KeywordFile) -> tuple[str, ...]:
    """Element symbols, sorted by atomic number."""
    if not file.given("elements"):
        raise InputError(
            f"{file.path}: `elements` is missing, the one keyword every mode needs: add a line with the "
            "symbols of the elements, such as `elements Ge Te`"
        )
    symbols: tuple[str, ...] = file.value("elements")
    for symbol in symbols:
        if not 1 <= atomic_numbers.get(symbol, 0) <= HIGHEST_NUMBER:
            raise file.mistake("elements", f"`{symbol}` is not an element symbol (H to No)")
    if len(set(symbols)) != len(symbols):
        raise file.mistake("elements", "names an element twice")
    wanted = file.value("number_of_elements")
    if wanted is not None and len(symbols) != wanted:
        number = file.of("number_of_elements")[0].number
        text = f"names {count(len(symbols), 'element')}, but number_of_elements in line {number} is {wanted}"
        raise file.mistake("elements", text)
    return tuple(sorted(symbols, key=atomic_numbers.__getitem__))


def read_functions(file: KeywordFile, elements: tuple[str, ...]) -> Functions:
    """Symmetry functions of each element, expanded, in n2p2's order; two equal ones are a mistake.

    None of any element where the file has none: mode 1 will choose them.
    """
    found: dict[str, dict[SymmetryFunction, SymmetryFunction]] = {element: {} for element in elements}
    lines = [line for keyword in FUNCTION_KEYWORDS for line in file.of(keyword)]
    for line in sorted(lines, key=attrgetter("number")):  # of two equal ones the second is the mistake
        for function in _expand(line, elements):
            for symbol in (function.element, *function.neighbors):
                if symbol not in elements:
                    raise mistake(line, f"names {symbol}, but the elements are {' '.join(elements)}")
            former = found[function.element].get(function)
            if former is not None:
                text = f"defines `{function.definition()}`, which line {former.line} has already"
                raise mistake(line, text)
            found[function.element][function] = replace(function, line=line.number)
    for element in elements if lines else ():
        if not found[element]:
            raise InputError(
                f"{file.path}: element {element} has no symmetry function. Add lines such as "
                f"`symfunction_short {element} 2 {element} 0.01 0.0 12.0`."
            )
    return {element: sort_functions(found[element].values()) for element in elements}


def demand_same_functions(file: KeywordFile, functions: Functions) -> None:
    """Raise InputError unless the functions of RuNNer's ``symfunction_electrostatic`` are all `functions`."""
    lines = [line for keyword in CHARGE_FUNCTIONS for line in file.of(keyword)]
    own = {function: line for line in lines for function in _expand(line, tuple(functions))}
    known = {function for each in functions.values() for function in each}
    reason = "in bnnp the networks of the charges have the functions of the others (symfunction_short)"
    for function, line in own.items():
        if function not in known:
            text = f"defines `{function.definition()}`, which symfunction_short has not: {reason}"
            raise mistake(line, text)
    for function in known if own else ():
        if function not in own:
            text = f"has no line for `{function.definition()}` (line {function.line}): {reason}"
            raise mistake(lines[0], text)


def _expand(line: KeywordLine, elements: tuple[str, ...]) -> Iterator[SymmetryFunction]:
    """The functions of one line."""
    try:
        if line.name.startswith("global"):
            yield from expand_global(line.words, elements)
        elif line.name.startswith("element"):
            yield from expand_element(line.words, elements)
        else:
            yield parse_function(line.words)
    except ValueError as error:
        raise mistake(line, f"is wrong: {error}") from error


def read_cutoff(file: KeywordFile) -> Cutoff:
    """Cutoff function; alpha follows cutoff_type (n2p2) or is a keyword of its own (RuNNer)."""
    kind, inline = file.value("cutoff_type")
    alpha = file.value("cutoff_alpha")
    if inline is not None and file.given("cutoff_alpha") and inline != alpha:
        number = file.of("cutoff_type")[0].number
        text = f"is {alpha}, but cutoff_type in line {number} says {inline}; remove one"
        raise file.mistake("cutoff_alpha", text)
    try:
        return Cutoff(kind, alpha if inline is None else inline)
    except ValueError as error:
        source = "cutoff_type" if file.given("cutoff_type") else "cutoff_alpha"
        raise file.mistake(source, str(error)) from error


def read_normalization(file: KeywordFile) -> Normalization:
    """n2p2's header: all three keywords or none."""
    names = ("mean_energy", "conv_energy", "conv_length")
    given = [name for name in names if file.given(name)]
    if given and len(given) < len(names):
        missing = " and ".join(name for name in names if name not in given)
        text = f"needs {missing}, too: the normalization takes all three keywords or none"
        raise file.mistake(given[0], text)
    return Normalization(*(file.value(name) for name in names))


def read_repulsion(file: KeywordFile, functions: Functions) -> Repulsion | None:
    """The repulsion of close atoms; its outer radius must be within the cutoff of the neighbor lists."""
    radii: tuple[float, float] | None = file.value("zbl_repulsion")
    if radii is None:
        return None
    longest = max((function.r_c for own in functions.values() for function in own), default=radii[1])
    if radii[1] > longest:
        text = f"ends at {radii[1]:g}, beyond the longest cutoff of the symmetry functions, {longest:g}"
        raise file.mistake("zbl_repulsion", text)
    try:
        return Repulsion(radii[0], radii[1], UNITS[file.value("units")])
    except ValueError as error:
        raise file.mistake("zbl_repulsion", str(error)) from error


def read_scaling(file: KeywordFile, warnings: list[str]) -> ScalingScheme:
    """Scaling of the symmetry functions."""
    scale = file.given("scale_symmetry_functions")
    center = file.given("center_symmetry_functions")
    sigma = file.given("scale_symmetry_functions_sigma")
    if sigma and scale:
        where = file.where("scale_symmetry_functions_sigma")
        warnings.append(f"{where}: has no effect beside scale_symmetry_functions, which n2p2 prefers")
    elif sigma and center:
        text = "is part of scale_symmetry_functions_sigma; remove one of the two"
        raise file.mistake("center_symmetry_functions", text)
    chosen = {"both": scale and center, "scale": scale, "center": center, "sigma": sigma, "none": True}
    kind = next(kind for kind, wanted in chosen.items() if wanted)
    ends = ("scale_min_short_atomic", "scale_max_short_atomic")
    try:
        return ScalingScheme(kind, *(file.value(name) for name in ends))
    except ValueError as error:
        raise file.mistake(next(name for name in ends if file.given(name)), str(error)) from error


def atom_energies(file: KeywordFile, elements: Sequence[str], warnings: list[str]) -> dict[str, float]:
    """Free-atom energies in effect, in the energy unit of the file; 0 for elements without a line.

    All are 0 with ``atom_energy fit``, as mode 2 determines them.

    Raises
    ------
    InputError
        A line for an element that is not there, two lines for one, or, with ``remove_atom_energies``,
        none for one.
    """
    if fits_atom_energies(file):
        return dict.fromkeys(elements, 0.0)
    energies: dict[str, float] = {}
    for line, (element, energy) in file.items("atom_energy"):
        if element not in elements:
            raise mistake(line, f"is given for `{element}`, but the elements are {' '.join(elements)}")
        if element in energies:
            raise mistake(line, f"is there already for {element}; remove one of the two")
        energies[element] = energy
    missing = [element for element in elements if element not in energies]
    if file.given("remove_atom_energies"):
        if missing:
            advice = f"has no atom_energy for {', '.join(missing)}. Add a line `atom_energy {missing[0]} E`"
            raise file.mistake("remove_atom_energies", advice)
        return energies
    if energies and dialect(file) == "RuNNer":
        warnings.append(
            f"{file.where('atom_energy')}: the atom_energy lines have NO effect, because "
            "`remove_atom_energies` is not in the file (RuNNer's rule; n2p2 and LAMMPS would use them). Add "
            "remove_atom_energies, or delete the lines."
        )
        return dict.fromkeys(elements, 0.0)
    if energies and missing:
        warnings.append(
            f"{file.where('atom_energy')}: no atom_energy for {', '.join(missing)}, 0 is taken (n2p2's rule)"
        )
    return {element: energies.get(element, 0.0) for element in elements}


def fits_atom_energies(file: KeywordFile) -> bool:
    """Whether ``atom_energy fit`` is given; it must then be the only line."""
    lines = file.items("atom_energy")
    fit = next((line for line, (element, _) in lines if element == FIT), None)
    if fit is not None and len(lines) > 1:
        raise mistake(fit, "fits the energies of all elements: remove the other atom_energy lines")
    return fit is not None


def read_architecture(
    file: KeywordFile, elements: tuple[str, ...], warnings: list[str], kind: str = "short"
) -> dict[str, Architecture]:
    """Network of each element; `kind` is the last word of the keywords, ``short`` or ``electrostatic``."""
    nodes, letters = file.value(f"global_nodes_{kind}"), file.value(f"global_activation_{kind}")
    layers = len(nodes)
    if file.given(f"global_hidden_layers_{kind}"):
        layers = file.value(f"global_hidden_layers_{kind}")
    if not file.given(f"global_nodes_{kind}"):
        nodes = nodes[:1] * layers
    if not file.given(f"global_activation_{kind}"):
        letters = (*letters[:1] * layers, letters[-1])
    if len(nodes) != layers:
        raise file.mistake(
            f"global_nodes_{kind}", f"has {count(len(nodes), 'number')} for {count(layers, 'hidden layer')}"
        )
    if len(letters) != layers + 1:
        text = f"has {count(len(letters), 'letter')}, expected {layers + 1}: each hidden layer and the output"
        raise file.mistake(f"global_activation_{kind}", text)
    try:
        common = Architecture(tuple(nodes), tuple(letters))
    except ValueError as error:
        raise file.mistake(f"global_activation_{kind}", f"is wrong: {error}") from error
    return element_architectures(file, elements, common, warnings, kind)


def element_architectures(
    file: KeywordFile, elements: Sequence[str], common: Architecture, warnings: list[str], kind: str
) -> dict[str, Architecture]:
    """The network of each element: the common one, changed by the element_* lines of either dialect.

    Raises
    ------
    InputError
        An element, layer, node or letter that does not exist, or a layer with several activations.
    """
    networks = dict.fromkeys(elements, common)
    for line in file.of(f"element_hidden_layers_{kind}"):
        element, (layers,) = _element(line, elements), _integers(line, line.words[1:], 1)
        if not 1 <= layers <= len(common.nodes):
            most = f"{len(common.nodes)} (global_hidden_layers_{kind})"
            text = f"has {count(layers, 'layer')}, but must have 1 to {most}"
            raise mistake(line, text)
        letters = (*common.activations[:layers], common.activations[-1])
        networks[element] = Architecture(common.nodes[:layers], letters)
    for line in file.of(f"element_nodes_{kind}"):
        element = _element(line, elements)
        nodes = _element_nodes(file, line, networks[element].nodes, warnings)
        networks[element] = _replaced(line, networks[element], nodes=nodes)
    _set_activations(file, elements, networks, kind)
    return networks


def _element_nodes(
    file: KeywordFile, line: KeywordLine, nodes: tuple[int, ...], warnings: list[str]
) -> tuple[int, ...]:
    """Nodes of the hidden layers by RuNNer's form (one layer) or n2p2's (all layers) of a line."""
    words, layers = line.words[1:], len(nodes)
    if len(words) == 2 and (layers != 2 or dialect(file) == "RuNNer"):
        layer, count = _integers(line, words, 2)
        if not 1 <= layer <= layers:
            raise mistake(line, f"names layer {layer}, but {line.words[0]} has hidden layers 1 to {layers}")
        return (*nodes[: layer - 1], count, *nodes[layer:])
    given = _integers(line, words, layers)
    if given[-1] != nodes[-1]:
        warnings.append(
            f"{line.where}: {line.words[0]} gets hidden layers of {' '.join(map(str, given))} nodes as "
            f"written; n2p2 itself keeps {nodes[-1]} nodes in the last one, so this potential will not run "
            "in n2p2 or LAMMPS' hdnnp"
        )
    return given


def _set_activations(
    file: KeywordFile, elements: Sequence[str], networks: dict[str, Architecture], kind: str
) -> None:
    """Apply the lines element_activation_... of this kind to `networks`."""
    single: dict[tuple[str, int], dict[int, str]] = {}  # (element, layer) -> node -> letter
    for line in file.of(f"element_activation_{kind}"):
        element, words = _element(line, elements), line.words[1:]
        network = networks[element]
        if len(words) == 3 and words[0].isdigit() and words[1].isdigit():
            layer, node = _integers(line, words[:2], 2)
            sizes = (*network.nodes, 1)
            if not (1 <= layer <= len(sizes) and 1 <= node <= sizes[layer - 1]):
                text = f"names node {node} of layer {layer}, but the layers of {element} have {sizes} nodes"
                raise mistake(line, text)
            single.setdefault((element, layer), {})[node] = words[2]
            letters = set(single[element, layer].values())
            if len(letters) > 1:
                text = f"gives layer {layer} the activations {' '.join(sorted(letters))}; a layer has one"
                raise mistake(line, text)
            continue
        networks[element] = _replaced(line, network, activations=tuple(words))
    for (element, layer), nodes in single.items():
        network = networks[element]
        size = (*network.nodes, 1)[layer - 1]
        line = next(e for e in file.of(f"element_activation_{kind}") if e.words[:2] == (element, str(layer)))
        if len(nodes) != size:
            owner = f"the {count(size, 'node')} of layer {layer}"
            text = f"names {len(nodes)} of {owner}; a layer has one activation"
            raise mistake(line, f"{text}: name all")
        activations = list(network.activations)
        activations[layer - 1] = nodes[1]
        networks[element] = _replaced(line, network, activations=tuple(activations))


def _replaced(line: KeywordLine, network: Architecture, **changes: Any) -> Architecture:
    try:
        return replace(network, **changes)
    except ValueError as error:
        raise mistake(line, f"gives a network that cannot be: {error}") from error


def _element(line: KeywordLine, elements: Sequence[str]) -> str:
    if not line.words or line.words[0] not in elements:
        got = line.words[0] if line.words else "nothing"
        raise mistake(line, f"expects one of the elements {' '.join(elements)} first, got `{got}`")
    return line.words[0]


def _integers(line: KeywordLine, words: Sequence[str], count: int) -> tuple[int, ...]:
    if len(words) != count:
        raise mistake(line, f"expects {count} integers behind the element, got `{' '.join(words)}`")
    try:
        return tuple(read_integer(word) for word in words)
    except ValueError as error:
        raise mistake(line, str(error)) from None
