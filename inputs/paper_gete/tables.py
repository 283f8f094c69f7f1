"""Medians and ranges over the seeds of results.txt, as the tables of README.md.

    python tables.py study/results.txt

Written is tables.md beside it.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SETS = ("inside", "450K", "750K", "1200K", "1350K", "1500K", "1800K")
SHOWN = {"inside": "held out", "mc": "Monte Carlo alone", "hybrid": "hybrid"}
Row = dict[str, str]


@dataclass(frozen=True)
class Goal:
    """A score of one set with what is aimed at."""

    text: str
    where: str
    column: str
    low: float = float("-inf")
    high: float = float("inf")
    factor: float = 1.0
    relative: bool = False  # to the median of the plain networks

    @property
    def aim(self) -> str:
        """In words."""
        if self.low > float("-inf") and self.high < float("inf"):
            return f"{self.low:g} - {self.high:g}"
        if self.low > float("-inf"):
            return f">= {self.low:g}"
        return f"<= {self.high:g}" if self.high < float("inf") else ""


GOALS = (
    Goal("ZMS, energy", "inside", "E_ZMS", 0.9, 1.1),
    Goal("ZMS, forces", "inside", "F_ZMS", 0.9, 1.1),
    Goal("ZMS before calibration, energy", "inside", "E_ZMS_raw"),
    Goal("ZMS before calibration, forces", "inside", "F_ZMS_raw"),
    Goal("90 % coverage, energy", "inside", "E_cov90", 88, 92, 100),
    Goal("90 % coverage, forces", "inside", "F_cov90", 88, 92, 100),
    Goal("miscalibration area, energy", "inside", "E_area", high=0.03),
    Goal("miscalibration area, forces", "inside", "F_area", high=0.03),
    Goal("ENCE, energy", "inside", "E_ENCE", high=0.10),
    Goal("ENCE, forces", "inside", "F_ENCE", high=0.10),
    Goal("Spearman of force sigma, held out", "inside", "F_rho_atom", low=0.6),
    Goal("its ceiling", "inside", "F_ceiling_atom"),
    Goal("Spearman of force sigma, 1200 K and above", "outside", "F_rho_atom", low=0.6),
    Goal("its ceiling", "outside", "F_ceiling_atom"),
    Goal("Spearman of force sigma, all sets", "all", "F_rho_atom", low=0.6),
    Goal("its ceiling", "all", "F_ceiling_atom"),
    Goal("ROC-AUC, sigma of the energy", "outside", "AUC_E", low=0.99),
    Goal("ROC-AUC, largest force sigma", "outside", "AUC_Fmax", low=0.99),
    Goal("ROC-AUC, mean force sigma", "outside", "AUC_Frms", low=0.99),
    Goal("ROC-AUC, counting extrapolations", "outside", "AUC_count"),
    Goal("95 % intervals at 1200 K, energy", "1200K", "E_cov95", low=90, factor=100),
    Goal("95 % intervals at 1200 K, forces", "1200K", "F_cov95", low=90, factor=100),
    Goal("energy error / plain", "inside", "E_RMSE", high=1.1, relative=True),
    Goal("force error / plain", "inside", "F_RMSE", high=1.1, relative=True),
    Goal("largest fall on the cold curve (%), energy", "cold_curve", "E_fall", high=10, factor=100),
    Goal("largest fall on the cold curve (%), forces", "cold_curve", "F_fall", high=10, factor=100),
)


def read_results(path: Path) -> list[Row]:
    """The lines of the file by the names in its header."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    names = lines[0].split()
    return [dict(zip(names, line.split(), strict=True)) for line in lines[1:]]


