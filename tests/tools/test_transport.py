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


def driven(folder: Path, seed: int, n: int = 4000, force: float = 2e-4, name: str = "heat_flux") -> Path:
    """A series with a driving force after a stage without, whose work is a mean power and noise."""
    path = series(folder, seed, n=n)
    lines = path.read_text().splitlines()
    rng = np.random.default_rng(seed)
    power = POWER + decaying(rng, n, 1, 6.0 * POWER, TAU)[:, 0]  # eV/fs
    work = np.cumsum(STEP * power)
    head = lines[0].replace(
        "; stages: nve", f"; driving force of each stage in 1/Angstrom: 0 {force}; work in eV; "
    )
    head = head.replace(" | ", " work | ") + "stages: nvt nvt"
    rows = [f"{line} {w!r}" for line, w in zip(lines[1:], work.tolist(), strict=True)]
    rows = [re.sub(r"^(\S+) 1 ", r"\1 2 ", row) for row in rows]
    path = folder / f"{name}_{seed}.out"
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


POWER = 3e-6  # eV/fs
DRIVEN = POWER / (T * VOLUME * 2e-4**2) * 1.602176634e6  # W/(m K), of eV/(fs Angstrom K)


@pytest.mark.slow
def test_conductivity_of_a_driven_run(tmp_path: Path) -> None:
    """<J F_e>/(T V F_e^2) = power / (T V F_e^2) within its error, of one run by blocks and of several."""
    for paths, words in (
        ([driven(tmp_path, 3, n=20000)], "5 blocks"),
        ([driven(tmp_path, seed) for seed in range(4, 10)], "6 runs"),
    ):
        done = call(tmp_path, *paths)
        assert done.exit_code == 0, done.output
        table, text = read_table(tmp_path / "a_kappa.out")
        assert words in text
        value, error = map(float, re.findall(r"([\d.e+-]+) \+- ([\d.e+-]+)", text)[0])
        assert abs(value - DRIVEN) < 3.0 * error < 1.5 * DRIVEN
        assert table["running_mean"][-1] == pytest.approx(value, rel=1e-3)
    one = driven(tmp_path, 3, n=300)
    for words, message in (
        (("--charges", "Na=1 Cl=-1"), "tells no ionic conductivity"),
        (("--blocks", "1"), "one run needs two blocks at least"),
        (("--until", "1"), "--log and --until belong to files of fix ave/correlate"),
    ):
        done = call(tmp_path, one, *words)
        assert done.exit_code == 1
        assert message in done.output
    done = call(tmp_path, driven(tmp_path, 3, n=300), driven(tmp_path, 4, n=300, force=1e-4))
    assert done.exit_code == 1
    assert "another driving force" in done.output


def correlated(folder: Path, average: str, windows: int = 30, nlags: int = 121) -> Path:
    """What fix ave/correlate writes of a decaying heat flux in `units metal`, every step one of 5 fs."""
    each = 2000
    flux = 1000.0 * decaying(np.random.default_rng(11), windows * each + 1, 3, HEAT, TAU)
    lines = ["# Time-correlated data for fix JJ", "# Timestep Number-of-time-windows"]
    lines.append("# Index TimeDelta Ncount " + " ".join(f"c_flux[{k}]*c_flux[{k}]" for k in (1, 2, 3)))
    for window in range(windows + 1):
        end = window * each + 1
        begin = 0 if average == "running" else max(0, end - 1 - each)
        part = flux[begin:end]
        lines.append(f"{window * each} {nlags}")
        for lag in range(nlags):
            n = max(0, len(part) - lag)
            mean = (part[:n] * part[lag:]).mean(axis=0) if n else np.zeros(3)
            lines.append(f"{lag + 1} {lag} {n} " + " ".join(f"{x:g}" for x in mean))
    (folder / "J0Jt.dat").write_text("\n".join(lines) + "\n")
    log = [
        "units metal",
        "timestep 0.005",
        "Step Temp Volume",
        *(f"{k} {T} {VOLUME}" for k in range(5)),
        "Loop",
    ]
    (folder / "log.lammps").write_text("\n".join(log) + "\n")
    return folder / "J0Jt.dat"


