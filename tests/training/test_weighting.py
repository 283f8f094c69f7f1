"""Weights of groups and of rare environments: brute-force sums, limits, and what mode 2 does with them."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bnnp.descriptors.scaling import Scaling
from bnnp.errors import InputError
from bnnp.training import weighting
from bnnp.training.training import training_set
from bnnp.training.weighting import Weights, force_rarity, theta

GROUPS = ("", "melt", "slab")


def file(values: np.ndarray | None = None) -> Any:
    """Three structures of 2, 1 and 3 atoms of one element; the last is not trained on below."""
    values = np.random.default_rng(4).normal(size=(6, 3)) if values is None else values
    counts = np.array([2, 1, len(values) - 3])

    class File(SimpleNamespace):
        def __len__(self) -> int:
            return 3

        def descriptors(self, element: str) -> np.ndarray:
            return values

    return File(
        elements=("Si",),
        types=np.zeros(len(values), dtype=np.int32),
        n_atoms=counts,
        n_elements=counts[:, None],
        groups=GROUPS,
        group=np.array([1, 0, 2]),
        weight=np.array([2.0, 1.0, 3.0]),
    )


def test_groups_multiply_the_weights_of_their_structures_term_by_term() -> None:
    rarity = np.arange(1.0, 7.0)
    weights = Weights.of(file(), {"melt": (5.0, 0.5, 0.0), "slab": (1.0, 1.0, 4.0)}, rarity)
    np.testing.assert_allclose(weights.energy, [10.0, 1.0, 3.0])
    np.testing.assert_allclose(weights.stress, [0.0, 1.0, 12.0])
    np.testing.assert_allclose(weights.force, np.array([1.0, 1.0, 1.0, 3.0, 3.0, 3.0]) * rarity)


def brute_force(values: np.ndarray, sigma: float) -> np.ndarray:
    """1 / rho over its mean, straight from the formula, functions scaled to [-1, 1]."""
    u = 2.0 * (values - values.min(axis=0)) / np.ptp(values, axis=0) - 1.0
    squares = ((u[:, None] - u) ** 2).sum(axis=-1)
    rho = np.exp(-squares / (2 * sigma**2 * u.shape[1])).mean(axis=1)
    return (1 / rho) / (1 / rho).mean()


def test_density_is_the_formula() -> None:
    values = np.random.default_rng(7).normal(size=(40, 3))
    found, widths = force_rarity(file(values), [0, 2], {"Si": Scaling.of(np.delete(values, 2, 0))}, 0.3)
    assert widths == {"Si": 0.3}
    assert found[2] == 1.0  # not trained on
    np.testing.assert_allclose(np.delete(found, 2), brute_force(np.delete(values, 2, 0), 0.3), rtol=1e-10)


def test_density_from_some_of_the_atoms_is_close(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).normal(size=(3000, 2))
    whole, _ = force_rarity(file(values), [0, 1, 2], {"Si": Scaling.of(values)}, 0.5)
    monkeypatch.setattr(weighting, "CENTERS", 1500)
    part, _ = force_rarity(file(values), [0, 1, 2], {"Si": Scaling.of(values)}, 0.5)
    common = whole < np.quantile(whole, 0.9)
    np.testing.assert_allclose(part[common], whole[common], rtol=0.15)
    assert part.mean() == pytest.approx(1.0)


def test_rows_of_the_file_are_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Centers and probes all over the file; the density is the formula with these centers."""
    monkeypatch.setattr(weighting, "CENTERS", 50)
    values, lengths = np.random.default_rng(3).normal(size=(1000, 2)), []

    class Rows:
        def __getitem__(self, rows: slice) -> np.ndarray:
            lengths.append(len(values[rows]))
            return values[rows]

    given = file(values)
    given.descriptors = lambda element: Rows()
    training = np.delete(np.arange(1000), 2)  # structure 1 is atom 2
    found, widths = force_rarity(given, [0, 2], {"Si": Scaling.of(values[training])})
    assert max(lengths) <= 50
    assert sum(lengths) > 1000
    u = 2.0 * (values - values[training].min(axis=0)) / np.ptp(values[training], axis=0) - 1.0
    nearest = [np.sort(((u[training] - u[i]) ** 2).sum(axis=1))[1] for i in training]  # [0] is i itself
    assert widths["Si"] == pytest.approx(np.quantile(np.sqrt(nearest) / np.sqrt(2), 0.99))
    rho = np.empty(999)
    centers = training[np.linspace(0, 998, 50).astype(int)]
    for place, i in enumerate(training):
        others = centers[centers != i]
        terms = np.exp(-((u[others] - u[i]) ** 2).sum(axis=1) / (2 * widths["Si"] ** 2 * 2))
        rho[place] = (1.0 + 998 * terms.mean()) / 999
    np.testing.assert_allclose(found[training], (1 / rho) / (1 / rho).mean(), rtol=1e-9)


