"""The files of a potential, read in C++ and in Python: every number and word is the same.

The C++ reader of ``bnnp/core/potential`` is built into the Python module and into the plugin of LAMMPS. The
potentials here are written by the package itself: with random settings that cover all symmetry functions,
cutoffs, scalings and units, and by training, calibration and export.
"""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.data import atomic_numbers
from lammps_case import ATOMIC, TERNARY, make_potential

from bnnp import _core
from bnnp.descriptors.functions import COMPACT, OPTIONAL, PARAMETERS, SUBTYPES, SymmetryFunction
from bnnp.errors import BnnpError
from bnnp.io.calibration_section import CalibrationData, checksums
from bnnp.io.checksums import checksum_line, read_checksums
from bnnp.io.uncertainty_data import read_uncertainty, write_uncertainty
from bnnp.io.weights import weights_checksum
from bnnp.potential.loading import load
from bnnp.settings.settings import load_settings
from bnnp.uncertainty.calibration import Calibration, Quantity
from bnnp.uncertainty.maps import Isotonic, Quadratic, SigmaMap
from bnnp.uncertainty.training_statistics import TrainingStatistics

ROOT = Path(__file__).resolve().parents[2]


# ----- what Python reads, as the core lays it out --------------------------------------------------------


def read_in_python(directory: Path) -> dict[str, Any]:
    """All that the core's reader gives, from bnnp's own readers."""
    potential = load(directory)
    settings = load_settings(directory / "input.nn", 3)
    model, networks, masks = potential.model, potential.members[0].networks, potential.members[0].masks
    file = directory / "uncertainty.data"
    used = file.exists() and settings.dropout.mc_samples != 0
    uncertainty = read_uncertainty(file) if used else None
    own, statistics = potential.calibration, {}
    if potential.samples > 1 and uncertainty is not None and potential.scalings is not None:
        statistics = uncertainty.statistics or {}
    elements = []
    for element in potential.elements:
        network, data = networks[element], potential.scaling(element)
        factors, means = [None] * len(network.weights), [None] * len(network.weights)
        if masks is not None and masks.means:
            kept = zip(masks.means[element], masks.rates, strict=False)
            means = [mean if rate > 0.0 else None for mean, rate in kept]
        if masks is not None:
            layers = zip(masks.keep[element], masks.rates, strict=False)
            factors = [keep.T / (1.0 - rate) if rate > 0.0 else None for keep, rate in layers]
        elements.append(
            {
                "symbol": element,
                "number": atomic_numbers[element],
                "atom_energy": model.atom_energies.get(element, 0.0),
                "functions": [
                    function_in_python(function, column, potential.elements)
                    for column, function in enumerate(model.functions[element])
                ],
                "layers": [
                    {
                        "activation": letter,
                        "weights": weights,
                        "biases": biases,
                        "masks": factor,
                        "means": mean,
                    }
                    for letter, weights, biases, factor, mean in zip(
                        network.activations, network.weights, network.biases, factors, means, strict=True
                    )
                ],
                "checksum": weights_checksum(network),
                **{
                    name: np.zeros(0) if data is None else getattr(data, name)
                    for name in ("minimum", "maximum", "mean", "sigma")
                },
                "statistics": statistics_in_python(statistics.get(element), potential.elements),
            }
        )
    return {
        "units": potential.units.name,
        "angstrom": potential.units.angstrom,
        "ev": potential.units.ev,
        "elements": elements,
        "cutoff_type": model.cutoff.type,
        "cutoff_alpha": model.cutoff.alpha,
        "scaling": model.scaling.kind,
        "s_min": model.scaling.s_min,
        "s_max": model.scaling.s_max,
        "normalize_nodes": any(network.normalize_nodes for network in networks.values()),
        "mean_energy": model.normalization.mean_energy,
        "conv_energy": model.normalization.conv_energy,
        "conv_length": model.normalization.conv_length,
        "bond_threshold": potential.options.closest,
        "repulsion": (model.repulsion.inner, model.repulsion.outer) if model.repulsion else (0.0, 0.0),
        "ensemble_size": settings.ensemble.ensemble_size,
        "resample": settings.dropout.mc_masks == "resample",
        "single": potential.options.single,
        "samples": potential.samples if masks is not None else 1,
        "rates": np.array(() if uncertainty is None else uncertainty.masks.rates),
        "calibration": {
            "kind": own.kind if own else "",
            "structures": own.structures if own else 0,
            "outside": own.outside if own else 0,
            "energy": quantity_in_python(own.energy if own else None),
            "reach": own.reach if own else np.inf,
            "forces": [quantity_in_python(own.forces.get(x) if own else None) for x in potential.elements]
            if used
            else [],
        },
    }