@pytest.mark.slow
@pytest.mark.parametrize("average", ["one", "running"])
def test_fix_ave_correlate(average: str, tmp_path: Path) -> None:
    """The integral to 6 correlation times, windows apart also where the file adds them up."""
    path = correlated(tmp_path, average)
    done = call(tmp_path, path, "--log", tmp_path / "log.lammps")
    assert done.exit_code == 0, done.output
    table, text = read_table(tmp_path / "a_kappa.out")
    assert "90 correlation functions" in text  # 30 windows, 3 directions
    value, error = map(float, re.findall(r"([\d.e+-]+) \+- ([\d.e+-]+)", text)[0])
    assert abs(value - KAPPA) < 3.0 * error < 0.5 * KAPPA
    np.testing.assert_allclose(table["time"], 0.005 * np.arange(121))
    done = call(tmp_path, path, "--log", tmp_path / "log.lammps", "--until", "0.1")
    _, text = read_table(tmp_path / "a_kappa.out")
    value = float(re.search(r"conductivity (\S+)", text)[1])
    assert value == pytest.approx((1.0 - np.exp(-1.0)) * KAPPA, rel=0.1)
    assert "the last third of the integral adds" in done.output


def test_viscosity_of_fix_ave_correlate(tmp_path: Path) -> None:
    """The same numbers as pressures: V/(kT) in bar^2 instead of 1/(V k T^2) in (eV Angstrom/ps)^2."""
    path = correlated(tmp_path, "one")
    text = path.read_text()
    for k, name in enumerate(("xy", "xz", "yz"), start=1):
        text = text.replace(f"c_flux[{k}]", f"v_p{name}")
    path.write_text(text)
    done = call(tmp_path, path, "--log", tmp_path / "log.lammps")
    assert done.exit_code == 0, done.output
    table, text = read_table(tmp_path / "a_viscosity.out")
    variance = (1000.0 * HEAT * 1e5) ** 2  # Pa^2
    expected = VOLUME * 1e-30 / (1.380649e-23 * T) * variance * TAU * 1e-15 * 1e3  # mPa s
    value, error = map(float, re.findall(r"([\d.e+-]+) \+- ([\d.e+-]+)", text)[0])
    assert abs(value - expected) < 3.0 * error < 0.5 * expected


def test_bad_files_of_fix_ave_correlate_are_told(tmp_path: Path) -> None:
    path, log = correlated(tmp_path, "one", windows=2), tmp_path / "log.lammps"
    text = path.read_text()
    lines = text.splitlines()
    cases = (
        (text, (), "name the log of the run with --log"),
        (text, ("--log", log, "--charges", "Na=1"), "no velocities of elements for --charges"),
        (text, ("--log", log, "--until", "0.001"), "--until 0.001: expected at least 0.005 ps"),
        (text, ("--log", log, "--skip", 5), "line 3: 5 lines of thermo output .* but 5 are left out"),
        (text, ("--log", log, log), "is a file of fix ave/correlate; give it alone"),
        (text.replace("c_flux", "c_other"), ("--log", log), r"neither the autocorrelations of c_flux"),
        ("\n".join(lines[:20]), ("--log", log), "no block has all of its 0 correlation times"),
        (text.replace("\n3 2 1999 ", "\n3 2 1999 x", 1), ("--log", log), r"line \d+: is damaged"),
        (text.replace("\n3 2 1999 ", "\n3 2 1999 7 ", 1), ("--log", log), r"line \d+: 7 numbers, expected 6"),
    )
    for changed, words, message in cases:
        path.write_text(changed)
        done = call(tmp_path, path, *words)
        assert done.exit_code == 1
        assert re.search(message, " ".join(done.output.split())), (message, done.output)


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "thermostat": (lambda folder: series(folder, n=300, stages="nve nvt"), r"last stage, 2, is nvt.*nve"),
    "momentum": (lambda folder: series(folder, n=300, momentum=0.01), "the momentum of all atoms reaches"),
    "no cell": (lambda folder: without_volume(series(folder, n=300)), "has no volume"),
    "few lines": (lambda folder: series(folder, n=50), "50 lines of one stage, but 200 at least are needed"),
    "no units": (lambda folder: written(folder, "Step Temp\n0 1\n"), "no `units metal` or `units real`"),
    "damaged": (
        lambda folder: written(folder, "units metal\nStep Temp Volume\n0 1 1\n1 1O 1\n"),
        r"line 4: is damaged .*1O",
    ),
    "charges": (lambda folder: series(folder, n=300), "--charges has K, which is not in the run"),
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
    words = ("--charges", "Na=1 Cl=-1 K=1") if case == "charges" else ()
    done = call(tmp_path, make(tmp_path), *words)
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


def test_picture_of_a_driven_run(tmp_path: Path) -> None:
    """One panel: the running mean, and its last value as a line."""
    pytest.importorskip("matplotlib")
    from plotting.transport import transport_figure

    call(tmp_path, driven(tmp_path, 3))
    table, text = read_table(tmp_path / "a_kappa.out")
    left, right = transport_figure([(table, text)]).axes
    assert not left.get_visible()
    assert right.get_ylabel() == "running mean (W/(m K))"
    np.testing.assert_allclose(right.lines[0].get_ydata(), table["running_mean"])
    value = float(re.search(r"conductivity (\S+) ", text)[1])
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
