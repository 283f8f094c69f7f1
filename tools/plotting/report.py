"""One page on a run: a single HTML file, pictures inside, nothing loaded from elsewhere.

Whatever the directory has is shown: settings and data always, the training if mode 2 has run, predictions
if mode 3 has. What is not there is left out; the last lines say so, and which mode would make it.
"""

from __future__ import annotations

import base64
import io
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from html import escape
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from data_summary import Summary

from bnnp import __version__
from bnnp.errors import BnnpError, InputError
from bnnp.io.descriptor_file import FILE_NAME as SYMMETRY_FUNCTIONS
from bnnp.io.input_data import StructureFile
from bnnp.io.md_out import FILE_NAME as MD_OUT
from bnnp.io.output import make_folder, replace_file
from bnnp.io.uncertainty_data import FILE_NAME as UNCERTAINTY
from bnnp.io.uncertainty_data import read_uncertainty
from bnnp.messages import count
from bnnp.settings.help import format_value
from bnnp.settings.keywords import SECTION_OF
from bnnp.settings.model import FUNCTION_KEYWORDS
from bnnp.settings.settings import Settings, load_settings
from plotting import dynamics, loop, prediction, symmetry, training, uncertainty
from plotting.style import short
from plotting.uncertainty_sets import read_sets

WORST = 10
MOST = 12  # compositions shown one by one
UNCERTAINTY_CAPTION = (
    "Standard deviations of mode 3: the sizes of errors they belong to; root mean square errors in bins of "
    "equal sigma; the error that is left when the least certain values are left out."
)
PACKAGES = ("numpy", "torch", "h5py", "ase", "mpi4py", "matplotlib")

PAGE = Template("""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>$title</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { font: 15px/1.45 system-ui, sans-serif; color: #222 }
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; margin-bottom: 0 }
h2 { font-size: 1.15rem; border-bottom: 2px solid #0072B2; margin-top: 2rem }
table { border-collapse: collapse; font-size: 13px; margin: .6rem 0 }
td, th { padding: .15rem .7rem; text-align: right; vertical-align: top }
th { background: #eef3f7; font-weight: 600 }
tr:nth-child(even) td { background: #f7f7f7 }
td:first-child, th:first-child, .text td, .text th { text-align: left }
.key td:first-child { font-weight: 600 }
img { max-width: 100%; height: auto }
.muted, figcaption { color: #666; font-size: 13px }
pre { font-size: 12.5px; overflow-x: auto }
figure { margin: 1rem 0 }
@media print { body { margin: 0 } figure { break-inside: avoid } }
</style></head><body>
<h1>$title</h1><p class="muted">$subtitle</p>
$body
</body></html>
""")


def write_report(directory: Path, page: Path) -> Path:
    """Write the page; its path.

    Raises
    ------
    InputError
        There is no input.nn, or a file is damaged.
    """
    settings = load_settings(directory / "input.nn", None, mode_required=False, choosing=True)
    parts: Sequence[tuple[str, Callable[[Path, Settings], str]]] = (
        ("Summary", _summary),
        ("Data", _data),
        ("Symmetry functions", _symmetry),
        ("Training", _training),
        ("Prediction", _prediction),
        ("Uncertainty", _uncertainty),
        ("Molecular dynamics", _dynamics),
        ("Active learning", _learning),
        ("Structures with the largest errors in training and test set", _worst),
        ("Settings", _settings),
        ("Versions", _versions),
    )
    body = _sections(parts, directory, settings)
    title = f"{'-'.join(settings.model.elements)} potential: {directory.resolve().name}"
    subtitle = f"bnnp {__version__}, {time.strftime('%Y-%m-%d %H:%M')}"
    make_folder(page.parent)
    with replace_file(page) as file:
        file.write(PAGE.substitute(title=escape(title), subtitle=escape(subtitle), body=body))
    return page


def _sections(
    parts: Sequence[tuple[str, Callable[[Path, Settings], str]]], directory: Path, settings: Settings
) -> str:
    """All that can be made, with their titles; at the end why the others are missing."""
    made, missing = [], []
    for title, make in parts:
        try:
            made.append(f"<h2>{escape(title)}</h2>\n{make(directory, settings)}")
        except BnnpError as error:
            missing.append(f"{escape(title)}: {escape(str(error))}")
    if missing:
        made.append(f'<p class="muted">Left out. {"<br>".join(missing)}</p>')
    return "\n".join(made)