def function_in_python(function: SymmetryFunction, column: int, elements: tuple[str, ...]) -> dict[str, Any]:
    neighbors = [elements.index(symbol) for symbol in function.neighbors] + [-1, -1]
    values = ("eta", "r_s", "lambda_", "zeta", "r_c", "r_l", "angle_left", "angle_right")
    return {
        "definition": function.definition(),
        "subtype": function.subtype,
        "spec": {
            "element": elements.index(function.element),
            "column": column,
            "type": function.type,
            "neighbor1": neighbors[0],
            "neighbor2": neighbors[1],
            "core": {"": 0, "e": 5}.get(function.subtype) or int(function.subtype[1:2] or 0),
            "asymmetric": function.subtype.endswith("a"),
            **{name: getattr(function, name) for name in values},
        },
    }


def statistics_in_python(own: TrainingStatistics | None, elements: tuple[str, ...]) -> dict[str, Any]:
    names = ("mean", "covariance", "feature_mean", "feature_covariance", "structure_covariance")
    if own is None:
        return {name: np.zeros(0) for name in (*names, "shortest")}
    shortest = np.array([own.shortest.get(element, 0.0) for element in elements])
    return {**{name: getattr(own, name).ravel() for name in names}, "shortest": shortest}


def quantity_in_python(quantity: Quantity | None) -> dict[str, Any]:
    found: dict[str, Any] = {name: np.zeros(0) for name in ("weights", "quadratic", "raw", "calibrated")}
    if quantity is None:
        return {**found, "least": 0.0, "inside": np.inf}
    found |= {name: getattr(quantity, name) for name in ("weights", "least", "inside")}
    if isinstance(quantity.map, Quadratic):
        return {**found, "quadratic": np.array(quantity.map.numbers)}
    assert isinstance(quantity.map, Isotonic)
    return {**found, "raw": quantity.map.raw, "calibrated": quantity.map.calibrated}


def compare(core: Any, expected: Any, where: str = "") -> int:
    """Assert that both are the same to the last bit; how many numbers and words were compared."""
    if isinstance(core, _core.FunctionSpec):
        core = {name: getattr(core, name) for name in expected}
    if isinstance(expected, Mapping):
        assert set(core) == set(expected), where
        return sum(compare(core[name], value, f"{where}.{name}") for name, value in expected.items())
    if isinstance(expected, list):
        assert len(core) == len(expected), where
        pairs = zip(core, expected, strict=True)
        return sum(compare(*pair, f"{where}[{number}]") for number, pair in enumerate(pairs))
    if isinstance(expected, np.ndarray):
        np.testing.assert_array_equal(core, expected, err_msg=where, strict=True)
        return expected.size
    assert core == expected, where
    assert type(core) is type(expected), where
    return 1


def both_read(directory: Path) -> dict[str, Any]:
    """What both readers give, after they were compared."""
    found = _core.read_potential(str(directory))
    assert compare(found, read_in_python(directory)) > 100
    return found


# ----- potentials with random settings --------------------------------------------------------------------

SCALINGS = {
    "none": "",
    "scale": "scale_symmetry_functions\nscale_min_short_atomic -0.25\n",
    "center": "center_symmetry_functions\n",
    "both": "scale_symmetry_functions\ncenter_symmetry_functions\nscale_max_short_atomic 2.5\n",
    "sigma": "scale_symmetry_functions_sigma\nscale_min_short_atomic 0.125\n",
}
ELEMENTS = [("Ge",), ("Te", "O"), ("U", "H", "Cl"), ("Au", "Cu", "Si", "B")]
LETTERS = "ltsSgcehpr"
TRANSFORMS: dict[str, Callable[[np.random.Generator], float]] = {
    "eta": lambda rng: rng.choice([0.0, 0.5, 10.0 ** rng.uniform(-5, 0)]),
    "r_s": lambda rng: rng.choice([0.0, 2.0, rng.uniform(0, 3)]),
    "lambda_": lambda rng: rng.choice([-1.0, 1.0]),
    "zeta": lambda rng: rng.choice([1.0, 16.0, rng.uniform(0.5, 9)]),
    "r_c": lambda rng: rng.choice([6.0, rng.uniform(4.0, 6.0)]),
    "r_l": lambda rng: rng.choice([0.0, -1.5, rng.uniform(0.0, 3.0)]),
    "angle_left": lambda rng: rng.choice([0.0, 15.5, rng.uniform(0.0, 80.0)]),
    "angle_right": lambda rng: rng.choice([180.0, 120.0, rng.uniform(90.0, 179.0)]),
}


