"""bnnp analyze --transport on series whose correlation functions are known, and what it says of bad ones."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from scipy.signal import lfilter

from bnnp.analysis.transport import autocorrelation, running_integral, traceless, without_particles
from bnnp.cli import main
from bnnp.io.tables import read_table

KB = 8.617333262e-5  # eV/K, CODATA 2018
N, STEP, TAU = 20000, 5.0, 100.0  # lines, fs, correlation time in fs
VOLUME, T = 2000.0, 300.0  # Angstrom^3, K
NAMES = (
    "step stage time T volume J_x J_y J_z C_x C_y C_z p_xx p_yy p_zz p_yz p_xz p_xy "
    "v_Na_x v_Na_y v_Na_z v_Cl_x v_Cl_y v_Cl_z"
)
HEAT, SHEAR, CHARGE = 0.3, 0.5, 0.02  # standard deviations: eV Angstrom/fs, GPa, Angstrom/fs of Na


def decaying(rng: np.random.Generator, n: int, components: int, size: float, tau: float) -> np.ndarray:
    """Series with <x(0) x(t)> = size^2 exp(-t/tau): J. L. Doob, Ann. Math. 43, 351 (1942)."""
    keep = np.exp(-STEP / tau)
    noise = size * rng.normal(size=(n, components))
    noise[1:] *= np.sqrt(1.0 - keep**2)
    return lfilter([1.0], [1.0, -keep], noise, axis=0)


def series(folder: Path, seed: int = 1, n: int = N, stages: str = "nve", momentum: float = 0.0) -> Path:
    """A heat_flux.out of a salt in which heat also moves with the ions, eV and Angstrom."""
    rng = np.random.default_rng(seed)
    heat, ions = decaying(rng, n, 3, HEAT, TAU), decaying(rng, n, 3, CHARGE, TAU)
    five = decaying(rng, n, 5, SHEAR, TAU)
    chlorine = -22.98976928 / 35.45 * ions + momentum  # ase's masses: at rest
    a, b = five[:, 3], five[:, 4] / np.sqrt(3.0)
    pressure = np.stack([a - b, -a - b, 2.0 * b, *five[:, :3].T], axis=1) + [1.0, 1.0, 1.0, 0, 0, 0]
    times = STEP * np.arange(n)
    flux = heat - 40.0 * ions  # free-atom energies
    columns = [np.arange(n), np.full(n, stages.count(" ") + 1), times, np.full(n, T), np.full(n, VOLUME)]
    table = np.column_stack([*columns, flux, flux, pressure, ions, chlorine])
    path = folder / f"heat_flux_{seed}.out"
    header = f"{NAMES} | time in fs, J and C in eV Angstrom/fs; stages: {stages}"
    np.savetxt(path, table, header=header, fmt="%.12g")
    return path


KAPPA = HEAT**2 * TAU / (VOLUME * KB * T**2) * 1.602176634e6  # eV/(fs Angstrom K) in W/(m K)
SIGMA = (CHARGE * (1.0 + 22.98976928 / 35.45)) ** 2 * TAU / (VOLUME * KB * T) * 1.602176634e6  # S/m
ETA = SHEAR**2 * TAU * VOLUME / (KB * T) / 160.2176634 * 1e-3  # GPa^2 fs Angstrom^3/eV in mPa s


def call(folder: Path, *words: object) -> Result:
    return CliRunner().invoke(main, ["analyze", "--transport", *map(str, words), "--out", str(folder / "a")])


@pytest.fixture(scope="module")
def salt(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    pytest.importorskip("stacie")
    folder = tmp_path_factory.mktemp("salt")
    done = call(folder, series(folder), "--charges", "Na=1 Cl=-1")
    assert done.exit_code == 0, done.output
    return folder, done.output


@pytest.mark.parametrize(
    ("name", "expected"), [("kappa", KAPPA), ("viscosity", ETA), ("conductivity", SIGMA)]
)
def test_both_estimates_are_the_integral(name: str, expected: float, salt: tuple[Path, str]) -> None:
    """Within three standard errors, of a run of 1000 correlation times."""
    folder, _ = salt
    table, text = read_table(folder / f"a_{name}.out")
    estimates = re.findall(r"([\d.e+-]+) \+- ([\d.e+-]+)", text)
    assert len(estimates) == 2
    for value, error in estimates:
        assert abs(float(value) - expected) < 3.0 * float(error) < 0.6 * expected
    np.testing.assert_allclose(
        table["correlation"][0] * TAU / 1000.0, expected, rtol=0.1
    )  # the variance times the correlation time
    row = int(np.argmin(np.abs(table["time"] - TAU / 1000.0)))
    assert table["correlation"][row] == pytest.approx(np.exp(-1.0) * table["correlation"][0], rel=0.1)


@pytest.mark.slow
def test_the_error_is_right_on_average(tmp_path: Path) -> None:
    """(value - truth) / error of ten runs has a root mean square around one; together they are better."""
    pytest.importorskip("stacie")
    ratios, errors, paths = [], [], []
    for seed in range(2, 12):
        paths.append(series(tmp_path, seed, n=4000))
        assert call(tmp_path, paths[-1]).exit_code == 0
        _, text = read_table(tmp_path / "a_kappa.out")
        value, error = map(float, re.findall(r"([\d.e+-]+) \+- ([\d.e+-]+)", text)[0])
        ratios.append((value - KAPPA) / error)
        errors.append(error)
    assert 0.4 < np.sqrt(np.mean(np.square(ratios))) < 1.8
    assert call(tmp_path, *paths).exit_code == 0
    _, text = read_table(tmp_path / "a_kappa.out")
    assert "10 runs" in text
    value, error = map(float, re.findall(r"([\d.e+-]+) \+- ([\d.e+-]+)", text)[0])
    assert error < 0.6 * np.mean(errors)
    assert abs(value - KAPPA) < 3.5 * error


@pytest.mark.parametrize("style", ["metal", "real"])
def test_log_of_lammps(style: str, tmp_path: Path) -> None:
    """The same fluxes in the units of LAMMPS, without the ions: eV Angstrom/ps and bar, kcal/mol and atm."""
    pytest.importorskip("stacie")
    rng = np.random.default_rng(5)
    heat = decaying(rng, N, 3, HEAT, TAU) * (1000.0 if style == "metal" else 23.060547830619)
    pressure = decaying(rng, N, 6, SHEAR, TAU) * (1e4 if style == "metal" else 1e4 / 1.01325)
    lines = [f"units {style}", f"timestep {0.001 if style == 'metal' else 1.0}", ""]
    lines.append(
        "   Step          Temp          Volume  c_flux[1] c_flux[2] c_flux[3] Pxx Pyy Pzz Pyz Pxz Pxy"
    )
    for k, row in enumerate(np.column_stack([heat, pressure]).tolist()):
        lines.append(f"{5 * k} {T} {VOLUME} " + " ".join(f"{x:.9g}" for x in row))
    (tmp_path / "log.lammps").write_text("\n".join([*lines, "Loop time of 1 on 1 procs"]) + "\n")
    done = call(tmp_path, tmp_path / "log.lammps")
    assert done.exit_code == 0, done.output
    for name, expected in (("kappa", KAPPA), ("viscosity", ETA)):
        _, text = read_table(tmp_path / f"a_{name}.out")
        value, error = map(float, re.findall(r"([\d.e+-]+) \+- ([\d.e+-]+)", text)[0])
        assert abs(value - expected) < 4.0 * error < 0.5 * expected


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "thermostat": (lambda folder: series(folder, n=300, stages="nve nvt"), r"last stage, 2, is nvt.*nve"),
    "momentum": (lambda folder: series(folder, n=300, momentum=0.01), "the momentum of all atoms reaches"),
    "no cell": (lambda folder: without_volume(series(folder, n=300)), "has no volume"),
    "few lines": (lambda folder: series(folder, n=50), "50 lines of one stage, but 200 at least are needed"),
    "no units": (lambda folder: written(folder, "Step Temp\n0 1\n"), "no `units metal` or `units real`"),
    "no columns": (
        lambda folder: written(
            folder, "units metal\nStep Temp Volume\n" + "".join(f"{k} 1 1\n" for k in range(300))
        ),
        r"line 2: has no column c_flux\[1\]",
    ),
}


def without_volume(path: Path) -> Path:
    path.write_text(path.read_text().replace(f" {VOLUME:.12g} ", " nan "))
    return path


def written(folder: Path, text: str) -> Path:
    (folder / "log.lammps").write_text(text)
    return folder / "log.lammps"


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_told(case: str, tmp_path: Path) -> None:
    pytest.importorskip("stacie")
    make, message = BAD[case]
    done = call(tmp_path, make(tmp_path))
    assert done.exit_code == 1
    assert re.search(message, done.output), done.output


def test_a_short_run_says_how_long_would_do(tmp_path: Path) -> None:
    """Errors fall with the root of the length."""
    pytest.importorskip("stacie")
    done = call(tmp_path, series(tmp_path, n=1000))
    assert done.exit_code == 0, done.output
    _, text = read_table(tmp_path / "a_kappa.out")
    value, error = map(float, re.findall(r"([\d.e+-]+) \+- ([\d.e+-]+)", text)[0])
    longer = float(
        re.search(r"5 ps are too short for an error of 10 %: about (\S+) ps would do", done.output)[1]
    )
    assert longer == pytest.approx(5.0 * (error / (0.1 * value)) ** 2, rel=0.1)


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "stacie", None)
    done = call(tmp_path, series(tmp_path, n=300))
    assert done.exit_code == 1
    assert "pip install stacie" in done.output


def test_picture(salt: tuple[Path, str]) -> None:
    """A row of two panels for each file; the value of the header is a line, its error a band."""
    pytest.importorskip("matplotlib")
    from plotting.transport import transport_figure

    folder, _ = salt
    files = [folder / f"a_{name}.out" for name in ("kappa", "viscosity")]
    done = CliRunner().invoke(main, ["plot", "transport", *map(str, files), "--out", str(folder / "t")])
    assert done.exit_code == 0, done.output
    assert (folder / "t.png").is_file()
    tables = [read_table(path) for path in files]
    right = transport_figure(tables).axes[1]
    value = float(re.search(r"conductivity (\S+) ", tables[0][1])[1])
    assert any(np.allclose(line.get_ydata(), value) for line in right.lines)


def test_correlation_and_integral_of_a_cosine() -> None:
    """<cos(wt) cos(w(t + s))> = cos(ws)/2, whose integral is sin(ws)/(2w)."""
    w, dt = 2.0 * np.pi / 50.0, 0.1
    x = np.cos(w * dt * np.arange(50000))[:, None]
    found = autocorrelation(x, 400)
    s = dt * np.arange(400)
    np.testing.assert_allclose(found[:, 0], 0.5 * np.cos(w * s), atol=1e-3)
    np.testing.assert_allclose(running_integral(found, dt)[:, 0], np.sin(w * s) / (2.0 * w), atol=0.02)


def test_traceless_components_have_one_variance() -> None:
    """Of an isotropic tensor: a random symmetric matrix of the Gaussian orthogonal kind, and any pressure."""
    a = np.random.default_rng(0).normal(size=(200000, 3, 3))
    a = (a + a.transpose(0, 2, 1)) / 2.0 + 7.0 * np.eye(3)
    voigt = a[:, (0, 1, 2, 1, 0, 0), (0, 1, 2, 2, 2, 1)]
    np.testing.assert_allclose(traceless(voigt).var(axis=0), 0.5, rtol=0.02)
    np.testing.assert_allclose(traceless(np.array([[5.0, 5, 5, 0, 0, 0]])), 0.0)


def test_heat_without_particles() -> None:
    """Whatever multiple of the fluxes of the elements is added, the same is left."""
    rng = np.random.default_rng(3)
    heat, particles = decaying(rng, 2000, 3, 1.0, TAU), decaying(rng, 2000, 6, 1.0, TAU).reshape(2000, 2, 3)
    plain = without_particles(heat, particles)
    shifted = without_particles(heat + np.einsum("nmx,m->nx", particles, [300.0, -7.0]), particles)
    np.testing.assert_allclose(plain, shifted, atol=1e-9)
