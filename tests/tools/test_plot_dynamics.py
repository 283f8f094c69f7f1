"""bnnp plot rdf, adf and md: numbers from the files, pictures for each case, and clear mistakes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import plot as tool
import pytest
from click.testing import CliRunner, Result
from plotting.distributions import distributions_figure, read_curves
from plotting.dynamics import read_run, run_figure

from bnnp.dynamics.observables import Snapshot, Uncertainty
from bnnp.io import md_out
from bnnp.units import UNITS, Units

R = np.linspace(0.5, 4.5, 5)
INPUT = """\
units {units}
number_of_elements 1
elements Cu
nn_type_short 1
use_short_nn
symfunction_short Cu 2 Cu 0.1 0.0 6.0
global_hidden_layers_short 1
global_nodes_short 2
global_activation_short t l
md_steps 20 20
md_temperature 300
md_uncertainty_warn raw forces 0.25 energy 0.001
md_uncertainty_stop raw forces 0.5 extrapolations 7
"""


def write(path: Path, names: str, *columns: np.ndarray) -> Path:
    rows = "\n".join(" ".join(map(str, row)) for row in np.column_stack(columns).tolist())
    path.write_text(f"# {names} | text\n{rows}\n")
    return path


def rdf(path: Path, ending: str = "_err", scale: float = 1.0) -> Path:
    names = f"r g_total g_total{ending} g_Cu-Cu g_Cu-Cu{ending} n_Cu-Cu"
    return write(path, names, R, scale * R, 0.1 * R, scale * R, 0.0 * R, R)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(tool.main, [str(argument) for argument in arguments])


def is_drawn(stem: Path) -> bool:
    png, pdf = (stem.with_suffix(f".{ending}").read_bytes() for ending in ("png", "pdf"))
    return png.startswith(b"\x89PNG") and pdf.startswith(b"%PDF")


class TestDistributions:
    @pytest.mark.slow
    def test_several_files_become_one_picture(self, tmp_path: Path) -> None:
        files = [rdf(tmp_path / "a.out"), rdf(tmp_path / "b.out", "_std", 2.0)]
        result = call("rdf", *files, "--out", tmp_path / "new" / "picture")
        assert result.exit_code == 0, result.output
        assert is_drawn(tmp_path / "new" / "picture")

    @pytest.mark.parametrize("ending", ["_err", "_std"])
    def test_bands_are_those_of_95_percent(self, ending: str, tmp_path: Path) -> None:
        curves = read_curves("rdf", rdf(tmp_path / "a.out", ending))
        assert list(curves) == ["total", "Cu-Cu"]
        np.testing.assert_allclose(curves["total"].high - R, 0.196 * R)
        np.testing.assert_allclose(R - curves["total"].low, 0.196 * R)
        assert curves["Cu-Cu"].low is None  # no error is known

    def test_bands_of_a_bootstrap(self, tmp_path: Path) -> None:
        path = write(
            tmp_path / "a.out",
            "r g_total g_total_low g_total_high",
            R,
            R,
            R - np.array(0.5),
            R + np.array(1.0),
        )
        curve = read_curves("rdf", path)["total"]
        np.testing.assert_allclose(curve.low, R - 0.5)
        np.testing.assert_allclose(curve.high, R + 1.0)

    def test_lines_are_told_apart_without_color(self, tmp_path: Path) -> None:
        curves = read_curves("rdf", rdf(tmp_path / "a.out"))
        drawn = distributions_figure("rdf", [curves, curves], ["one", "two"])
        total, partial = drawn.axes
        assert total.get_title() == "total"
        styles = {(line.get_color(), line.get_linestyle()) for line in total.lines[:2]}
        assert len({style for _, style in styles}) == len({color for color, _ in styles}) == 2
        assert len(total.collections) == 2  # bands
        assert len(partial.collections) == 0
        assert [text.get_text() for text in drawn.legends[0].get_texts()] == [
            "one, 95 % band",
            "two, 95 % band",
            "without structure",
        ]

    def test_angles(self, tmp_path: Path) -> None:
        path = write(tmp_path / "adf.out", "angle p_total p_total_err p_Cu-Cu-Cu", R, R, R, R)
        assert call("adf", path, "--out", tmp_path / "adf").exit_code == 0
        assert is_drawn(tmp_path / "adf")

    def test_mistakes(self, tmp_path: Path) -> None:
        good = rdf(tmp_path / "a.out")
        assert "no columns p_" in call("adf", good).output
        assert "1 label for 2 files" in call("rdf", good, good, "--label", "x").output
        assert "cannot be read: No such file" in call("rdf", tmp_path / "none").output
        (tmp_path / "text").write_text("no table\n")
        assert "is no table" in call("rdf", tmp_path / "text").output
        good.write_text(good.read_text()[:-40])
        result = call("rdf", good)
        assert result.exit_code == 1
        assert "ERROR" in result.output


def finished(folder: Path, units: Units = UNITS["metal"], std: str = "raw (uncalibrated), 9 samples") -> Path:
    """A run of 2 atoms in two stages: the conserved quantity rises by 1 meV an atom and line, then jumps."""
    folder.mkdir()
    text = md_out.header(units, "3", std)
    for step in range(0, 41, 10):
        stage = 1 if step <= 20 else 2
        force = 0.1 + step / 100
        raw = 4.0 * force if std.startswith("calibrated") else None
        look = Uncertainty(0.001, force, 1, step, forces_raw=raw) if step % 20 == 0 else None
        energy = 0.0002 * step + (stage - 1)
        text += md_out.row(
            Snapshot(stage, step, 1.0 * step, 300.0, -1.0, 1.0, energy, 0.5, 20.0, 0.002, look), units
        )
    (folder / md_out.FILE_NAME).write_text(text)
    (folder / "trajectory.extxyz").write_text("2\n")
    (folder / "input.nn").write_text(INPUT.format(units=units.name))
    return folder


class TestDynamics:
    @pytest.mark.parametrize("unit", ["metal", "atomic"])
    def test_numbers_are_in_mev_and_ps_whatever_the_units(self, unit: str, tmp_path: Path) -> None:
        run = read_run(finished(tmp_path / "run", UNITS[unit]) / md_out.FILE_NAME)
        np.testing.assert_allclose(run.time, [0.0, 0.01, 0.02, 0.03, 0.04])
        np.testing.assert_allclose(run.change("E_conserved"), [0.0, 1.0, 2.0, 0.0, 1.0], atol=1e-5)
        axes = {axis.get_ylabel().replace("\n", " "): axis for axis in run_figure(run).axes}
        assert len(axes) == 7
        shown = axes[r"largest force sigma (meV/$\mathrm{\AA}$)"]
        np.testing.assert_allclose(shown.lines[0].get_ydata(), [100.0, 300.0, 500.0], rtol=1e-5)
        limits = [float(line.get_ydata()[0]) for line in shown.lines[1:3]]
        factor = UNITS[unit].mev_per_angstrom
        np.testing.assert_allclose(limits, [0.25 * factor, 0.5 * factor])
        np.testing.assert_allclose(
            axes["sigma of the energy (meV/atom)"].lines[0].get_ydata(), 2.0, rtol=1e-5
        )

    @pytest.mark.slow
    def test_a_picture_beside_the_file(self, tmp_path: Path) -> None:
        folder = finished(tmp_path / "run")
        result = call("md", folder)
        assert result.exit_code == 0, result.output
        assert is_drawn(folder / "md")
        (folder / "input.nn").unlink()
        assert call("md", folder / "md.out", "--out", tmp_path / "x").exit_code == 0

    def test_a_file_in_the_place_of_the_folder_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "taken").write_text("")
        for words in (("md", finished(tmp_path / "run")), ("rdf", rdf(tmp_path / "rdf.out"))):
            result = call(*words, "--out", tmp_path / "taken" / "picture")
            assert result.exit_code == 1
            assert "ERROR: taken: cannot be written in" in result.output

    def test_thresholds_of_raw_deviations_are_drawn_with_these(self, tmp_path: Path) -> None:
        """Beside calibrated ones, which they say nothing of."""
        run = read_run(finished(tmp_path / "run", std="calibrated") / md_out.FILE_NAME)
        assert [kind for kind, _ in run.limits["forces"]] == ["warn raw", "stop raw"]
        assert run.limits["extrapolations"] == [("stop", 7.0)]
        (axes,) = (axes for axes in run_figure(run).axes if "force sigma" in axes.get_ylabel())
        labels = [line.get_label() for line in axes.lines]
        assert labels[:4] == ["calibrated", "raw", "warn raw: 250", "stop raw: 500"]
        np.testing.assert_allclose(axes.lines[0].get_ydata(), [100.0, 300.0, 500.0], rtol=1e-5)
        np.testing.assert_allclose(axes.lines[1].get_ydata(), [400.0, 1200.0, 2000.0], rtol=1e-5)

    def test_mistakes(self, tmp_path: Path) -> None:
        assert "cannot be read" in call("md", tmp_path).output
        folder = finished(tmp_path / "run")
        (folder / "trajectory.extxyz").unlink()
        assert "number of atoms cannot be read" in call("md", folder).output
        (folder / "md.out").write_text(md_out.header(UNITS["metal"], "3", ""))
        result = call("md", folder)
        assert result.exit_code == 1
        assert "no line yet" in result.output