def words(type_: int, rng: np.random.Generator) -> str:
    """A type and its parameters, in the many ways in which numbers are written."""
    names = PARAMETERS[type_] + (OPTIONAL.get(type_, ()) if rng.random() < 0.5 else ())
    found = [str(type_)]
    for name in names:
        if name == "subtype":
            found.append(str(rng.choice(SUBTYPES)))
            continue
        value = float(TRANSFORMS[name](rng))
        text = str(rng.choice([repr(value), f"{value:.17e}", f"{value:.17e}".replace("e", "D")]))
        found.append(f"{int(value)}" if value == int(value) and rng.random() < 0.5 else text)
    return " ".join(found)


def random_input(number: int) -> str:
    """An input.nn of mode 2: all symmetry functions, in all three forms of the keyword."""
    rng = np.random.default_rng(number)
    elements = ELEMENTS[number % len(ELEMENTS)]
    layers = 1 + number % 3
    lines = [
        f"units {'metal' if number % 2 else 'atomic'}",
        f"number_of_elements {len(elements)}",
        f"elements {' '.join(elements)}",
        f"cutoff_type {number % 9}" + (" 0.125" if number % 9 not in (2, 3) and number % 2 else ""),
        f"global_hidden_layers_short {layers}",
        "global_nodes_short " + " ".join(map(str, rng.integers(2, 6, layers))),
        "global_activation_short " + " ".join([*rng.choice(list(LETTERS), layers), "l"]),
    ]
    lines += ["normalize_nodes"] * (number % 3 == 1)
    if number % 4 == 2:
        lines += [f"{name} {rng.normal() ** 2!r}" for name in ("mean_energy", "conv_energy", "conv_length")]
    if number % 3 == 0:
        lines.append("remove_atom_energies")
        lines += [f"atom_energy {element} {100 * rng.normal()!r}" for element in elements]
    for type_ in PARAMETERS:
        text = words(type_, rng)
        center = rng.choice(elements)
        form = rng.integers(3)
        if form == 0:
            lines.append(f"global_symfunction_short {text}")
        elif form == 1:
            lines.append(f"element_symfunction_short {center} {text}")
        else:
            count = 0 if type_ in (12, 13, 23, 24, 25) else 2 if type_ in (3, 8, 9, 21, 22) else 1
            head, *rest = text.split()
            lines.append(" ".join(["symfunction_short", center, head, *rng.choice(elements, count), *rest]))
    lines.append("global_symfunction_short 2 0.05 0.0 6.0")  # for elements that got none
    return "\n".join(lines) + "\n" + list(SCALINGS.values())[number % len(SCALINGS)]


@pytest.mark.parametrize("number", range(20))
def test_random_settings(tmp_path: Path, number: int) -> None:
    """Without masks, and with dropout of hidden layers, of the inputs, or of some layers only; every second
    one with centered masks."""
    text = random_input(number)
    layers = 1 + number % 3
    rates = [(), (0.0, *[0.2] * layers), (0.1, *[0.25] * layers), (0.0, 0.3, *[0.0] * (layers - 1))][
        number // 5
    ]
    centered = number % 2 == 1
    found = both_read(make_potential(tmp_path / "run", text, rates, 3 + number, centered))
    assert found["scaling"] == list(SCALINGS)[number % len(SCALINGS)]
    assert found["samples"] == (3 + number if rates else 1)
    types = {function["spec"].type for element in found["elements"] for function in element["functions"]}
    assert types == set(PARAMETERS)
    assert types > COMPACT


@pytest.mark.parametrize("text", [TERNARY, ATOMIC], ids=["ternary", "atomic"])
@pytest.mark.parametrize(
    "more",
    [
        "mc_samples 0",
        "mc_samples 1",
        "mc_samples 4",
        "bond_threshold 0.3125",
        "uncertainty mc",
        "random_seed 3",
    ],
)
def test_keywords_of_mode_3(tmp_path: Path, text: str, more: str) -> None:
    rates = (0.0, 0.2, 0.2) if text is TERNARY else (0.1, 0.1, 0.1, 0.0)
    directory = make_potential(tmp_path / "run", text, rates)
    with open(directory / "input.nn", "a") as file:
        file.write(more + "\n")
    both_read(directory)


