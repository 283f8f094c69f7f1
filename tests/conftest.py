"""What all tests share: one thread, and the folder of reference data that may lie beside the project."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

collect_ignore = ["campaigns"]  # run by hand

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first.

    Two processes take file after file in this order (`tools/test.sh`): short ones at the end let both end at
    about the same time.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def wide_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages in one line each; tests of their width take this away."""
    monkeypatch.setenv("COLUMNS", "1000")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder ``../shared`` with real data and reference numbers; the test is skipped where it is missing."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("reference data ../shared is not here")
    return folder


SOLID = """\
number_of_elements 1
elements Cu
units {units}
cutoff_type 2
scale_symmetry_functions
center_symmetry_functions
global_hidden_layers_short 1
global_nodes_short 12
global_activation_short l l
nn_type_short 1
use_short_nn
symfunction_short Cu 2 Cu {eta_1!r} 0.0 {r_c!r}
symfunction_short Cu 2 Cu {eta_2!r} {r_s!r} {r_c!r}
"""
REPULSION, ATTRACTION = 800.0, 1.25  # eV
ETA = (1.0, 1.5)  # 1/Angstrom^2
R_S, R_C = 2.9, 5.0  # Angstrom
LATTICE = 4.0  # Angstrom, close to the equilibrium of the fcc crystal


def write_solid(folder: Path, units: str = "metal", samples: int = 10, extra: str = "") -> Path:
    """A potential whose energy is known in closed form, for dynamics: copper with a pair potential.

    E = f sum over ordered pairs of A exp(-eta_1 r^2) f_c(r) - B exp(-eta_2 (r - r_s)^2) f_c(r) with the
    tanh^3 cutoff, as a network of linear nodes; f is 1 without samples and the mean factor of the masks with
    them. The nodes differ, so that the samples do.
    """
    import numpy as np

    from bnnp.descriptors.scaling import Scaling
    from bnnp.io.scaling_data import ScalingData
    from bnnp.io.uncertainty_data import UncertaintyData
    from bnnp.network.dense import Network
    from bnnp.network.masks import Masks
    from bnnp.potential.files import PotentialFiles
    from bnnp.settings.settings import load_settings
    from bnnp.units import UNITS

    folder.mkdir(parents=True, exist_ok=True)
    unit = UNITS[units]
    eta_1, eta_2 = (eta * unit.angstrom**2 for eta in ETA)
    r_s, r_c = R_S / unit.angstrom, R_C / unit.angstrom
    text = SOLID.format(units=units, eta_1=eta_1, eta_2=eta_2, r_s=r_s, r_c=r_c)
    (folder / "input.nn").write_text(text + extra)
    settings = load_settings(folder / "input.nn", 3)
    first = settings.model.functions["Cu"][0].r_s == 0.0
    scale = np.array([REPULSION, -ATTRACTION] if first else [-ATTRACTION, REPULSION]) / unit.ev
    order = slice(None, None, 1 if first else -1)
    mean, spread = (
        np.array([3e-4, 0.8])[order],
        np.array([0.0012, 2.0])[order],
    )  # of a crystal; up to a hot one
    ranges = Scaling(np.zeros(2), spread, mean, 0.1 * spread)
    noise = np.random.default_rng(5).normal(scale=0.05, size=(2, 12))
    share = 1.0 + noise - noise.mean(axis=1, keepdims=True)  # (2, nodes)
    weights = (scale * spread)[:, None] * share
    biases = (scale * mean) @ share
    network = Network((weights, np.full((12, 1), 1 / 12)), (biases, np.zeros(1)), ("l", "l"))
    data = ScalingData({"Cu": ranges}, None, settings.model.fingerprint)
    files = PotentialFiles(settings.model, {"Cu": network}, data)
    if samples:
        masks = Masks.draw(1, samples, (0.0, 0.1), {"Cu": network.sizes})
        files = replace(files, uncertainty=UncertaintyData.of(masks, {"Cu": network}))
    files.write(folder)
    return folder


@pytest.fixture(scope="session")
def solid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The potential of :func:`write_solid` in Angstrom and eV, 10 samples. Do not write there."""
    return write_solid(tmp_path_factory.mktemp("solid"))


@pytest.fixture(scope="session")
def solid_writer():  # noqa: ANN201
    """:func:`write_solid` itself, for other units, samples or keywords."""
    return write_solid