def write_tables(results: Path, output: Path) -> None:
    """All tables, for each target: errors, and the goals by kind of calibration."""
    rows = read_results(results)
    lines: list[str] = []
    for target in dict.fromkeys(row["target"] for row in rows):
        own = [row for row in rows if row["target"] == target]
        lines += [f"## {target.replace('_', ' ')}", "", "**Energy RMSE, meV/atom**", ""]
        lines += [*errors(own, "E_RMSE"), "", "**Force RMSE, meV/Angstrom**", "", *errors(own, "F_RMSE"), ""]
        for arm in dict.fromkeys(row["arm"] for row in own if row["kind"] != "-"):
            lines += [f"**Errors and standard deviations, {name(arm)}**", "", *sizes(own, arm), ""]
        for kind in ("mc", "hybrid"):
            lines += [f"**Goals, {SHOWN[kind]}**", "", *goals(own, kind), ""]
    output.write_text("\n".join(lines), encoding="utf-8")


def errors(rows: Sequence[Row], column: str) -> Iterator[str]:
    """Errors of the arms by set."""
    arms = [*dict.fromkeys(row["arm"] for row in rows)]
    yield from head(["set", *(f"{name(arm)} ({seeds(rows, arm)})" for arm in arms)])
    for where in SETS:
        cells = [summary(values(rows, arm, None, where, column)) for arm in arms]
        yield line([SHOWN.get(where, where), *cells])


def sizes(rows: Sequence[Row], arm: str) -> Iterator[str]:
    """Root mean squares of errors and sigmas of an arm by set, medians over the seeds."""
    columns = [
        (f"{quantity} {shown}", f"{quantity}_{column}", kind)
        for quantity in "EF"
        for shown, column, kind in (
            ("error", "RMSE", None),
            ("raw", "raw", "mc"),
            ("mc", "sigma", "mc"),
            ("hybrid", "sigma", "hybrid"),
        )
    ]
    yield from head(["set", *(shown for shown, _, _ in columns)])
    for where in SETS:
        found = [values(rows, arm, kind, where, column) for _, column, kind in columns]
        yield line([SHOWN.get(where, where), *(short(statistics.median(x)) if x else "-" for x in found)])


def goals(rows: Sequence[Row], kind: str) -> Iterator[str]:
    """The goals beside what the arms with standard deviations reached; bold where the median does."""
    arms = [*dict.fromkeys(row["arm"] for row in rows if row["kind"] == kind)]
    yield from head(["", "aim", *(name(arm) for arm in arms)])
    for goal in GOALS:
        plain = values(rows, "plain", None, goal.where, goal.column) if goal.relative else [1.0]
        cells = []
        for arm in arms:
            found = [goal.factor * x for x in values(rows, arm, kind, goal.where, goal.column)]
            if goal.relative:
                found = [x / statistics.median(plain) for x in found] if plain else []
            cells.append(summary(found, lambda x, goal=goal: bool(goal.aim) and goal.low <= x <= goal.high))
        yield line([goal.text, goal.aim, *cells])


def values(rows: Sequence[Row], arm: str, kind: str | None, where: str, column: str) -> list[float]:
    """One number a seed, those that are known; errors are the same for every kind."""
    found = {
        row["seed"]: float(row[column])
        for row in rows
        if (row["arm"], row["set"]) == (arm, where) and kind in (None, row["kind"])
    }
    return [value for value in found.values() if value == value]


def summary(found: Sequence[float], reached: Callable[[float], bool] = lambda _: False) -> str:
    """Median (smallest - largest)."""
    if not found:
        return "-"
    middle, low, high = (short(each) for each in (statistics.median(found), min(found), max(found)))
    return f"{f'**{middle}**' if reached(statistics.median(found)) else middle} ({low} - {high})"


def short(value: float) -> str:
    """Three digits, without an exponent."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def seeds(rows: Sequence[Row], arm: str) -> int:
    """How many there are of an arm."""
    return len({row["seed"] for row in rows if row["arm"] == arm})


def name(arm: str) -> str:
    """For people."""
    return arm.replace("_", " ")


def head(cells: Sequence[str]) -> tuple[str, str]:
    """First two lines of a table."""
    return line(cells), "|" + "---|" * len(cells)


def line(cells: Sequence[str]) -> str:
    """One line of a table."""
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    write_tables(path, path.with_name("tables.md"))
    print(path.with_name("tables.md").read_text())