def test_ensemble_is_that_of_its_first_network(tmp_path: Path) -> None:
    directory = make_potential(tmp_path / "run", ATOMIC, (0.1, 0.1, 0.1, 0.0))
    shutil.copytree(directory, directory / "member_02")
    with open(directory / "input.nn", "a") as file:
        file.write("ensemble_size 2\nmc_samples 7\n")
    found = _core.read_potential(str(directory))
    expected = {**read_in_python(directory), "samples": 4}  # Python counts those of all members
    compare(found, expected)
    assert found["ensemble_size"] == 2


# ----- calibration -----------------------------------------------------------------------------------------


def isotonic(numbers: list[float]) -> Isotonic:
    return Isotonic(np.cumsum(numbers), 0.0123 + 1.7 * np.cumsum(numbers))


QUADRATIC = Quadratic(0.0123456789012345678, 1.25, 1e-17, 0.333333333333333315)
ISOTONIC = isotonic([1e-5, 0.1, 1 / 3, 2e-3])
CALIBRATIONS: dict[str, tuple[str, SigmaMap | None, dict[str, SigmaMap]]] = {
    "quadratic": ("mc", QUADRATIC, dict.fromkeys(("Ge", "Sb", "Te"), QUADRATIC)),
    "isotonic": ("mc", ISOTONIC, {"Ge": ISOTONIC, "Sb": isotonic([0.5]), "Te": QUADRATIC}),
    "an element is left out": ("mc", ISOTONIC, {"Te": isotonic([0.0, 1.0])}),
    "energy is left out": ("mc", None, {"Ge": QUADRATIC}),
    "hybrid beside it": ("hybrid", QUADRATIC, dict.fromkeys(("Ge", "Sb", "Te"), ISOTONIC)),
    "hybrid alone": ("hybrid", None, {}),
}


def calibrate(directory: Path, use: str, energy: SigmaMap | None, forces: Mapping[str, SigmaMap]) -> None:
    """Write a calibration of kind mc, and one of kind hybrid if that is to be used."""

    def quantity(map_: SigmaMap, *parts: float, **more: float) -> Quantity:
        return Quantity(map_, np.array(parts), {68: 1.0, 95: 2.0}, **more)  # type: ignore[arg-type]

    potential = load(directory)
    own = {x: quantity(map_, -1.1) for x, map_ in forces.items()}
    mc = None if energy is None else quantity(energy, 0.7)
    kinds = {"mc": Calibration("mc", mc, own, None, potential.samples, 120, 40)} if forces else {}
    if use == "hybrid":
        all_parts = quantity(QUADRATIC, 1.0, 0.5, 0.25, least=0.0625, inside=0.5)
        of_elements = dict.fromkeys(potential.elements, replace(all_parts, inside=np.inf))
        calibration = Calibration(use, all_parts, of_elements, None, potential.samples, 120, 40)
        kinds[use] = replace(calibration, reach=1.5)
    networks = [member.networks for member in potential.members]
    sizes = {x: (network.n_inputs, network.sizes[-1]) for x, network in networks[0].items()}
    rng = np.random.default_rng(3)
    statistics = {
        x: TrainingStatistics.of(
            rng.normal(size=(9, n)), rng.normal(size=(9, hidden)), np.arange(9) // 2, {"Te": 2.5}
        )
        for x, (n, hidden) in sizes.items()
    }
    data = CalibrationData(use, checksums(networks), kinds)
    path = directory / "uncertainty.data"
    found = read_uncertainty(path).with_statistics(statistics).with_calibration(data)
    write_uncertainty(path, found, checksum_line(read_checksums(path)))


@pytest.mark.parametrize("case", CALIBRATIONS.values(), ids=CALIBRATIONS.keys())
def test_calibrations(tmp_path: Path, case: tuple[str, SigmaMap | None, dict[str, SigmaMap]]) -> None:
    directory = make_potential(tmp_path / "run", TERNARY, (0.0, 0.2, 0.2))
    calibrate(directory, *case)
    found = both_read(directory)["calibration"]
    assert found["kind"] == case[0]
    expected = [1.0, 0.5, 0.25] if case[0] == "hybrid" else [] if case[1] is None else [0.7]
    assert found["energy"]["weights"].tolist() == expected
    limits = found["energy"]["least"], found["energy"]["inside"], found["reach"]
    assert limits == ((0.0625, 0.5, 1.5) if case[0] == "hybrid" else (0.0, np.inf, np.inf))
    assert found["outside"] == 40


