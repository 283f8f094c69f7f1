"""The ranges of the symmetry functions over all structures, and which functions are of no use.

Rows are read back from the file in pieces of fixed size, distributed over the ranks, so that a continued run
reports on all structures, too. Ranges are merged in order and do not depend on the number of ranks;
correlations are sums over the ranks and depend on it in the last digit. A rank has one piece and one matrix
for each element in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np

from bnnp import messages, parallel
from bnnp.descriptors.functions import SymmetryFunction
from bnnp.descriptors.pruning import Twin, find_twins
from bnnp.descriptors.scaling import NEGLIGIBLE, SMALL
from bnnp.descriptors.statistics import Comoments, Moments
from bnnp.io.descriptor_file import DescriptorFile
from bnnp.log import Log
from bnnp.messages import count
from bnnp.settings.settings import Settings

PIECE = 2**24  # bytes read at a time
DIVIDING = ("scale", "both", "sigma")  # scalings that divide by the range: mode 2 stops if there is none
LARGE = 1000.0  # RuNNer stops at function values of this size
SHOWN = 3  # functions named in a warning
ALIKE = 0.999  # |correlation| above which a function repeats another
FEW = 10  # atoms below which functions are alike by chance


class Ranges(NamedTuple):
    """Statistics of the functions of one element over all atoms."""

    moments: Moments
    comoments: Comoments

    @property
    def twins(self) -> list[Twin]:
        """Functions that repeat an earlier one."""
        if self.moments.count < FEW:
            return []
        constant = np.flatnonzero(self.moments.scaling().constant).tolist()
        return find_twins(self.comoments.correlation(), ALIKE, constant)


def measure_ranges(file: DescriptorFile) -> dict[str, Ranges]:
    """Statistics of every function of every element over all atoms in the file.

    Every rank calls this; the moments are those of all ranks on the root only.
    """
    width = {element: len(file.definitions[element]) for element in file.elements}
    rows = {element: max(1, PIECE // (8 * width[element])) for element in file.elements}
    tasks = [
        (element, start)
        for element in file.elements
        for start in range(0, len(file.descriptors(element)), rows[element])
    ]
    mine: dict[int, Moments] = {}
    together = {element: Comoments.nothing(width[element]) for element in file.elements}
    for number, (element, start) in enumerate(tasks):
        if number % parallel.size() == parallel.rank():
            values = file.descriptors(element)[start : start + rows[element]]
            mine[number] = Moments.of(values)
            together[element] = together[element].merge(Comoments.of(values))
    pieces = {number: moments for share in parallel.gather(mine) for number, moments in share.items()}
    ranges = {}
    for element in file.elements:
        own = (pieces[k] for k in sorted(pieces) if tasks[k][0] == element)
        moments = reduce(Moments.merge, own, Moments.nothing(width[element]))
        ranges[element] = Ranges(moments, _over_ranks(together[element]))
    return ranges


def _over_ranks(share: Comoments) -> Comoments:
    """Sums over the atoms of all ranks, on every rank."""
    count = int(parallel.sum_array(np.array([share.count]))[0])
    mean = parallel.sum_array(share.count * share.mean) / max(count, 1)
    return Comoments(count, mean, parallel.sum_array(share.about(mean)))


def report_ranges(ranges: dict[str, Ranges], settings: Settings, log: Log) -> None:
    """One line for each function, then warnings about some of them."""
    log.section("Symmetry functions, all structures")
    if not parallel.is_root():
        return
    rows = []
    constant: list[tuple[SymmetryFunction, float]] = []
    nearly: list[SymmetryFunction] = []
    for element, (moments, _) in ranges.items():
        if moments.count == 0:
            continue
        scaling = moments.scaling()
        never_varies, hardly_varies = scaling.constant, scaling.nearly_constant
        for k, function in enumerate(settings.model.functions[element]):
            columns = (moments.minimum, moments.maximum, moments.mean, moments.sigma)
            notes = "constant" * bool(never_varies[k]) or "large" * bool(moments.maximum[k] >= LARGE)
            notes = notes or "nearly constant" * bool(hardly_varies[k])
            numbers = [f"{column[k]:.3e}" for column in columns]
            rows.append((k + 1, *numbers, f"{function.definition()} {notes}".strip()))
            if never_varies[k]:
                constant.append((function, float(moments.mean[k])))
            elif hardly_varies[k]:
                nearly.append(function)
    log.table(("no", "min", "max", "mean", "sigma", "symfunction_short"), rows)
    _warn_constant(constant, settings, log)
    _warn_nearly_constant(nearly, settings, log)
    n_large = sum(int((moments.maximum >= LARGE).sum()) for moments, _ in ranges.values())
    if n_large:
        log.warn(
            f"{count(n_large, 'function reaches', 'functions reach')} {LARGE:g}, which RuNNer would refuse; "
            "check eta, r_s and the units"
        )
    _report_twins(ranges, settings, log)


def _report_twins(ranges: dict[str, Ranges], settings: Settings, log: Log) -> None:
    """Functions that repeat another, each with the one it repeats."""
    rows = []
    for element, each in ranges.items():
        names = [function.definition() for function in settings.model.functions[element]]
        for k, other, correlation in each.twins:
            rows.append((k + 1, f"{correlation:+.6f}", other + 1, f"{names[k]} and {names[other]}"))
    if not rows:
        return
    total = sum(len(functions) for functions in settings.model.functions.values())
    log.section(f"Symmetry functions that repeat another, |correlation| > {ALIKE:g}")
    log.table(("no", "correlation", "with", "symfunction_short"), rows)
    log.note(
        f"in these data {len(rows)} of all functions ({total}) repeat another, which costs time and tells "
        "the networks little: remove them, or let bnnp functions choose"
    )


def _warn_nearly_constant(nearly: Sequence[SymmetryFunction], settings: Settings, log: Log) -> None:
    """Name the functions whose small spread is magnified by the scaling."""
    if nearly:
        log.warn(
            f"{count(len(nearly), 'symmetry function')} hardly var{'y' if len(nearly) > 1 else 'ies'} (by "
            f"less than {SMALL:g}, or that share of the largest value): {_named(nearly)}. Scaling makes "
            f"much of this little; check eta and r_s, or remove {settings.file} {_lines(nearly)}"
        )


def _warn_constant(constant: list[tuple[SymmetryFunction, float]], settings: Settings, log: Log) -> None:
    """Name the functions that carry no information, one warning for each reason."""
    reasons: dict[str, list[SymmetryFunction]] = {}
    for function, value in constant:
        reasons.setdefault(_reason(function, value), []).append(function)
    refused = settings.model.scaling.kind in DIVIDING
    verdict = "Mode 2 will refuse this" if refused else "This tells the network nothing"
    for reason, functions in reasons.items():
        several = count(len(functions), "symmetry function")
        log.warn(
            f"{several} never {'vary' if len(functions) > 1 else 'varies'} ({reason}): {_named(functions)}. "
            f"{verdict}: remove {settings.file} {_lines(functions)}, or add structures that differ "
            f"there, and run mode 1 again{_shared(functions, settings)}"
        )


def _named(functions: Sequence[SymmetryFunction]) -> str:
    """The first few definitions, and how many more there are."""
    named = ", ".join(f"`symfunction_short {function.definition()}`" for function in functions[:SHOWN])
    return named + f" and {len(functions) - SHOWN} more" * (len(functions) > SHOWN)


def _lines(functions: Sequence[SymmetryFunction]) -> str:
    """Lines of input.nn, neighboring ones as a range: ``line 7``, ``lines 3, 7-12``."""
    numbers = {function.line for function in functions}
    return f"line{'s' * (len(numbers) > 1)} {messages.ranges(numbers)}"


def _shared(constant: Sequence[SymmetryFunction], settings: Settings) -> str:
    """Advice if a line of input.nn also defines functions that vary."""
    lines, every = {function.line for function in constant}, settings.model.functions.values()
    if sum(function.line in lines for functions in every for function in functions) == len(constant):
        return ""
    return "; write the other functions of such a line one by one with symfunction_short"


def _reason(function: SymmetryFunction, value: float) -> str:
    """Why a function with the mean `value` does not vary."""
    if abs(value) >= NEGLIGIBLE:
        return "the data has one environment"
    if value != 0.0:
        return f"smaller than {NEGLIGIBLE:g} (eta is too large for its distances)"
    return "no such neighbors in the data" if function.neighbors else "always 0"
