"""The model an input.nn describes: elements, symmetry functions, cutoff, scaling, networks, dropout.

Each function puts a few keywords together and checks them against each other; a mistake is an InputError
with the line to mend.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from operator import attrgetter

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
from bnnp.dialects import element_architectures
from bnnp.entries import Entries, mistake
from bnnp.errors import InputError
from bnnp.io.input_nn import Entry
from bnnp.network.architecture import Architecture
from bnnp.units import Normalization

HIGHEST_NUMBER = 102  # H to No, as in RuNNer and n2p2
HIGH_DROPOUT = 0.5  # from here on a drop probability may be a keep probability by mistake
FUNCTION_KEYWORDS = ("symfunction_short", "element_symfunction_short", "global_symfunction_short")

Functions = dict[str, tuple[SymmetryFunction, ...]]


def read_elements(entries: Entries) -> tuple[str, ...]:
    """Element symbols, sorted by atomic number."""
    symbols: tuple[str, ...] = entries.value("elements")
    for symbol in symbols:
        if not 1 <= atomic_numbers.get(symbol, 0) <= HIGHEST_NUMBER:
            raise entries.mistake("elements", f"`{symbol}` is not an element symbol (H to No)")
    if len(set(symbols)) != len(symbols):
        raise entries.mistake("elements", "names an element twice")
    count = entries.value("number_of_elements")
    if len(symbols) != count:
        line = entries.of("number_of_elements")[0].line
        text = f"names {len(symbols)} elements, but number_of_elements in line {line} is {count}"
        raise entries.mistake("elements", text)
    return tuple(sorted(symbols, key=atomic_numbers.__getitem__))


def read_functions(entries: Entries, elements: tuple[str, ...]) -> Functions:
    """Symmetry functions of each element, expanded, in n2p2's order, no two alike."""
    found: dict[str, dict[SymmetryFunction, SymmetryFunction]] = {element: {} for element in elements}
    lines = [entry for keyword in FUNCTION_KEYWORDS for entry in entries.of(keyword)]
    for entry in sorted(lines, key=attrgetter("line")):  # of two alike the second is the one to remove
        for function in _expand(entry, elements):
            for symbol in (function.element, *function.neighbors):
                if symbol not in elements:
                    raise mistake(entry, f"names {symbol}, but the elements are {' '.join(elements)}")
            former = found[function.element].get(function)
            if former is not None:
                text = f"defines `{function.definition()}`, which line {former.line} has already"
                raise mistake(entry, text)
            found[function.element][function] = replace(function, line=entry.line)
    for element in elements:
        if not found[element]:
            raise InputError(
                f"{entries.file}: element {element} has no symmetry function. Add lines such as "
                f"`symfunction_short {element} 2 {element} 0.01 0.0 12.0`."
            )
    return {element: sort_functions(found[element].values()) for element in elements}


def _expand(entry: Entry, elements: tuple[str, ...]) -> Iterator[SymmetryFunction]:
    """The functions of one line."""
    try:
        if entry.name.startswith("global"):
            yield from expand_global(entry.words, elements)
        elif entry.name.startswith("element"):
            yield from expand_element(entry.words, elements)
        else:
            yield parse_function(entry.words)
    except ValueError as error:
        raise mistake(entry, f"is wrong: {error}") from error


def read_cutoff(entries: Entries) -> Cutoff:
    """Cutoff function; alpha stands behind cutoff_type (n2p2) or is a keyword of its own (RuNNer)."""
    number, inline = entries.value("cutoff_type")
    alpha = entries.value("cutoff_alpha")
    if inline is not None and entries.given("cutoff_alpha") and inline != alpha:
        line = entries.of("cutoff_type")[0].line
        text = f"is {alpha}, but cutoff_type in line {line} says {inline}; remove one"
        raise entries.mistake("cutoff_alpha", text)
    try:
        return Cutoff(number, alpha if inline is None else inline)
    except ValueError as error:
        source = "cutoff_type" if entries.given("cutoff_type") else "cutoff_alpha"
        raise entries.mistake(source, str(error)) from error


def read_normalization(entries: Entries) -> Normalization:
    """n2p2's header: all three keywords or none."""
    names = ("mean_energy", "conv_energy", "conv_length")
    given = [name for name in names if entries.given(name)]
    if given and len(given) < len(names):
        missing = " and ".join(name for name in names if name not in given)
        text = f"needs {missing}, too: the normalization takes all three keywords or none"
        raise entries.mistake(given[0], text)
    return Normalization(*(entries.value(name) for name in names))


