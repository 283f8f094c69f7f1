"""The settings in force, each with its unit and its origin, as tables in the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from bnnp.keyword_table.kalman import KALMAN_GROUP
from bnnp.keywords import KEYWORDS, Keyword
from bnnp.modes.keyword_list import format_value
from bnnp.modes.log import Log
from bnnp.settings import Settings
from bnnp.units import Units

_STRUCTURED = {  # shown in the header or in their own tables
    "runner_mode",
    "number_of_elements",
    "elements",
    "cutoff_alpha",
    "global_hidden_layers_short",
    "global_nodes_short",
    "global_activation_short",
}


def report_settings(settings: Settings, log: Log) -> None:
    """Values of all keywords the mode uses, then symmetry functions, networks and free-atom energies."""
    log.section("Settings in force")
    log.table(("keyword", "value", "unit", "origin"), list(_rows(settings)))
    log.section("Symmetry functions")
    log.table(("element", "type", "neighbors", "functions", "r_c"), list(_functions(settings)))
    if settings.architecture:
        log.section("Networks")
        log.table(("element", "layers", "activations", "weights"), list(_networks(settings)))
    if any(settings.atom_energies.values()):
        log.section("Free-atom energies")
        for element, energy in settings.atom_energies.items():
            log.item(element, f"{energy:.10g} {settings.units.energy}")


def _rows(settings: Settings) -> Iterator[tuple[str, str, str, str]]:
    for name, value in settings.values.items():
        keyword = KEYWORDS[name]
        used = settings.mode == 0 or str(settings.mode) in keyword.modes
        idle = name in settings.ignored or (
            keyword.group == KALMAN_GROUP and settings["optimizer"] != "kalman"
        )
        if name in _STRUCTURED or not used or idle:
            continue
        shown = format_value(
            (settings.cutoff.type, settings.cutoff.alpha) if name == "cutoff_type" else value
        )
        yield name, shown, _unit(keyword, settings.units), settings.origins[name]


def _unit(keyword: Keyword, units: Units) -> str:
    names = {
        "length": units.length,
        "energy": units.energy,
        "force": units.force,
        "energy/atom": f"{units.energy}/atom",
    }
    return names.get(keyword.unit, "")


def _functions(settings: Settings) -> Iterator[tuple[str, int, str, int, str]]:
    """One row for each element, type and neighbors."""
    for element in settings.elements:
        functions = settings.functions[element]
        for (type_, neighbors), count in Counter((f.type, f.neighbors) for f in functions).items():
            radii = sorted({f.r_c for f in functions if (f.type, f.neighbors) == (type_, neighbors)})
            shown = f"{radii[0]:g}" if len(radii) == 1 else f"{radii[0]:g} - {radii[-1]:g}"
            yield element, type_, " ".join(neighbors) or "all", count, f"{shown} {settings.units.length}"


def _networks(settings: Settings) -> Iterator[tuple[str, str, str, int]]:
    for element, network in settings.architecture.items():
        n_inputs = len(settings.functions[element])
        layers = "-".join(map(str, network.layer_sizes(n_inputs)))
        yield element, layers, " ".join(network.activations), network.n_weights(n_inputs)
