"""bnnp plot errors, parity and report: numbers from mode 3's files, one page that needs nothing else."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import ase.units
import numpy as np
import plot as tool
import pytest
from click.testing import CliRunner, Result
from plotting.prediction import errors_figure, read_predictions, table_rows

from bnnp.dynamics.observables import Snapshot
from bnnp.io import md_out
from bnnp.io.input_data import write_structures
from bnnp.io.prediction import PredictionWriter, file_names, format_prediction
from bnnp.io.uncertainty_data import UncertaintyData, write_uncertainty
from bnnp.network.masks import Masks
from bnnp.prediction import Estimate, Prediction
from bnnp.structure import Structure
from bnnp.units import ATOMIC, METAL, Units

MEANING = "raw (uncalibrated), 8 Monte Carlo samples"


def predicted(
    folder: Path, units: Units = METAL, forces: bool = True, samples: bool = True, labels: bool = True
) -> Path:
    """Mode 3's files of six structures of two atoms: structure k (from 0) is k eV and k eV/Angstrom off.

    Groups are cold, cold, cold, hot, hot, hot; every sigma is 2 eV, or 0.5 eV/Angstrom.
    """
    folder.mkdir(exist_ok=True)
    ev, force = 1.0 / units.ev, units.angstrom / units.ev
    names = file_names(forces, False)
    with PredictionWriter(folder, names, units, MEANING if samples else "") as writer:
        for k in range(6):
            known = (-10.0 * ev, np.full((2, 3), 0.3) * force) if labels else (None, None)
            info = {"group": "cold" if k < 3 else "hot"}
            positions = np.array([[0.0, 0, 0], [2.0, 0, 0]]) / units.angstrom
            structure = Structure(np.array([29, 29]), positions, None, *known, info=info, index=k)
            spread = (2.0 * ev, np.full(2, ev), np.full((2, 3), 0.5) * force)
            energy, atoms, sigma = spread if samples else (None, None, None)
            found = Prediction(
                energy=Estimate((-10.0 + k) * ev, energy),
                atoms=Estimate(np.full(2, 0.5 * (-10.0 + k) * ev), atoms),
                forces=Estimate(np.full((2, 3), 0.3 + k) * force, sigma) if forces else None,
                stress=None,
                descriptors=np.zeros((2, 1)),
                free_atoms=np.zeros(2),
            )
            writer.write(format_prediction(names, structure, found))
    return folder


def draw(verb: str, *arguments: str) -> Result:
    return CliRunner().invoke(tool.main, [verb, *arguments])


@pytest.mark.parametrize("units", [METAL, ATOMIC], ids=lambda units: units.name)
def test_numbers_by_group(tmp_path: Path, units: Units) -> None:
    """Errors 0, 1, 2 and 3, 4, 5 eV of two atoms, in meV/atom; the unit of the files does not matter."""
    found = read_predictions(predicted(tmp_path / "run", units))
    cold, hot = found.sums("cold"), found.sums("hot")
    assert cold["energy"].rmse == pytest.approx(500.0 * (5.0 / 3.0) ** 0.5)
    assert hot["energy"].bias == pytest.approx(2000.0)
    assert hot["force"].rmse == pytest.approx(1000.0 * (50.0 / 3.0) ** 0.5)
    assert found.sums()["energy"].mean_sigma == pytest.approx(1000.0)
    assert found.sums()["force"].mean_sigma == pytest.approx(500.0)
    assert found.sums()["force"].zms == pytest.approx(4.0 * 55.0 / 6.0)
    assert found.meaning == MEANING
    heading, rows = table_rows(found)
    assert [row[:2] for row in rows] == [["cold", "3"], ["hot", "3"], ["all", "6"]]
    assert {len(row) for row in rows} == {len(heading)}
    assert ase.units.Hartree == pytest.approx(ATOMIC.ev, rel=1e-7)


def test_what_symmetry_makes_zero_has_no_score(tmp_path: Path) -> None:
    """Rounding as the sigma of a force that is zero: error / sigma is any number."""
    lines = (predicted(tmp_path / "run") / "nnforces.out").read_text().splitlines()
    names = lines[0].removeprefix("#").split("|")[0].split()
    words = lines[1].split()
    for name, text in (("fx", "3.0001e-01"), ("fxRef", "3.0000e-01"), ("fx_std", "1e-15")):
        words[names.index(name)] = text
    (tmp_path / "run" / "nnforces.out").write_text("\n".join([lines[0], " ".join(words), *lines[2:]]) + "\n")
    found = read_predictions(tmp_path / "run").sums()["force"]
    assert (found.count, found.scores, found.symmetric) == (36, 35, 1)
    assert found.zms == pytest.approx(4.0 * 55.0 * 6.0 / 35.0)


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["errors", "parity"])
@pytest.mark.parametrize(("forces", "samples"), [(True, True), (False, True), (True, False)])
def test_pictures(tmp_path: Path, verb: str, forces: bool, samples: bool) -> None:
    folder = predicted(tmp_path / "run", forces=forces, samples=samples)
    result = draw(verb, str(folder), "--out", str(tmp_path / "new"))
    assert result.exit_code == 0, result.output
    assert (tmp_path / "new" / f"prediction_{verb}.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "new" / f"prediction_{verb}.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("verb", ["errors", "parity"])
def test_without_references_there_is_nothing_to_compare(tmp_path: Path, verb: str) -> None:
    result = draw(verb, str(predicted(tmp_path / "run", labels=False)))
    assert result.exit_code == 1
    assert "no reference energies or forces" in result.output


@pytest.mark.parametrize("verb", ["errors", "parity"])
def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path, verb: str) -> None:
    (tmp_path / "taken").write_text("")
    result = draw(verb, str(predicted(tmp_path / "run")), "--out", str(tmp_path / "taken"))
    assert result.exit_code == 1
    assert re.search(r"^ERROR: taken: cannot be written in .*: File exists", result.output)
    assert (tmp_path / "taken").read_text() == ""


def test_missing_and_mixed_files_are_named(tmp_path: Path) -> None:
    assert "energy.out: no such file; run `bnnp --mode 3`" in draw("errors", str(tmp_path)).output
    folder = predicted(tmp_path / "run")
    lines = (folder / "nnforces.out").read_text().splitlines(keepends=True)
    (folder / "nnforces.out").write_text("".join(lines[:-1]))
    result = draw("errors", str(folder))
    assert result.exit_code == 1
    assert "nnforces.out and energy.out are of different runs" in result.output


class Page(HTMLParser):
    """Everything a page refers to, its headings and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