def test_keyword_of_input_nn_selects_the_calibration(tmp_path: Path) -> None:
    directory = make_potential(tmp_path / "run", TERNARY, (0.0, 0.2, 0.2))
    calibrate(directory, *CALIBRATIONS["hybrid beside it"])
    with open(directory / "input.nn", "a") as file:
        file.write("uncertainty mc\n")
    assert both_read(directory)["calibration"]["kind"] == "mc"


# ----- training and export ---------------------------------------------------------------------------------


def bnnp(directory: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "bnnp", *arguments]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The quickstart, trained for a moment and calibrated at the end of mode 2."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    shutil.copytree(ROOT / "inputs" / "quickstart", folder)
    settings = (folder / "input.nn").read_text()
    settings = settings.replace("epochs                      150", "epochs 2").replace(" 100\n", " 8\n")
    assert "epochs 2" in settings
    (folder / "input.nn").write_text(settings)
    data = (folder / "input.data").read_text()
    assert data.count("set=test") >= 40
    (folder / "input.data").write_text(data.replace("set=test", "set=calibration"))
    bnnp(folder, "--mode", "1")
    bnnp(folder, "--mode", "2")
    return folder


@pytest.mark.slow  # trains
def test_trained_and_calibrated(trained: Path) -> None:
    found = both_read(trained / "potential")
    assert found["samples"] == 8
    assert found["calibration"]["kind"] == "hybrid"  # as the quickstart asks
    assert found["calibration"]["energy"]["quadratic"].size + found["calibration"]["energy"]["raw"].size > 0


@pytest.mark.slow
def test_exported(trained: Path, tmp_path: Path) -> None:
    bnnp(trained, "--export", "bnnp", str(tmp_path / "exported"))
    assert compare(both_read(tmp_path / "exported"), read_in_python(trained / "potential")) > 100


def test_the_shipped_potential() -> None:
    assert both_read(ROOT / "inputs" / "lammps" / "potential")["samples"] == 100


# ----- files that are not as they were written -------------------------------------------------------------


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def swap_columns(path: Path, first: int, second: int) -> None:
    """Of all rows of numbers."""
    lines = path.read_text().splitlines()
    for row, line in enumerate(lines):
        found = line.split()
        if not line.startswith("#") and len(found) > max(first, second):
            found[first], found[second] = found[second], found[first]
            lines[row] = " ".join(found)
    path.write_text("\n".join(lines) + "\n")


def first_digit(path: Path) -> None:
    """Changes the last digit of the first number of a table."""
    lines = path.read_text().splitlines()
    row = next(k for k, line in enumerate(lines) if line.strip() and not line.startswith("#"))
    at = lines[row].rindex("E", 0, 60 if "scaling" in path.name else 30) - 1
    lines[row] = lines[row][:at] + str((int(lines[row][at]) + 3) % 10) + lines[row][at + 1 :]
    path.write_text("\n".join(lines) + "\n")


def strip_identity(directory: Path) -> None:
    """As of another program: nothing is compared."""
    for path in directory.glob("*.data"):
        lines = [line for line in path.read_text().splitlines() if not line.startswith("# potential")]
        path.write_text("\n".join(lines) + "\n")


def other_digest(path: Path) -> None:
    text = path.read_text()
    at = text.index("weights.052:") + len("weights.052:")
    path.write_text(text[:at] + ("1" if text[at] == "0" else "0") + text[at + 1 :])


def out_of_order(directory: Path) -> None:
    """Minimum and maximum change places, in a file of another program: without the line `# potential`."""
    strip_identity(directory)
    swap_columns(directory / "scaling.data", 2, 3)


