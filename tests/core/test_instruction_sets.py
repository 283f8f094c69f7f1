"""Every instruction set of the machine gives the same numbers, and a wrong name is refused."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from bnnp._core import instruction_sets

pytestmark = pytest.mark.slow

PROGRAM = """
import sys
import numpy as np
from bnnp.descriptors.compiled import Descriptor
from bnnp.descriptors.cutoffs import Cutoff
from bnnp.descriptors.functions import expand_element
from bnnp.descriptors.neighbors import find_neighbors

rng = np.random.default_rng(1)
grid = np.array(np.meshgrid(range(3), range(3), range(3))).reshape(3, 27).T * 3.0
positions, cell = grid + rng.normal(scale=0.2, size=grid.shape), 9.0 * np.eye(3)
types = rng.integers(0, 2, 27).astype(np.int32)
words = ["2 0.1 1.0 6", "3 0.01 -1 4 6", "9 0.05 1 2.5 5", "9 0.1 -1 3 5", "8 0.001 60 6", "22 1 6 30 150 p2"]
functions = {
    X: tuple(f for w in words for f in expand_element([X, *w.split()], ["O", "Ge"])) for X in ("O", "Ge")
}
descriptor = Descriptor(("O", "Ge"), functions, Cutoff(2))
pairs = find_neighbors(positions, cell, 6.0, np.array([8, 32])[types])
values = descriptor.values(types, pairs)
slopes = descriptor.vjp(types, pairs, rng.normal(size=values.shape))
print(descriptor.kernel)
np.savetxt(sys.stdout, np.append(values.ravel(), slopes.ravel()), "%.17e")
"""


def run(name: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "BNNP_INSTRUCTION_SET": name}
    command = [sys.executable, "-c", PROGRAM]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_all_sets_agree() -> None:
    results = []
    for name in instruction_sets():
        done = run(name)
        assert done.returncode == 0, done.stderr
        kernel, *numbers = done.stdout.splitlines()
        assert kernel == name
        results.append(np.array(numbers, dtype=float))
    for other in results[1:]:
        np.testing.assert_allclose(other, results[0], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ["x86-64-v9", "avx"])
def test_unknown_set_is_named(name: str) -> None:
    done = run(name)
    assert done.returncode != 0
    assert f"BNNP_INSTRUCTION_SET is {name} but this machine can run: {instruction_sets()[0]}" in done.stderr
