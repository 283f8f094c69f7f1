"""The ranges of the symmetry functions over all structures, and which functions are of no use.

Rows are taken in pieces of fixed size, one rank a piece, and merged in order: the numbers do not depend on
the number of ranks.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from bnnp import parallel
from bnnp.descriptors.functions import SymmetryFunction
from bnnp.descriptors.scaling import NEGLIGIBLE
from bnnp.descriptors.statistics import Moments
from bnnp.io.descriptor_file import DescriptorFile
from bnnp.modes.log import Log
from bnnp.settings import Settings

ROWS = 16384  # of a piece
DIVIDING = ("scale", "both", "sigma")  # scalings that divide by the range: mode 2 stops if there is none
LARGE = 1000.0  # RuNNer stops at function values of this size
SHOWN = 3  # functions a warning names one by one


def measure_ranges(file: DescriptorFile) -> dict[str, Moments]:
    """Statistics of every function of every element over all atoms in the file; on the root."""
    tasks = [
        (element, start)
        for element in file.elements
        for start in range(0, len(file.descriptors(element)), ROWS)
    ]
    mine = {
        number: Moments.of(file.descriptors(element)[start : start + ROWS])
        for number, (element, start) in enumerate(tasks)
        if number % parallel.size() == parallel.rank()
    }
    pieces = {number: moments for share in parallel.gather(mine) for number, moments in share.items()}
    nothing = {element: Moments.nothing(len(file.definitions[element])) for element in file.elements}
    return {
        element: reduce(
            Moments.merge, (pieces[k] for k in sorted(pieces) if tasks[k][0] == element), nothing[element]
        )
        for element in file.elements
    }


def report_ranges(ranges: dict[str, Moments], settings: Settings, log: Log) -> None:
    """One line a function, then what is wrong with some of them."""
    log.section("Symmetry functions, all structures")
    if not parallel.is_root():
        return
    rows = []
    constant: list[tuple[SymmetryFunction, float]] = []
    for element, moments in ranges.items():
        if moments.count == 0:
            continue
        never_varies = moments.scaling().constant
        for k, function in enumerate(settings.functions[element]):
            columns = (moments.minimum, moments.maximum, moments.mean, moments.sigma)
            notes = "constant" * bool(never_varies[k]) or "large" * bool(moments.maximum[k] >= LARGE)
            numbers = [f"{column[k]:.6e}" for column in columns]
            rows.append((element, k + 1, *numbers, f"{function.definition()} {notes}".strip()))
            if never_varies[k]:
                constant.append((function, float(moments.mean[k])))
    log.table(("element", "no", "min", "max", "mean", "sigma", "symfunction_short"), rows)
    _warn_constant(constant, settings, log)
    n_large = sum(int((moments.maximum >= LARGE).sum()) for moments in ranges.values())
    if n_large:
        log.warn(
            f"{n_large} functions reach {LARGE:g}, which RuNNer would refuse; check eta, r_s and the units"
        )


def _warn_constant(constant: list[tuple[SymmetryFunction, float]], settings: Settings, log: Log) -> None:
    """Name the functions that carry no information, one warning a reason."""
    reasons: dict[str, list[SymmetryFunction]] = {}
    for function, value in constant:
        reasons.setdefault(_reason(function, value), []).append(function)
    refused = settings.scaling.kind in DIVIDING
    verdict = "Mode 2 will refuse this" if refused else "This tells the network nothing"
    for reason, functions in reasons.items():
        named = ", ".join(f"`symfunction_short {function.definition()}`" for function in functions[:SHOWN])
        named += f" and {len(functions) - SHOWN} more" * (len(functions) > SHOWN)
        count = f"{len(functions)} symmetry function{'s' * (len(functions) != 1)}"
        log.warn(
            f"{count} never {'vary' if len(functions) > 1 else 'varies'} ({reason}): {named}. "
            f"{verdict}: remove input.nn {_lines(functions)}, or add structures that differ "
            f"there, and run mode 1 again{_shared(functions, settings)}"
        )


def _lines(functions: Sequence[SymmetryFunction]) -> str:
    """Lines of input.nn, neighbouring ones as a range: ``line 7``, ``lines 3, 7-12``."""
    numbers = sorted({function.line for function in functions})
    starts = [number for number in numbers if number - 1 not in numbers]
    ends = [number for number in numbers if number + 1 not in numbers]
    ranges = [str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True)]
    return f"line{'s' * (len(numbers) > 1)} {', '.join(ranges)}"


def _shared(constant: Sequence[SymmetryFunction], settings: Settings) -> str:
    """Advice where a line makes functions that vary, too."""
    lines = {function.line for function in constant}
    made = sum(function.line in lines for functions in settings.functions.values() for function in functions)
    if made == len(constant):
        return ""
    return "; write the other functions of such a line one by one with symfunction_short"


def _reason(function: SymmetryFunction, value: float) -> str:
    """Why a function with the mean `value` does not vary."""
    if abs(value) >= NEGLIGIBLE:
        return "the data has one environment"
    if value != 0.0:
        return f"smaller than {NEGLIGIBLE:g} (eta is too large for its distances)"
    return "no such neighbours in the data" if function.neighbors else "always 0"
