"""Scaling of symmetry functions: n2p2's five formulas, statistics, constant functions."""

from __future__ import annotations

import numpy as np
import pytest

from bnnp.descriptors.scaling import SCHEMES, Scaling, ScalingScheme

VALUES = np.array([[1.0, 4.0], [2.0, 4.0], [6.0, 4.0]])  # the second function is constant


def test_statistics_by_hand() -> None:
    scaling = Scaling.of(VALUES)
    assert scaling.minimum.tolist() == [1.0, 4.0]
    assert scaling.maximum.tolist() == [6.0, 4.0]
    assert scaling.mean.tolist() == [3.0, 4.0]
    assert scaling.sigma[0] == pytest.approx(np.sqrt((4 + 1 + 9) / 2))  # n - 1
    assert scaling.constant.tolist() == [False, True]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("none", 2.0),
        ("scale", -1 + 3 * (2 - 1) / 5),
        ("center", 2 - 3.0),
        ("both", -1 + 3 * (2 - 3) / 5),
        ("sigma", -1 + 3 * (2 - 3) / np.sqrt(7)),
    ],
)
def test_formulas(kind: str, expected: float) -> None:
    affine = Scaling.of(VALUES).affine(ScalingScheme(kind, -1.0, 2.0))
    assert affine.apply(np.array([2.0, 4.0]))[0] == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("kind", SCHEMES)
def test_factor_is_the_slope(kind: str) -> None:
    values = np.random.default_rng(1).normal(size=(20, 5))
    affine = Scaling.of(values).affine(ScalingScheme(kind))
    slope = (affine.apply(values + 0.5) - affine.apply(values)) / 0.5
    np.testing.assert_allclose(slope, np.broadcast_to(affine.factor, values.shape), rtol=1e-12)


def test_scale_maps_the_training_range_to_the_interval() -> None:
    values = np.random.default_rng(1).normal(size=(20, 5))
    scaled = Scaling.of(values).affine(ScalingScheme("scale", -1.0, 1.0)).apply(values)
    np.testing.assert_allclose([scaled.min(axis=0), scaled.max(axis=0)], [[-1] * 5, [1] * 5], atol=1e-14)


@pytest.mark.parametrize("kind", ["scale", "both", "sigma"])
def test_constant_function_is_not_seen_by_the_network(kind: str) -> None:
    affine = Scaling.of(VALUES).affine(ScalingScheme(kind))
    assert affine.factor[1] == 0.0
    assert np.isfinite(affine.apply(np.array([3.0, 1e6]))).all()


def test_rounding_does_not_make_a_function_vary() -> None:
    """All atoms of a perfect crystal are alike up to rounding: dividing by that spread would be noise."""
    assert Scaling.of(np.array([[3.0], [3.0 + 4e-15]])).constant.all()
    assert not Scaling.of(np.array([[0.0], [1e-11]])).constant.any()  # small, but it does vary


@pytest.mark.parametrize("size", [1e-13, 1e-66, 1e-307, 1e-310])
def test_negligible_function_counts_as_constant(size: float) -> None:
    """A Gaussian that reaches no neighbor: a training refuses it, a finished potential keeps its range."""
    scaling = Scaling.of(np.array([[0.0], [size]]))
    assert scaling.constant.all()
    scaled = scaling.affine(ScalingScheme("scale")).apply(np.array([0.0, size]))
    assert scaled == pytest.approx([0.0, 1.0 if size > 1e-308 else 0.0], rel=1e-15, abs=0.0)


def test_one_atom_is_constant_without_warnings() -> None:
    scaling = Scaling.of(VALUES[:1])
    assert scaling.constant.all()
    assert scaling.sigma.tolist() == [0.0, 0.0]


def test_sigma_must_be_known() -> None:
    three = np.zeros(1), np.ones(1), np.full(1, 0.5)
    with pytest.raises(ValueError, match="sigma"):
        Scaling(*three, np.full(1, np.nan)).affine(ScalingScheme("sigma"))


@pytest.mark.parametrize(
    ("arguments", "text"), [(("zscore",), "unknown scaling"), (("scale", 1.0, 1.0), "smaller")]
)
def test_scheme_mistakes(arguments: tuple[object, ...], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        ScalingScheme(*arguments)  # type: ignore[arg-type]


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="shapes"):
        Scaling(np.zeros(2), np.ones(2), np.ones(2), np.ones(3))


def test_nearly_constant() -> None:
    """Absolutely (a far tail), relatively (a dense crystal), constant itself, and one that varies."""
    minimum, maximum = np.array([0.0, 50.0, 2.0, 0.0]), np.array([5e-5, 50.004, 2.0, 3e-4])
    scaling = Scaling(minimum, maximum, minimum, maximum)
    assert scaling.nearly_constant.tolist() == [True, True, False, False]
