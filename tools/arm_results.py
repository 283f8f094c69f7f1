"""results.csv and table.md of tools/compare_arms.py: a line a run and group, medians over the seeds."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

from study_tools import read_rows

KEY = ("target", "arm", "seed")
COLUMNS = (
    *KEY,
    "group",
    "structures",
    "energy_rmse",  # meV/atom
    "energy_bias",
    "energy_sigma",  # mean, raw
    "energy_sigma_calibrated",  # mean
    "energy_sqrt_zms",
    "energy_sqrt_zms_calibrated",
    "energy_cover_90_calibrated",  # %
    "force_rmse",  # meV/Angstrom
    "force_sigma",
    "force_sigma_calibrated",
    "force_sqrt_zms",
    "force_sqrt_zms_calibrated",
    "force_cover_90_calibrated",
    "force_spearman",  # of the raw sigma with the size of the error, components
    "auc_energy_sigma",  # this group against all groups inside the domain, by structure, raw
    "auc_force_sigma",  # the largest one
    "auc_energy_calibrated",
    "auc_force_calibrated",
    "auc_extrapolations",  # their number
    "seconds",
)
TRAINED_ON = {"energy": "energies", "forces": "energies and forces"}
TABLES = {  # column of results.csv: title, decimals
    "energy_rmse": ("RMSE of energies, meV/atom", 1),
    "force_rmse": ("RMSE of force components, meV/Angstrom", 0),
    "energy_sigma": ("mean raw sigma of energies, meV/atom", 1),
    "force_sigma": ("mean raw sigma of force components, meV/Angstrom", 0),
    "energy_sigma_calibrated": ("mean calibrated sigma of energies, meV/atom", 1),
    "force_sigma_calibrated": ("mean calibrated sigma of force components, meV/Angstrom", 0),
    "energy_sqrt_zms": ("energies, sqrt(ZMS) of the raw sigma", 2),
    "energy_sqrt_zms_calibrated": ("energies, sqrt(ZMS) of the calibrated sigma", 2),
    "force_sqrt_zms": ("forces, sqrt(ZMS) of the raw sigma", 2),
    "force_sqrt_zms_calibrated": ("forces, sqrt(ZMS) of the calibrated sigma", 2),
    "auc_energy_sigma": ("ROC-AUC by the raw sigma of the energy", 3),
    "auc_force_sigma": ("ROC-AUC by the largest raw sigma of a force", 3),
    "auc_energy_calibrated": ("ROC-AUC by the calibrated sigma of the energy", 3),
    "auc_force_calibrated": ("ROC-AUC by the largest calibrated sigma of a force", 3),
    "auc_extrapolations": ("ROC-AUC by the number of extrapolations", 3),
}


def write_table(case: Path) -> None:
    """table.md: medians and ranges over the seeds."""
    (case / "table.md").write_text("\n".join(table(read_rows(case))) + "\n")


def table(rows: Sequence[dict[str, str]]) -> Iterator[str]:
    """Lines of table.md: one table for each target and quantity, groups by arms."""
    for target in dict.fromkeys(row["target"] for row in rows):
        for column, (title, digits) in TABLES.items():
            shown = [row for row in rows if row["target"] == target and row.get(column, "nan") != "nan"]
            if not shown:  # sigmas of plain networks
                continue
            arms = list(dict.fromkeys(row["arm"] for row in shown))
            yield f"**Trained on {TRAINED_ON[target]}: {title}**\n"
            yield f"| | {' | '.join(arm.replace('_', ' ') for arm in arms)} |"
            yield "|---" * (1 + len(arms)) + "|"
            for group in dict.fromkeys(row["group"] for row in shown):
                mine = [row for row in shown if row["group"] == group]
                cells = [[float(row[column]) for row in mine if row["arm"] == arm] for arm in arms]
                texts = [summary(cell, digits) for cell in cells]
                yield f"| {group.replace('_', ' ')} | {' | '.join(texts)} |"
            yield ""


def summary(values: Sequence[float], digits: int) -> str:
    """Median (smallest - largest), with fewer decimals where numbers are large."""
    if not values:
        return "-"
    middle, low, high = statistics.median(values), min(values), max(values)
    places = max(0, digits - (max(abs(low), abs(high)) >= 100.0))
    return f"{middle:.{places}f} ({low:.{places}f} - {high:.{places}f})"