def table(heading: Sequence[str], rows: Iterable[Sequence[object]], style: str = "") -> str:
    """An HTML table; everything is escaped."""
    head = "".join(f"<th>{escape(name)}</th>" for name in heading)
    lines = ["".join(f"<td>{escape(str(cell))}</td>" for cell in row) for row in rows]
    body = "".join(f"<tr>{line}</tr>\n" for line in lines)
    return f'<table class="{style}">{f"<tr>{head}</tr>" if head else ""}\n{body}</table>'


def picture(drawn: Any, caption: str) -> str:
    """A figure as PNG inside the page."""
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", dpi=150)
    text = base64.b64encode(buffer.getvalue()).decode("ascii")
    alternative = escape(caption, quote=True)
    return (
        f'<figure><img alt="{alternative}" src="data:image/png;base64,{text}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _subsets(directory: Path) -> dict[str, training.Subset]:
    """Training and test set at the best epoch."""
    _, units = training.read_curve(directory)
    epoch = training.best_epoch(directory)
    return {name: training.read_subset(directory, name, epoch, units) for name in training.COLORS}


def _rmse(errors: Any) -> str:
    known = errors[np.isfinite(errors)]
    return short(float(np.sqrt(np.square(known).mean()))) if known.size else "-"


def _summary(directory: Path, settings: Settings) -> str:
    """What a reader in a hurry needs: networks and errors."""
    networks = [
        (element, "-".join(map(str, network.layer_sizes(len(settings.model.functions[element])))))
        for element, network in settings.model.architecture.items()
    ]
    rows: list[tuple[str, str]] = [(f"network of {element}", layers) for element, layers in networks]
    try:
        for name, subset in _subsets(directory).items():
            errors = f"{_rmse(subset.energy_errors)} meV/atom, {_rmse(subset.force_errors)} meV/Å"
            rows.append(
                (f"RMSE, {training.TITLES[name]} set ({count(len(subset.index), 'structure')})", errors)
            )
    except InputError:
        pass  # mode 2 has not run
    try:
        sums = prediction.read_predictions(directory).sums()
        errors = f"{short(sums['energy'].rmse)} meV/atom, {short(sums['force'].rmse)} meV/Å"
        rows.append(("RMSE of mode 3's last prediction", errors))
    except InputError:
        pass  # mode 3 has not run
    return table((), rows, "text key")


def _data(directory: Path, settings: Settings) -> str:
    """Compositions, groups and ranges of input.data."""
    path = directory / "input.data"
    if not path.is_file():
        raise InputError("input.data is not in this directory")
    summary, groups = Summary(settings.model.units), Counter[str]()
    for structure in summary.watch(StructureFile(path, settings.model.elements, require_labels=False)):
        groups[structure.info.get("group", prediction.UNGROUPED)] += 1
    text = [line.strip() for line in summary.lines() if not line.startswith("  ")]
    parts = [f"<p>{escape('; '.join(text))}.</p>"]
    common = Counter(summary.formulas).most_common(MOST)
    rest = len(summary) - sum(number for _, number in common)
    rows = [*common, *([(f"{len(summary.formulas) - MOST} others", rest)] if rest else [])]
    parts.append(table(("composition", "structures"), rows))
    if len(groups) > 1:
        parts.append(table(("group", "structures"), groups.items()))
    return "\n".join(parts)


def _symmetry(directory: Path, settings: Settings) -> str:
    """Shapes of the functions of each element."""
    parts = []
    for element, functions in settings.model.functions.items():
        drawn = symmetry.shapes_figure(functions, settings.model.cutoff, settings.model.units.length)
        several = "a shape that several share is drawn once"
        caption = f"The {count(len(functions), 'symmetry function')} of {element}; {several}."
        parts.append(picture(drawn, caption))
    return "\n".join(parts)


def _training(directory: Path, settings: Settings) -> str:
    """Learning curves, parity and error histograms of mode 2."""
    curve, units = training.read_curve(directory)
    best, subsets = training.best_epoch(directory), _subsets(directory)
    return "\n".join(
        [
            picture(
                training.curves_figure(curve, units, best),
                f"Learning curves. The potential is that of epoch {best}.",
            ),
            picture(training.parity_figure(subsets), "Predictions against references at the best epoch."),
            picture(training.errors_figure(subsets), "Errors at the best epoch."),
        ]
    )


def _prediction(directory: Path, settings: Settings) -> str:
    """Errors by group and parity of mode 3."""
    found = prediction.read_predictions(directory)
    heading, rows = prediction.table_rows(found)
    note = "Energies E in meV/atom, force components F in meV/Å; sigma: mean standard deviation."
    parts = [table(heading, rows), f'<p class="muted">{note}</p>']
    if np.isfinite(found.energies[:, 0]).any():
        parts.append(picture(prediction.parity_figure(found), "Predictions of mode 3 against references."))
        parts.append(picture(prediction.errors_figure(found), "Errors and standard deviations by group."))
    return "\n".join(parts)


def _uncertainty(directory: Path, settings: Settings) -> str:
    """Masks, and what the standard deviations are."""
    path = directory / UNCERTAINTY
    if not path.is_file():
        raise InputError("no uncertainty.data: the plain networks, without standard deviations")
    data = read_uncertainty(path)
    rates = " ".join(f"{rate:g}" for rate in data.masks.rates)
    rows = [
        ("Monte Carlo samples", data.masks.samples),
        ("dropout rates (inputs, hidden layers)", rates),
        ("seed of the masks", data.masks.seed),
    ]
    try:
        rows.append(
            ("standard deviations of mode 3", prediction.read_predictions(directory).meaning or "none")
        )
    except InputError:
        rows.append(("standard deviations of mode 3", "mode 3 has not run"))
    rows += [
        (f"[{name}]", f"{count(len(lines), 'line')} of {UNCERTAINTY}")
        for name, lines in data.sections.items()
    ]
    note = (
        "sqrt(ZMS), the root mean square of error / sigma in the table of predictions, is 1 if the standard "
        "deviations have the right size."
    )
    parts = [table((), rows, "text key"), f'<p class="muted">{escape(note)}</p>']
    try:
        parts.append(picture(uncertainty.figure_of(read_sets([directory])), UNCERTAINTY_CAPTION))
    except InputError as error:
        parts.append(f'<p class="muted">No figure: {escape(str(error))}</p>')
    return "\n".join(parts)


def _dynamics(directory: Path, settings: Settings) -> str:
    """The run of molecular dynamics."""
    found = dynamics.read_run(directory / MD_OUT)
    last = found.table["step"][-1]
    caption = (
        f"Molecular dynamics of {count(found.n_atoms, 'atom')}, {last:.0f} steps, {found.time[-1]:.4g} ps."
    )
    return picture(dynamics.run_figure(found), caption)


def _learning(directory: Path, settings: Settings) -> str:
    """The generations of a campaign."""
    found = loop.read_loop(directory)
    rows = zip(*(map(short, values) for values in found.values()), strict=True)
    return table(list(found), rows) + picture(loop.loop_figure(found), loop.CAPTION)


def _worst(directory: Path, settings: Settings) -> str:
    """The structures with the largest errors, as `training_worst.txt` has them."""
    text = training.worst_structures(_subsets(directory), training.groups_of(directory), WORST)
    return f"<pre>{escape(text.strip())}</pre>"


def _settings(directory: Path, settings: Settings) -> str:
    """What input.nn sets, but the symmetry functions, and its text."""
    given = [name for name in SECTION_OF if settings.given(name) and name not in FUNCTION_KEYWORDS]
    rows = [(name, format_value(settings.value(name)), settings.origins[name]) for name in given]
    text = (directory / "input.nn").read_text(encoding="utf-8", errors="replace")
    whole = f"<details><summary>input.nn</summary><pre>{escape(text)}</pre></details>"
    return table(("keyword", "value", "where"), rows, "text") + whole


def _versions(directory: Path, settings: Settings) -> str:
    """Versions of what made this page, and when each file of the run was written."""
    rows: list[tuple[str, str]] = [("bnnp", __version__), ("Python", platform.python_version())]
    for name in PACKAGES:
        try:
            rows.append((name, version(name)))
        except PackageNotFoundError:
            rows.append((name, "not installed"))
    names = ("input.data", SYMMETRY_FUNCTIONS, "weights.*.data", UNCERTAINTY, "energy.out")
    for path in sorted(path for name in names for path in directory.glob(name)):
        rows.append((path.name, time.strftime("%Y-%m-%d %H:%M", time.localtime(path.stat().st_mtime))))
    note = "Packages are those this page was made with."
    return table((), rows, "text key") + f'<p class="muted">{note}</p>'