CHANGED = "do not belong together. Changed since mode 2 wrote them: "
UNITS = "units metal\n"
DAMAGES: list[tuple[Callable[[Path], None], str]] = [
    (lambda d: shutil.rmtree(d), "input.nn cannot be read"),
    (lambda d: (d / "weights.051.data").unlink(), "weights.051.data cannot be read"),
    (lambda d: (d / "scaling.data").unlink(), "scaling.data cannot be read"),
    (lambda d: first_digit(d / "weights.032.data"), f"{CHANGED}weights.032"),
    (lambda d: first_digit(d / "scaling.data"), f"{CHANGED}ranges"),
    (lambda d: swap_columns(d / "scaling.data", 3, 4), f"{CHANGED}ranges"),
    (lambda d: edit(d / "input.nn", "6.25", "6.26"), f"{CHANGED}functions"),
    (lambda d: edit(d / "input.nn", UNITS, "units atomic\n"), f"{CHANGED}functions"),
    (lambda d: edit(d / "input.nn", "cutoff_type 2", "cutoff_type 1"), f"{CHANGED}functions"),
    (lambda d: edit(d / "input.nn", "scale_max_short 1.7", "scale_max_short 1.8"), f"{CHANGED}scaling"),
    (lambda d: edit(d / "input.nn", "t s l", "t t l"), f"{CHANGED}layers"),
    (lambda d: edit(d / "input.nn", "-31234.5", "-31234.25"), f"{CHANGED}atoms"),
    (lambda d: edit(d / "input.nn", UNITS, f"{UNITS}mean_energy 1.0\nconv_energy 1\nconv_length 1\n"),
     f"{CHANGED}normalization"),
    (lambda d: edit(d / "input.nn", UNITS, f"{UNITS}no_such_keyword 3\n"),
     "line 3: `no_such_keyword` is no keyword of a finished potential"),
    (lambda d: edit(d / "input.nn", UNITS, UNITS + UNITS), "`units` is there already, in line 2"),
    (lambda d: edit(d / "input.nn", UNITS, f"{UNITS}ensemble_size 0\nmc_samples 4\n"),
     "line 3: `ensemble_size 0`, expected at least 1"),
    (lambda d: edit(d / "input.nn", UNITS, f"{UNITS}mc_samples -1\n"),
     "line 3: `mc_samples -1`, expected at least 0"),
    (lambda d: edit(d / "input.nn", UNITS, f"{UNITS}mc_samples 2.0\n"), "line 3: `2.0` is not an integer"),
    (lambda d: edit(d / "input.nn", UNITS, f"{UNITS}random_seed x\n"), "line 3: `random_seed x`, expected"),
    (lambda d: edit(d / "input.nn", UNITS, f"{UNITS}zbl_repulsion 1.0 0.9\n"), "expects 0 <= r_in < r_out"),
    (lambda d: edit(d / "input.nn", UNITS, f"{UNITS}zbl_repulsion 1.0\n"), "needs two numbers"),
    (lambda d: edit(d / "input.nn", UNITS, f"{UNITS}precision half\n"), "expected double or single"),
    (lambda d: edit(d / "input.nn", UNITS, f"{UNITS}zbl_repulsion 1.0 9.0\n"), "beyond the longest cutoff"),
    (lambda d: edit(d / "input.nn", UNITS, f"{UNITS}zbl_repulsion 1.0 2.0\n"), f"{CHANGED}repulsion"),
    (lambda d: edit(d / "input.nn", UNITS, f"{UNITS}bond_threshold -1\n"), "`bond_threshold` is negative"),
    (lambda d: edit(d / "input.nn", "cutoff_type 2", "cutoff_type 1 1.5"), "alpha of cutoff_type is 1.5"),
    (lambda d: edit(d / "input.nn", "cutoff_type 2", "cutoff_type 2 0.5"), "cutoff_type 2 has no alpha"),
    (lambda d: edit(d / "input.nn", "scale_max_short 1.7", "scale_max_short -9.0"), "must be smaller than"),
    (lambda d: out_of_order(d), "mean and maximum are not in this order"),
    (lambda d: edit(d / "uncertainty.data", "seed ", "# "), "no `seed` in [masks]"),
    (lambda d: edit(d / "input.nn", "t s l", "t s"), "do not fit together"),
    (lambda d: edit(d / "input.nn", "elements Ge", "elements Xx"), "has an unknown symbol"),
    (lambda d: edit(d / "input.nn", "_short Ge 12 ", "_short Ge 5 "), "type 5 does not exist"),
    (lambda d: edit(d / "input.nn", " p2a\n", " p5a\n"), "subtype `p5a` does not exist"),
    (lambda d: edit(d / "uncertainty.data", "mask Sb 1 10 ", "# "), "9 masks in layer 1 of Sb, expected"),
    (lambda d: edit(d / "uncertainty.data", "mask Sb 1 10 ", "mask Sb 1 9 "), "`mask Sb 1 9 "),
    (lambda d: edit(d / "uncertainty.data", "format 1", "format 2"), "the means of layer 1 of Ge"),
    (lambda d: edit(d / "uncertainty.data", "format 1", "format 3"), "neither `format 1` nor `format 2`"),
    (lambda d: edit(d / "uncertainty.data", "mask Sb 1 10 ", "mean Sb 1 2\nmask Sb 1 10 "), "`mean Sb 1 2` "),
    (lambda d: other_digest(d / "uncertainty.data"),
     "scaling.data and uncertainty.data belong to different potentials"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), DAMAGES, ids=[message for _, message in DAMAGES])
