"""The work of mode 1 is shared evenly, whichever part of it is the most expensive one."""

from __future__ import annotations

import io

import numpy as np
import pytest

from bnnp import parallel
from bnnp.descriptors.survey import cost, survey_dtype
from bnnp.log import Log
from bnnp.modes.symmetry.storage import report_balance


def uneven_table() -> np.ndarray:
    """600 structures: lone atoms and clusters, sparse and dense cells of up to 400 atoms."""
    rng = np.random.default_rng(2)
    table = np.zeros(600, survey_dtype(2))
    n_atoms = np.ceil(rng.lognormal(3.0, 1.5, 600).clip(1, 400)).astype(int)
    n_neighbors = rng.integers(0, np.where(rng.random(600) < 0.3, 12, 150))
    table["n_atoms"][:, 0] = n_atoms
    table["n_pairs"][:, 0, 1] = n_atoms * n_neighbors
    table["n_triples"] = n_atoms * (n_neighbors * (n_neighbors - 1) // 2)
    return table


def imbalance(costs: np.ndarray, work: np.ndarray, ranks: int, monkeypatch: pytest.MonkeyPatch) -> float:
    """Largest load over the mean if structures are dealt by `costs` and really take `work`."""
    monkeypatch.setattr(parallel, "size", lambda: ranks)
    loads = []
    for rank in range(ranks):
        monkeypatch.setattr(parallel, "rank", lambda rank=rank: rank)
        loads.append(work[parallel.deal(costs.tolist())].sum())
    return float(max(loads) / np.mean(loads))


@pytest.mark.parametrize("ranks", [2, 4, 8])
def test_loads_of_an_uneven_set(ranks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Estimated work to 5 %; triples and pairs alone too, as sets differ in what they cost."""
    table = uneven_table()
    pairs, triples = table["n_pairs"].sum(axis=(1, 2)), table["n_triples"]
    assert imbalance(cost(table), cost(table), ranks, monkeypatch) < 1.001
    for work in (triples, triples + 50 * pairs):
        assert imbalance(cost(table), work, ranks, monkeypatch) < 1.05
    assert imbalance(np.ones(600), triples, ranks, monkeypatch) > 1.05  # by number it would not be


def test_balance_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loads of 3 and 1: the busiest has 3 / 2 of the mean."""
    stream = io.StringIO()
    report_balance(1.0, Log(stream, enabled=True))
    assert stream.getvalue() == ""  # one rank has nothing to share
    monkeypatch.setattr(parallel, "gather", lambda _: [3.0, 1.0])
    report_balance(3.0, Log(stream, enabled=True))
    assert "1.500 times the mean" in stream.getvalue()
