"""Symmetry functions by torch behind the interface of the core, on a GPU if there is one, and on the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bnnp.descriptors.compiled import Descriptor
from bnnp.descriptors.cutoffs import Cutoff
from bnnp.descriptors.device import DeviceDescriptor
from bnnp.descriptors.functions import expand_element, sort_functions
from bnnp.descriptors.neighbors import NeighborList, find_neighbors
from bnnp.errors import InputError
from bnnp.model import Model

ELEMENTS = ("O", "Ge")
TEXTS = ["2 O 0.1 0.5 5", "2 Ge 0.3 0 5", "3 O Ge 0.02 1 4 5", "9 Ge Ge 0.05 -1 2 5", "22 O O 0 5 30 170 p2"]
DEVICES = ["cpu", "cuda"]


@pytest.fixture
def case() -> tuple[dict, np.ndarray, NeighborList]:
    functions = {
        element: sort_functions(
            [f for text in TEXTS for f in expand_element([element, *_types_first(text)], ELEMENTS)]
        )
        for element in ELEMENTS
    }
    rng = np.random.default_rng(2)
    cell, types = np.diag([6.0, 6.5, 7.0]), np.array([0, 1] * 8, dtype=np.int32)
    grid = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1, 2, 3], indexing="ij"), -1).reshape(-1, 3)
    positions = (grid + 0.15 * rng.normal(size=grid.shape)) * [3.0, 3.25, 1.75]
    return functions, types, find_neighbors(positions, cell, 5.0, np.array([8, 32])[types])


def _types_first(text: str) -> list[str]:
    """Without the neighbor elements, which `expand_element` fills in."""
    return [word for word in text.split() if word not in ELEMENTS]


@pytest.mark.parametrize("device", DEVICES)
def test_all_sweeps_equal_those_of_the_core(device: str, case: tuple) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU")
    functions, types, pairs = case
    core = Descriptor(ELEMENTS, functions, Cutoff(1, 0.0))
    torched = DeviceDescriptor(ELEMENTS, functions, Cutoff(1, 0.0), device)
    rng = np.random.default_rng(3)
    gradient, shifts = rng.normal(size=(len(types), core.width)), rng.normal(size=(len(pairs), 3))
    for got, expected in [
        (torched.values(types, pairs), core.values(types, pairs)),
        (torched.vjp(types, pairs, gradient), core.vjp(types, pairs, gradient)),
        (torched.jvp(types, pairs, shifts), core.jvp(types, pairs, shifts)),
        (torched.jacobian(types, pairs, np.float64), core.jacobian(types, pairs, np.float64)),
    ]:
        assert isinstance(got, np.ndarray)
        assert np.abs(expected).max() > 0.01
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-10 * np.abs(expected).max())
    assert torched.jacobian(types, pairs).dtype == np.float32
    assert torched.kernel == f"torch on {device}"


def test_another_precision_stays_on_the_device(case: tuple) -> None:
    functions, types, pairs = case
    double = DeviceDescriptor(ELEMENTS, functions, Cutoff(1, 0.0), "cpu", threads=2)
    single = double.with_dtype(np.float32)
    assert (single.kernel, single.threads) == ("torch on cpu", 2)
    rng = np.random.default_rng(3)
    gradient, shifts = rng.normal(size=(len(types), double.width)), rng.normal(size=(len(pairs), 3))
    for sweep, argument in (("values", ()), ("vjp", (gradient,)), ("jvp", (shifts,)), ("jacobian", (float,))):
        found, expected = (getattr(each, sweep)(types, pairs, *argument) for each in (single, double))
        assert found.dtype == np.float64
        error = np.abs(found - expected).max() / np.abs(expected).max()
        assert 1e-10 < error < 1e-5  # rounded to 2^-24 = 6e-8 in every operation


@pytest.mark.parametrize("device", ["meta", "cuda:77", "gpu"])
def test_a_device_that_torch_cannot_use_is_refused(device: str, case: tuple) -> None:
    """Without memory of its own, with too high a number (or no GPU at all), and unknown to torch."""
    with pytest.raises(InputError, match=f"device is {device}, but.*use `device cpu`"):
        Model(case[0], Cutoff(1, 0.0)).descriptor(device=device)


def test_the_cpu_is_the_core() -> None:
    functions = {"O": sort_functions(expand_element(["O", "2", "0.1", "0", "5"], ("O",)))}
    assert type(Model(functions, Cutoff(1, 0.0)).descriptor(device="cpu")) is Descriptor