def test_both_refuse(tmp_path: Path, change: Callable[[Path], None], message: str) -> None:
    directory = make_potential(tmp_path / "run", TERNARY, (0.0, 0.2, 0.2))
    change(directory)
    with pytest.raises(RuntimeError) as found:
        _core.read_potential(str(directory))
    assert message in str(found.value)
    with pytest.raises(BnnpError):
        load(directory)


def test_repulsion(tmp_path: Path) -> None:
    """Both read it, and both miss the line when it is gone."""
    directory = make_potential(tmp_path / "run", TERNARY + "zbl_repulsion 0.75 1.5\n", (0.0, 0.2, 0.2))
    assert both_read(directory)["repulsion"] == (0.75, 1.5)
    edit(directory / "input.nn", "zbl_repulsion 0.75 1.5\n", "")
    with pytest.raises(RuntimeError, match="depends on `repulsion`"):
        _core.read_potential(str(directory))
    with pytest.raises(BnnpError, match="zbl_repulsion of input.nn"):
        load(directory)


def test_more_samples_than_masks(tmp_path: Path) -> None:
    """Only Python can draw them."""
    directory = make_potential(tmp_path / "run", TERNARY, (0.0, 0.2, 0.2))
    with open(directory / "input.nn", "a") as file:
        file.write("mc_samples 11\n")
    with pytest.raises(RuntimeError, match=r"mc_samples is 11, but uncertainty\.data holds 10 masks"):
        _core.read_potential(str(directory))


@pytest.mark.parametrize(
    ("line", "new", "message"),
    [
        ("version", "version 1", "not of version 2"),
        ("mean Ge", "mean Ge 1.0", "mean Ge"),
        ("mean Ge", "", "mean Ge"),
        ("covariance Sb 3", "", "covariance Sb"),
        ("covariance Sb 3", "covariance Sb 3 1.0 2.0", "covariance Sb"),
        ("feature_mean Te", "feature_mean Te " + "x " * 6, "feature_mean Te: `x` is not a finite number"),
        ("feature_covariance Te 1", "feature_covariance Te 1 1.0 1.0", "feature_covariance Te"),
        ("shortest Ge", "shortest Ge Te -1.0", "shortest Ge"),
    ],
)
def test_both_refuse_a_damaged_domain(tmp_path: Path, line: str, new: str, message: str) -> None:
    directory = make_potential(tmp_path / "run", TERNARY, (0.0, 0.2, 0.2))
    calibrate(directory, *CALIBRATIONS["hybrid alone"])
    path = directory / "uncertainty.data"
    before, section = path.read_text().split("[domain]\n")
    lines = section.splitlines()
    row = next(number for number, text in enumerate(lines) if text.startswith(f"{line} "))
    lines[row] = new
    path.write_text(before + "[domain]\n" + "\n".join(lines) + "\n")
    with pytest.raises(RuntimeError) as found:
        _core.read_potential(str(directory))
    assert str(found.value).startswith("uncertainty.data, [domain]: ")
    assert message in str(found.value)
    assert "Run mode 2 again" in str(found.value)
    with pytest.raises(BnnpError):
        load(directory)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("", "needs a calibration"),
        ("quadratic", "only the other kind is calibrated"),
        ("hybrid alone", "needs the statistics of the training set"),
    ],
)
def test_both_refuse_hybrid_without_what_it_needs(tmp_path: Path, case: str, message: str) -> None:
    directory = make_potential(tmp_path / "run", TERNARY, (0.0, 0.2, 0.2))
    if case:
        calibrate(directory, *CALIBRATIONS[case])
    if case == "hybrid alone":
        before, section = (directory / "uncertainty.data").read_text().split("[domain]\n")
        (directory / "uncertainty.data").write_text(before + section[section.index("[calibration]") :])
    with open(directory / "input.nn", "a") as file:
        file.write("uncertainty hybrid\n")
    with pytest.raises(RuntimeError, match=message):
        _core.read_potential(str(directory))
    with pytest.raises(BnnpError):
        load(directory)


