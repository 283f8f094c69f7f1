"""bnnp plot uncertainty: scores recomputed from the columns, sets by group or directory, mistakes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import uncertainty_toolbox as toolbox
from click.testing import CliRunner, Result
from matplotlib.backends.backend_agg import FigureCanvasAgg
from plot import main
from plotting.uncertainty import panels
from plotting.uncertainty_sets import read_sets
from sklearn.metrics import roc_auc_score

from bnnp.io.input_data import write_structures
from bnnp.structure import Structure

STRUCTURES, ATOMS = 60, 3
CALIBRATED = "calibrated (mc) on 50 structures; std_raw: 10 Monte Carlo samples"


def write(folder: Path, calibrated: bool = True, scale: float = 1.0, references: bool = True) -> np.ndarray:
    """Output of mode 3 in Angstrom and eV; its table of forces, (n, 8 + 8)."""
    generator = np.random.default_rng(int(100 * scale))
    folder.mkdir(parents=True, exist_ok=True)
    number = np.arange(1, STRUCTURES + 1)
    sigma = scale * generator.uniform(0.01, 0.05, STRUCTURES)
    energy = generator.normal(-3.0, 1.0, STRUCTURES)
    error = generator.normal(0.0, sigma) if references else np.full(STRUCTURES, np.nan)
    columns = [
        number,
        np.full(STRUCTURES, ATOMS),
        energy,
        energy + ATOMS * error,
        -error,
        np.zeros(STRUCTURES),
    ]
    columns += [ATOMS * sigma, sigma] + ([3 * ATOMS * sigma, 3 * sigma] if calibrated else [])
    names = "natoms Eref Ennp Ediff E_offset Ennp_std Ennp_std_per_atom"
    raw = " Ennp_std_raw Ennp_std_per_atom_raw" if calibrated else ""
    std = CALIBRATED if calibrated else "raw (uncalibrated), 10 Monte Carlo samples"
    head = f"# Conf. {names}{raw} | eV, Ediff = (Eref - Ennp)/natoms in eV/atom; std: {std}\n"
    np.savetxt(folder / "energy.out", np.column_stack(columns), header=head.strip(), comments="")
    spread = scale * generator.uniform(0.1, 0.5, (STRUCTURES * ATOMS, 3))
    forces = generator.normal(size=(STRUCTURES * ATOMS, 3))
    rows = [np.repeat(number, ATOMS), np.tile(np.arange(1, ATOMS + 1), STRUCTURES)]
    size = np.linalg.norm(spread, axis=1)
    table = np.column_stack(
        [*rows, forces, forces + generator.normal(0.0, spread), spread, size, 3 * spread, 3 * size]
    )
    names = "index fxRef fyRef fzRef fx fy fz fx_std fy_std fz_std f_std"
    raw = " fx_std_raw fy_std_raw fz_std_raw f_std_raw" if calibrated else ""
    head = f"# Conf. {names}{raw} | eV/Angstrom; std: {std}"
    np.savetxt(folder / "nnforces.out", table if calibrated else table[:, :12], header=head, comments="")
    return table


def plot(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["uncertainty", *map(str, arguments)])


def rows(text: str, quantity: str) -> dict[tuple[str, str], list[str]]:
    """Lines of one table by set and kind of sigma."""
    block = text.partition(f"# {quantity} in")[2].partition("\n\n")[0].splitlines()[2:]
    return {(line.split()[0], line.split()[1]): line.split()[2:] for line in block}


@pytest.mark.slow
def test_scores_are_those_of_uncertainty_toolbox(tmp_path: Path) -> None:
    table = write(tmp_path / "run")
    result = plot(tmp_path / "run")
    assert result.exit_code == 0, result.output
    text = (tmp_path / "run" / "uncertainty.txt").read_text()
    errors = 1000 * (table[:, 5:8] - table[:, 2:5]).ravel()
    for kind, sigma in (("std", 1000 * table[:, 8:11].ravel()), ("raw", 1000 * table[:, 12:15].ravel())):
        found = rows(text, "forces")["run", kind]
        arguments = errors, sigma, np.zeros_like(errors)
        assert int(found[0]) == STRUCTURES * ATOMS * 3
        expected = {
            2: toolbox.sharpness(sigma),
            3: np.sqrt(np.mean((errors / sigma) ** 2)),
            5: toolbox.miscalibration_area(*arguments),
            7: 100 * toolbox.get_proportion_in_interval(*arguments, 0.9),
            9: toolbox.nll_gaussian(*arguments),
            10: toolbox.crps_gaussian(*arguments),
        }
        for column, value in expected.items():
            assert float(found[column]) == pytest.approx(value, rel=1e-3), column
    assert [path.suffix for path in sorted((tmp_path / "run").glob("uncertainty.*"))] == [
        ".pdf",
        ".png",
        ".txt",
    ]


@pytest.mark.slow
def test_directories_are_sets_and_some_are_out_of_the_domain(tmp_path: Path) -> None:
    inside, outside = write(tmp_path / "cold"), write(tmp_path / "hot", scale=1.5)
    result = plot(tmp_path / "cold", tmp_path / "hot", "--outside", "hot", "--out", tmp_path / "figures")
    assert result.exit_code == 0, result.output
    text = (tmp_path / "figures" / "uncertainty.txt").read_text()
    largest = [
        table[:, 8:11].max(axis=1).reshape(STRUCTURES, ATOMS).max(axis=1) for table in (inside, outside)
    ]
    expected = roc_auc_score(np.repeat([0, 1], STRUCTURES), np.concatenate(largest))
    line = next(line for line in text.splitlines() if line.startswith("hot") and "std   largest" in line)
    assert float(line.split()[4]) == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
def test_legends_cover_no_data(tmp_path: Path) -> None:
    """All sets, raw and calibrated: each legend is above its panel, and inside the picture."""
    names = ["300K", "600K", "900K", "1200K", "crystal with a vacancy"]
    for k, name in enumerate(names):
        write(tmp_path / name, scale=1.0 + k)
    sets = read_sets([tmp_path / name for name in names])
    drawn = panels(sets, ("energy", "forces"), ("1200K",))
    canvas = FigureCanvasAgg(drawn)
    canvas.draw()
    assert len(drawn.axes) == 8
    for axes in drawn.axes:
        legend, panel = axes.get_legend().get_window_extent(), axes.get_window_extent()
        assert legend.y0 >= panel.y1
        assert legend.x0 >= 0.0
        assert legend.x1 <= drawn.bbox.width
        assert legend.y1 <= drawn.bbox.height


@pytest.mark.slow
def test_one_directory_has_a_set_for_each_group(tmp_path: Path) -> None:
    write(tmp_path, calibrated=False)
    atoms = np.full(ATOMS, 29), np.arange(3.0 * ATOMS).reshape(ATOMS, 3)
    found = [Structure(*atoms, info={"group": "ab"[k % 2]}) for k in range(STRUCTURES)]
    write_structures(tmp_path / "output.data", found)
    assert plot(tmp_path, "--outside", "b").exit_code == 0
    table = rows((tmp_path / "uncertainty.txt").read_text(), "energy")
    assert {name: values[0] for (name, _), values in table.items()} == {"a": "30", "b": "30"}
    assert {kind for _, kind in table} == {"std"}  # nothing else without a calibration
    result = plot(tmp_path, "--outside", "c")
    assert result.exit_code == 1
    assert "there is no such set; there are a, b" in result.output


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    write(tmp_path / "run")
    (tmp_path / "taken").write_text("")
    result = plot(tmp_path / "run", "--out", tmp_path / "taken")
    assert result.exit_code == 1
    assert "ERROR: taken: cannot be written in" in result.output


def test_mistakes(tmp_path: Path) -> None:
    result = plot(tmp_path)
    assert result.exit_code == 1
    assert "energy.out: no such file" in result.output
    write(tmp_path, references=False)
    (tmp_path / "nnforces.out").unlink()
    result = plot(tmp_path)
    assert result.exit_code == 1
    assert "no references" in result.output
    (tmp_path / "energy.out").write_text("# Conf. natoms Eref Ennp Ediff E_offset | eV\n1 2 3 4 5 6\n")
    assert "has no standard deviations" in plot(tmp_path).output
