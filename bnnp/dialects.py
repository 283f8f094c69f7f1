"""RuNNer's and n2p2's inputs where they disagree, and what bnnp makes of each.

The dialect of a file is RuNNer's if it has one of the keywords RuNNer cannot run without
(``runner_mode``, ``nn_type_short``, ``use_short_nn``) or ``remove_atom_energies``; n2p2's otherwise. It
decides

* whether ``atom_energy`` lines act (n2p2: always; RuNNer: with ``remove_atom_energies``),
* whether prediction computes forces without being asked (n2p2: yes),
* how ``element_nodes_short X 2 20`` is read.

What they call optimizers is translated in :mod:`bnnp.optimizer_words`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bnnp.entries import Entries, mistake
from bnnp.io.input_nn import Entry
from bnnp.keyword_table.arguments import FIT, read_integer
from bnnp.network.architecture import Architecture

RUNNER_MARKS = ("runner_mode", "nn_type_short", "use_short_nn", "remove_atom_energies")


def dialect(entries: Entries) -> str:
    """``RuNNer`` or ``n2p2``."""
    return "RuNNer" if any(entries.given(name) for name in RUNNER_MARKS) else "n2p2"


def atom_energies(entries: Entries, elements: Sequence[str], warnings: list[str]) -> dict[str, float]:
    """Free-atom energies in effect, energy; 0 for every element without.

    All are 0 for ``atom_energy fit``: mode 2 finds them.

    Raises
    ------
    InputError
        A line for an element that is not there, two lines for one, or, with ``remove_atom_energies``,
        none for one.
    """
    if fits_atom_energies(entries):
        return dict.fromkeys(elements, 0.0)
    energies: dict[str, float] = {}
    for entry, (element, energy) in entries.items("atom_energy"):
        if element not in elements:
            raise mistake(entry, f"is given for `{element}`, but the elements are {' '.join(elements)}")
        if element in energies:
            raise mistake(entry, f"is there already for {element}; remove one of the two")
        energies[element] = energy
    missing = [element for element in elements if element not in energies]
    if entries.given("remove_atom_energies"):
        if missing:
            advice = f"has no atom_energy for {', '.join(missing)}. Add a line `atom_energy {missing[0]} E`"
            raise entries.mistake("remove_atom_energies", advice)
        return energies
    if energies and dialect(entries) == "RuNNer":
        warnings.append(
            f"{entries.where('atom_energy')}: the atom_energy lines have NO effect, because "
            "`remove_atom_energies` is not in the "
            "file (RuNNer's rule; n2p2 and LAMMPS would use them). Add remove_atom_energies, or delete the "
            "lines."
        )
        return dict.fromkeys(elements, 0.0)
    if energies and missing:
        warnings.append(
            f"{entries.where('atom_energy')}: no atom_energy for {', '.join(missing)}, 0 is taken (n2p2's "
            "rule)"
        )
    return {element: energies.get(element, 0.0) for element in elements}


def fits_atom_energies(entries: Entries) -> bool:
    """Whether ``atom_energy fit`` is there; it must then be the only line."""
    lines = entries.items("atom_energy")
    fit = next((entry for entry, (element, _) in lines if element == FIT), None)
    if fit is not None and len(lines) > 1:
        raise mistake(fit, "fits the energies of all elements: remove the other atom_energy lines")
    return fit is not None


def forces_of_prediction(entries: Entries) -> tuple[bool, str]:
    """Whether mode 3 computes forces, and why: asked for, needed for something else, or n2p2's habit."""
    for name in ("calculate_forces", "calculate_stress", "check_forces"):
        if entries.given(name):
            return True, entries.where(name)
    if dialect(entries) == "n2p2":
        return True, "default (n2p2 input)"
    return False, "default"