ENERGY = "mc energy map quadratic"


@pytest.mark.parametrize(
    ("line", "new", "message"),
    [
        ("version", "version 1", "version 1, but this bnnp knows 3"),
        ("weights Sb", "weights Sb 0123", "was made with other networks than those here"),
        ("weights Sb", "", "was made with other networks than those here"),
        ("use", "use hybrid", "no `use`, or nothing of its kind"),
        (ENERGY, f"{ENERGY} 0.1 1.0 0.0", "needs s_0, a, b >= 0, not all 0, and largest > 0"),
        (ENERGY, f"{ENERGY} 0.1 -1.0 0.0 1.0", "needs s_0, a, b >= 0, not all 0, and largest > 0"),
        (ENERGY, f"{ENERGY} 0.1 x 0.0 1.0", "mc energy: `x` is not a finite number"),
        (ENERGY, "mc energy map isotonic 0.1 1.0 0.2 0.5", "needs pairs of a rising raw and a calibrated"),
        (ENERGY, "mc energy map isotonic 0.1 1.0 0.2", "needs pairs of a rising raw and a calibrated sigma"),
        (ENERGY, "mc energy map isotonic 0.0 0.0 1.0 1.0", "needs pairs of a rising raw and a calibrated"),
        (ENERGY, "mc energy map cubic 1", "is neither quadratic nor isotonic"),
        ("mc forces Te conformal", "", "no `mc forces Te conformal`"),
        ("mc structures", "mc structures a 0 10", "mc structures: `a` is not a finite number"),
        ("mc structures", "mc structures 120", "no `mc structures` with three numbers"),
    ],
)
def test_both_refuse_a_damaged_calibration(tmp_path: Path, line: str, new: str, message: str) -> None:
    directory = make_potential(tmp_path / "run", TERNARY, (0.0, 0.2, 0.2))
    calibrate(directory, *CALIBRATIONS["quadratic"])
    path = directory / "uncertainty.data"
    before, section = path.read_text().split("[calibration]\n")
    lines = section.splitlines()
    (row,) = (number for number, text in enumerate(lines) if text.startswith(f"{line} "))
    lines[row] = new
    path.write_text(before + "[calibration]\n" + "\n".join(lines) + "\n")
    with pytest.raises(RuntimeError) as found:
        _core.read_potential(str(directory))
    assert str(found.value).startswith("uncertainty.data, [calibration]: ")
    assert message in str(found.value)
    assert "Calibrate again" in str(found.value)
    with pytest.raises(BnnpError):
        load(directory)


@pytest.mark.parametrize(("column", "name"), [(2, "minimum"), (3, "maximum"), (4, "mean"), (5, "sigma")])
def test_columns_are_told_apart(tmp_path: Path, column: int, name: str) -> None:
    """A potential of another program, one column of scaling.data changed: both readers see the change there
    and nowhere else."""
    directory = make_potential(tmp_path / "run", ATOMIC.replace("_sigma", ""), ())
    strip_identity(directory)
    before = both_read(directory)["elements"][0]
    path = directory / "scaling.data"
    rows = [line.split() for line in path.read_text().splitlines() if not line.startswith("#")]
    for row in rows:
        if len(row) == 6:
            middle = (float(row[2]) + float(row[3])) / 2.0
            row[column] = repr([float(row[2]) - 1.0, float(row[3]) + 1.0, middle, 7.0][column - 2])
    path.write_text("\n".join(" ".join(row) for row in rows) + "\n")
    after = both_read(directory)["elements"][0]
    for other in ("minimum", "maximum", "mean", "sigma"):
        assert np.array_equal(after[other], before[other]) == (other != name)


def test_five_columns_have_no_sigma(tmp_path: Path) -> None:
    """As RuNNer writes them."""
    directory = make_potential(tmp_path / "run", TERNARY, ())
    strip_identity(directory)
    path = directory / "scaling.data"
    rows = [line.split()[:5] for line in path.read_text().splitlines() if not line.startswith("#")]
    path.write_text("\n".join(" ".join(row) for row in rows) + "\n")
    assert all(math.isnan(sigma) for sigma in both_read(directory)["elements"][0]["sigma"])