def read_scaling(entries: Entries, warnings: list[str]) -> ScalingScheme:
    """Scaling of the symmetry functions."""
    scale = entries.given("scale_symmetry_functions")
    center = entries.given("center_symmetry_functions")
    sigma = entries.given("scale_symmetry_functions_sigma")
    if sigma and scale:
        line = entries.where("scale_symmetry_functions_sigma")
        warnings.append(f"{line}: has no effect beside scale_symmetry_functions, which n2p2 prefers")
    elif sigma and center:
        text = "is part of scale_symmetry_functions_sigma; remove one of the two"
        raise entries.mistake("center_symmetry_functions", text)
    chosen = {"both": scale and center, "scale": scale, "center": center, "sigma": sigma, "none": True}
    kind = next(kind for kind, wanted in chosen.items() if wanted)
    ends = ("scale_min_short_atomic", "scale_max_short_atomic")
    try:
        return ScalingScheme(kind, *(entries.value(name) for name in ends))
    except ValueError as error:
        raise entries.mistake(next(name for name in ends if entries.given(name)), str(error)) from error


def read_architecture(
    entries: Entries, elements: tuple[str, ...], warnings: list[str]
) -> dict[str, Architecture]:
    """Network of each element; none if the file (of mode 1) does not describe it."""
    if not entries.given("global_nodes_short") or not entries.given("global_activation_short"):
        return {}
    nodes, letters = entries.value("global_nodes_short"), entries.value("global_activation_short")
    layers = entries.value("global_hidden_layers_short") or len(nodes)
    if len(nodes) != layers:
        raise entries.mistake("global_nodes_short", f"has {len(nodes)} numbers for {layers} hidden layers")
    if len(letters) != layers + 1:
        text = f"has {len(letters)} letters, expected {layers + 1}: each hidden layer and the output"
        raise entries.mistake("global_activation_short", text)
    try:
        common = Architecture(tuple(nodes), tuple(letters))
    except ValueError as error:
        raise entries.mistake("global_activation_short", f"is wrong: {error}") from error
    return element_architectures(entries, elements, common, warnings)


def read_dropout_rate(entries: Entries, architecture: Mapping[str, Architecture]) -> tuple[float, ...] | str:
    """Drop probability of every hidden layer, or ``auto``; high ones, perhaps meant as keep probabilities,
    are refused."""
    rates: tuple[float, ...] | str = entries.value("dropout_rate")
    if isinstance(rates, str):
        return rates
    layers = max((len(network.nodes) for network in architecture.values()), default=len(rates))
    if len(rates) not in (1, layers):
        text = f"has {len(rates)} numbers for {layers} hidden layers; give one, or one a layer"
        raise entries.mistake("dropout_rate", text)
    highest = {"dropout_rate": max(rates), "dropout_rate_input": entries.value("dropout_rate_input")}
    for name, rate in highest.items():
        if rate >= HIGH_DROPOUT and not entries.given("allow_high_dropout"):
            text = (
                f"is {rate}: the chance to DROP a node, not to keep it. If so meant, add `allow_high_dropout`"
            )
            raise entries.mistake(name, text)
    return rates * layers if len(rates) == 1 else rates


def read_group_weights(entries: Entries) -> tuple[tuple[str, float, float, float], ...]:
    """Labels with their weights of energies, forces and stresses, no label twice."""
    found: dict[str, tuple[str, float, float, float]] = {}
    for entry, value in entries.items("group_weight"):
        if value[0] in found:
            raise mistake(entry, f"is there already for {value[0]}; remove one of the two")
        found[value[0]] = value
    return tuple(found.values())


def read_transfer_map(entries: Entries) -> tuple[tuple[str, str], ...]:
    """Pairs of a new element and the old one it starts from, no new one twice."""
    found: dict[str, str] = {}
    for entry, words in entries.items("transfer_map"):
        if len(words) % 2:
            raise mistake(entry, "expects pairs of elements, the new one first, such as `transfer_map Ge Si`")
        for new, old in zip(words[::2], words[1::2], strict=True):
            if new in found:
                raise mistake(entry, f"names {new} twice; it can start from one element only")
            found[new] = old
    return tuple(found.items())