def element_architectures(
    entries: Entries, elements: Sequence[str], common: Architecture, warnings: list[str]
) -> dict[str, Architecture]:
    """The network of each element: the common one, changed by the element_* lines of either dialect.

    Raises
    ------
    InputError
        An element, layer, node or letter that does not exist, or a layer with several activations.
    """
    networks = dict.fromkeys(elements, common)
    for entry in entries.of("element_hidden_layers_short"):
        element, (layers,) = _element(entry, elements), _integers(entry, entry.words[1:], 1)
        if not 1 <= layers <= len(common.nodes):
            raise mistake(
                entry,
                f"has {layers} layers, but must have 1 to {len(common.nodes)} (global_hidden_layers_short)",
            )
        networks[element] = Architecture(
            common.nodes[:layers], (*common.activations[:layers], common.activations[-1])
        )
    for entry in entries.of("element_nodes_short"):
        element = _element(entry, elements)
        nodes = _element_nodes(entries, entry, networks[element].nodes, warnings)
        networks[element] = _replaced(entry, networks[element], nodes=nodes)
    _set_activations(entries, elements, networks)
    return networks


def _element_nodes(
    entries: Entries, entry: Entry, nodes: tuple[int, ...], warnings: list[str]
) -> tuple[int, ...]:
    words = entry.words[1:]
    layers = len(nodes)
    if len(words) == 2 and (layers != 2 or dialect(entries) == "RuNNer"):
        layer, count = _integers(entry, words, 2)
        if not 1 <= layer <= layers:
            raise mistake(entry, f"names layer {layer}, but {entry.words[0]} has hidden layers 1 to {layers}")
        return (*nodes[: layer - 1], count, *nodes[layer:])
    given = _integers(entry, words, layers)
    if given[-1] != nodes[-1]:
        warnings.append(
            f"{entry.where}: {entry.words[0]} gets hidden layers of {' '.join(map(str, given))} nodes as "
            "written; n2p2 itself "
            f"keeps {nodes[-1]} nodes in the last one, so this potential will not run in n2p2 or LAMMPS' "
            "hdnnp"
        )
    return given


def _set_activations(entries: Entries, elements: Sequence[str], networks: dict[str, Architecture]) -> None:
    """Apply the element_activation_short lines to `networks`."""
    single: dict[tuple[str, int], dict[int, str]] = {}  # (element, layer) -> node -> letter
    for entry in entries.of("element_activation_short"):
        element, words = _element(entry, elements), entry.words[1:]
        network = networks[element]
        if len(words) == 3 and words[0].isdigit() and words[1].isdigit():
            layer, node = _integers(entry, words[:2], 2)
            sizes = (*network.nodes, 1)
            if not (1 <= layer <= len(sizes) and 1 <= node <= sizes[layer - 1]):
                raise mistake(
                    entry,
                    f"names node {node} of layer {layer}, but the layers of {element} have {sizes} nodes",
                )
            single.setdefault((element, layer), {})[node] = words[2]
            letters = set(single[element, layer].values())
            if len(letters) > 1:
                raise mistake(
                    entry, f"gives layer {layer} the activations {' '.join(sorted(letters))}; a layer has one"
                )
            continue
        networks[element] = _replaced(entry, network, activations=tuple(words))
    for (element, layer), nodes in single.items():
        network = networks[element]
        size = (*network.nodes, 1)[layer - 1]
        entry = next(
            e for e in entries.of("element_activation_short") if e.words[:2] == (element, str(layer))
        )
        if len(nodes) != size:
            raise mistake(
                entry,
                f"names {len(nodes)} of the {size} nodes of layer {layer}; a layer has one activation: name "
                "all",
            )
        activations = list(network.activations)
        activations[layer - 1] = nodes[1]
        networks[element] = _replaced(entry, network, activations=tuple(activations))


def _replaced(entry: Entry, network: Architecture, **changes: Any) -> Architecture:
    try:
        return replace(network, **changes)
    except ValueError as error:
        raise mistake(entry, f"gives a network that cannot be: {error}") from error


def _element(entry: Entry, elements: Sequence[str]) -> str:
    if not entry.words or entry.words[0] not in elements:
        got = entry.words[0] if entry.words else "nothing"
        raise mistake(entry, f"expects one of the elements {' '.join(elements)} first, got `{got}`")
    return entry.words[0]


def _integers(entry: Entry, words: Sequence[str], count: int) -> tuple[int, ...]:
    if len(words) != count:
        raise mistake(entry, f"expects {count} integers behind the element, got `{' '.join(words)}`")
    try:
        return tuple(read_integer(word) for word in words)
    except ValueError as error:
        raise mistake(entry, str(error)) from None