def test_rare_atoms_weigh_more_and_the_mean_is_one() -> None:
    """Ninety-nine alike and one elsewhere: its weight is about a hundred times theirs."""
    values = np.concatenate([np.random.default_rng(2).normal(0, 1e-3, (99, 2)), [[1.0, 1.0]]])
    found, widths = force_rarity(file(values), [0, 1, 2], {"Si": Scaling.of(values)}, 0.05)
    assert found.mean() == pytest.approx(1.0)
    assert found[-1] / found[0] == pytest.approx(99.0, rel=0.02)
    _, widths = force_rarity(file(values[:-1]), [0, 1, 2], {"Si": Scaling.of(values[:-1])})
    assert 0.01 < widths["Si"] < 1.0


def test_sigmoid_lowers_common_environments() -> None:
    x = np.array([1.0, 10.0, 100.0])
    np.testing.assert_allclose(theta(x, (0.5, 5.0)), x / (1 + np.exp(5.0 - 0.5 * x)))
    assert theta(np.array([0.0]), (1.0, 1e6))[0] == 0.0
    np.testing.assert_array_equal(theta(x, None), x)


def test_functions_that_never_vary_and_a_single_atom_do_no_harm() -> None:
    values = np.ones((6, 3))
    found, _ = force_rarity(file(values), [0, 1, 2], {"Si": Scaling.of(values)})
    np.testing.assert_allclose(found, 1.0)
    found, _ = force_rarity(file(values), [1], {"Si": Scaling.of(values[:1])})
    np.testing.assert_allclose(found, 1.0)


def test_mode_2_trains_with_density_weights(case: Callable[..., Any]) -> None:
    made = case("force_weighting gdf", "dropout_rate 0", "energy_weight 0", "stress_weight 0")
    weights = made.data.weights
    training = np.concatenate(
        [np.arange(len(made.file.types))[made.file.atoms(k)] for k in made.data.training]
    )
    for number in range(2):
        mine = training[made.file.types[training] == number]
        assert weights.force[mine].mean() == pytest.approx(1.0)
        assert weights.force[mine].std() > 0.1
    index = made.data.training[0]
    sample = made.trainer.samples[index]
    np.testing.assert_allclose(sample.force_weight, weights.force[made.file.atoms(index)])
    total, _ = made.trainer.gradient(made.initial_weights(), 1, [index])
    ((_, found),) = made.trainer.evaluations(made.initial_weights(), [index])
    squares = ((found.forces - found.reference_forces) ** 2).sum(axis=1)
    assert total == pytest.approx(made.trainer.loss.force * (weights.force[made.file.atoms(index)] @ squares))


def test_unknown_group_is_named(case: Callable[..., Any]) -> None:
    with pytest.raises(InputError, match=r"group_weight liquid.*no structure has.*groups.*none"):
        case("group_weight liquid 2")


def test_nothing_to_train_on_is_told(case: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    made = case("dropout_rate 0")
    monkeypatch.setattr(made.file, "weight", np.zeros(len(made.file)))
    with pytest.raises(InputError, match="every weight"):
        training_set(made.settings, made.file, made.directory)


def test_networks_may_be_trained_on_scaled_functions(case: Callable[..., Any]) -> None:
    """Each scheme, and [-1, 1]: what the network gets is what the formula says."""
    values = case("dropout_rate 0").file.descriptors("Si")
    for lines, expected in [
        (("scale_min_short_atomic -1",), lambda g: -1 + 2 * (g - g.mean(0)) / np.ptp(g, 0)),
        (
            ("center_symmetry_functions off", "scale_min_short_atomic -1"),
            lambda g: -1 + 2 * (g - g.min(0)) / np.ptp(g, 0),
        ),
        (("scale_symmetry_functions off",), lambda g: g - g.mean(0)),
        (
            (
                "scale_symmetry_functions off",
                "center_symmetry_functions off",
                "scale_symmetry_functions_sigma",
            ),
            lambda g: (g - g.mean(0)) / g.std(0, ddof=1),
        ),
    ]:
        made = case("dropout_rate 0", "network_inputs scaled", *lines)
        training = np.concatenate([values[made.file.rows(k, "Si")] for k in made.data.training])
        found = np.concatenate([made.trainer.samples[k].inputs[0] for k in made.data.training])
        np.testing.assert_allclose(found, expected(training), atol=1e-12)