INPUT = """number_of_elements 1
elements Cu
units metal
global_hidden_layers_short 1
global_nodes_short 2
global_activation_short t l
symfunction_short Cu 2 Cu 0.1 0.0 6.0
epochs 7  # <b>not bold</b>
"""


@pytest.mark.slow
def test_report_is_one_page_that_needs_nothing_else(tmp_path: Path) -> None:
    folder = predicted(tmp_path / "run")
    (folder / "input.nn").write_text(INPUT)
    structure = Structure(
        np.array([29, 29]), np.array([[0.0, 0, 0], [2.5, 0, 0]]), None, -1.0, np.zeros((2, 3))
    )
    write_structures(folder / "input.data", [structure])
    result = draw("report", str(folder), "--out", str(tmp_path / "page.html"))
    assert result.exit_code == 0, result.output
    text = (tmp_path / "page.html").read_text()
    page = Page(text)
    assert page.tags.count("img") == 3  # shapes, parity, errors
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert not re.search(r"url\(|@import|https?://", text)
    assert "<b>not bold" not in text
    assert "epochs" in page.text
    assert "cold" in page.text
    assert "the plain networks, without standard deviations" in page.text
    titles = re.findall("<h2>([^<]*)</h2>", text)
    assert "Training" not in titles  # which was not here: said at the end, and no empty section
    assert "Molecular dynamics" not in titles
    assert "Left out. Training: " in page.text
    assert "1 structure (0 periodic, 0 with stress), 2 atoms" in page.text


def test_large_errors_are_written_out_and_only_what_is_drawn_is_explained(tmp_path: Path) -> None:
    """Errors of 0, 1 and 2 eV, 500 meV/atom apart; with a calibration, whose raw sigmas are not drawn."""
    folder = predicted(tmp_path / "run")
    path = folder / "energy.out"
    path.write_text(path.read_text().replace(MEANING, f"calibrated (mc) on 9 structures; std_raw: {MEANING}"))
    drawn = errors_figure(read_predictions(folder))
    texts = [text.get_text().strip().partition(",")[0] for text in drawn.axes[0].texts]
    assert texts == ["645", "2040"]  # sqrt((0 + 1 + 4) / 3) / 2 and sqrt((9 + 16 + 25) / 3) / 2 eV
    for text, bar in zip(drawn.axes[0].texts, drawn.axes[0].patches, strict=True):
        assert text.get_position()[0] >= bar.get_width()  # not under it
    assert drawn.get_supxlabel() == "standard deviation: calibrated (mc) on 9 structures"


@pytest.mark.slow
def test_report_has_uncertainty_and_dynamics(tmp_path: Path) -> None:
    """A folder with masks, predictions with references, and md.out of four atoms."""
    folder = predicted(tmp_path / "run")
    (folder / "input.nn").write_text(INPUT)
    masks = Masks.draw(1, 9, (0.0, 0.1), {"Cu": (1, 2)})
    write_uncertainty(folder / "uncertainty.data", UncertaintyData(masks, {"Cu": "0" * 64}), "")
    seen = [Snapshot(1, k, 1.0 * k, 300.0, -14.0, 0.2, -13.8, 0.1, 47.0, 0.1) for k in range(3)]
    text = md_out.header(METAL, "9", MEANING) + "".join(md_out.row(each, METAL) for each in seen)
    (folder / "md.out").write_text(text)
    (folder / "trajectory.extxyz").write_text("4\n")
    result = draw("report", str(folder), "--out", str(tmp_path / "page.html"))
    assert result.exit_code == 0, result.output
    page = Page((tmp_path / "page.html").read_text())
    assert "Standard deviations of mode 3: the sizes of errors" in page.text
    assert "Molecular dynamics of 4 atoms, 2 steps, 0.002 ps." in page.text


def test_without_matplotlib_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in ("plotting", "matplotlib")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = draw("parity", str(tmp_path))
    assert result.exit_code == 1
    assert "pip install matplotlib" in result.output
    assert "Traceback" not in result.output


def test_report_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "input.nn").write_text(INPUT)
    result = draw("report", str(tmp_path), "--html", str(tmp_path / "input.nn" / "page.html"))
    assert result.exit_code == 1
    assert "input.nn: cannot be written in" in result.output


def test_report_wants_input_nn(tmp_path: Path) -> None:
    result = draw("report", str(tmp_path))
    assert result.exit_code == 1
    assert "input.nn" in result.output
