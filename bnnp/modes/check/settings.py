"""The settings in force, each with its unit and its origin, as tables in the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from bnnp.log import Log
from bnnp.settings.help import format_value
from bnnp.settings.keywords import KEYWORDS, SECTION_OF, Keyword
from bnnp.settings.settings import Settings
from bnnp.units import Units

_STRUCTURED = {  # shown in the header or in their own tables
    "runner_mode",
    "number_of_elements",
    "elements",
    "cutoff_alpha",
    "global_hidden_layers_short",
    "global_nodes_short",
    "global_activation_short",
    "element_hidden_layers_short",
    "element_nodes_short",
    "element_activation_short",
    "symfunction_short",
    "element_symfunction_short",
    "global_symfunction_short",
}


def report_settings(settings: Settings, log: Log) -> None:
    """Values of all keywords the mode uses, then symmetry functions, networks and free-atom energies."""
    log.section("Settings in force")
    log.table(("keyword", "value", "unit", "origin"), list(_rows(settings)))
    log.section("Symmetry functions")
    log.table(("element", "type", "neighbors", "functions", "r_c"), list(_functions(settings)))
    if settings.model.architecture:
        log.section("Networks")
        log.table(("element", "layers", "activations", "weights"), list(_networks(settings)))
    if any(settings.model.atom_energies.values()):
        log.section("Free-atom energies")
        for element, energy in settings.model.atom_energies.items():
            log.item(element, f"{energy:.10g} {settings.model.units.energy}")


def _rows(settings: Settings) -> Iterator[tuple[str, str, str, str]]:
    for name in sorted(SECTION_OF, key=lambda name: KEYWORDS[name].repeatable):
        keyword, value = KEYWORDS[name], settings.value(name)
        used = settings.mode == 0 or str(settings.mode) in keyword.modes
        idle = name in settings.ignored or (
            SECTION_OF[name] == "kalman" and settings.training.optimizer != "kalman"
        )
        if (
            name in _STRUCTURED
            or not used
            or idle
            or (name == "atom_energy" and not settings.fits_atom_energies)
        ):
            continue
        shown = format_value(
            (settings.model.cutoff.type, settings.model.cutoff.alpha) if name == "cutoff_type" else value
        )
        yield name, shown, _unit(keyword, settings.model.units), settings.origins[name]


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
    for element in settings.model.elements:
        functions = settings.model.functions[element]
        for (type_, neighbors), count in Counter((f.type, f.neighbors) for f in functions).items():
            radii = sorted({f.r_c for f in functions if (f.type, f.neighbors) == (type_, neighbors)})
            shown = f"{radii[0]:g}" if len(radii) == 1 else f"{radii[0]:g} - {radii[-1]:g}"
            yield (
                element,
                type_,
                " ".join(neighbors) or "all",
                count,
                f"{shown} {settings.model.units.length}",
            )


def _networks(settings: Settings) -> Iterator[tuple[str, str, str, int]]:
    for element, network in settings.model.architecture.items():
        n_inputs = len(settings.model.functions[element])
        layers = "-".join(map(str, network.layer_sizes(n_inputs)))
        yield element, layers, " ".join(network.activations), network.n_weights(n_inputs)
