"""Cutoff functions: values in closed form, limits, derivatives, scaling."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import betainc

from bnnp.descriptors.cutoffs import CUTOFFS, WITHOUT_INNER_RADIUS, Cutoff, cutoff, cutoff_derivative

R_C = 6.5
EVERY = [
    (number, alpha)
    for number in CUTOFFS
    for alpha in (0.0, 0.3, 0.9)
    if alpha == 0.0 or number not in WITHOUT_INNER_RADIUS
]
SMOOTH = [(number, alpha) for number, alpha in EVERY if number != 0]


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def inside(alpha: float, n: int = 101) -> torch.Tensor:
    """Distances strictly between the inner and the outer radius."""
    return R_C * torch.linspace(alpha, 1.0, n + 2, dtype=torch.float64)[1:-1]


# in x = (r - r_ci) / (r_c - r_ci); polynomial n is 1 - I_x(n + 1, n + 1) with the incomplete beta function I
CLOSED_FORM = {
    0: lambda x: 1.0,
    1: lambda x: math.cos(math.pi * x / 2) ** 2,
    2: lambda x: math.tanh(1 - x) ** 3,
    3: lambda x: (math.tanh(1 - x) * (math.e + 1 / math.e) / (math.e - 1 / math.e)) ** 3,
    4: lambda x: math.exp(-x * x / (1 - x * x)),
    5: lambda x: 1 - betainc(2, 2, x),
    6: lambda x: 1 - betainc(3, 3, x),
    7: lambda x: 1 - betainc(4, 4, x),
    8: lambda x: 1 - betainc(5, 5, x),
}


@pytest.mark.parametrize(("number", "alpha"), EVERY)
def test_closed_form(number: int, alpha: float) -> None:
    r = inside(alpha)
    x = (r / R_C - alpha) / (1 - alpha)
    expected = np.array([CLOSED_FORM[number](value) for value in x.tolist()])
    np.testing.assert_allclose(cutoff(r, R_C, number, alpha), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("number", "alpha"), EVERY)
def test_one_at_the_center(number: int, alpha: float) -> None:
    expected = math.tanh(1.0) ** 3 if number == 2 else 1.0
    r = tensor(0.0, 0.5 * alpha * R_C, alpha * R_C)
    np.testing.assert_allclose(cutoff(r, R_C, number, alpha), expected, rtol=1e-15)


@pytest.mark.parametrize(("number", "alpha"), [(n, a) for n, a in EVERY if a > 0])
def test_flat_below_the_inner_radius(number: int, alpha: float) -> None:
    r = alpha * R_C * torch.linspace(0.0, 1.0, 11, dtype=torch.float64)
    assert torch.equal(cutoff(r, R_C, number, alpha), torch.ones_like(r))
    assert torch.equal(cutoff_derivative(r, R_C, number, alpha), torch.zeros_like(r))


@pytest.mark.parametrize(("number", "alpha"), EVERY)
def test_zero_from_the_cutoff_on(number: int, alpha: float) -> None:
    r = tensor(R_C, R_C * (1 + 1e-12), 2 * R_C, 1e6)
    assert torch.equal(cutoff(r, R_C, number, alpha), torch.zeros_like(r))
    assert torch.equal(cutoff_derivative(r, R_C, number, alpha), torch.zeros_like(r))


@pytest.mark.parametrize(("number", "alpha"), SMOOTH)
def test_vanishes_with_its_slope(number: int, alpha: float) -> None:
    """f ~ (r_c - r)^2 or a higher power: half the distance from r_c, at most a quarter of the value."""
    d = 1e-3 * (1 - alpha) * R_C
    far, near = cutoff(tensor(R_C - d, R_C - d / 2), R_C, number, alpha)
    assert 0.0 <= near <= 0.2505 * far + 1e-15
    assert abs(cutoff_derivative(tensor(R_C - 1e-9), R_C, number, alpha)) < 1e-7


@pytest.mark.parametrize(("number", "alpha"), EVERY)
def test_derivative_is_the_finite_difference(number: int, alpha: float) -> None:
    r = inside(alpha)[2:-2]
    h = 1e-5
    difference = (cutoff(r + h, R_C, number, alpha) - cutoff(r - h, R_C, number, alpha)) / (2 * h)
    torch.testing.assert_close(cutoff_derivative(r, R_C, number, alpha), difference, rtol=1e-6, atol=2e-8)


@pytest.mark.parametrize(("number", "alpha"), EVERY)
def test_derivative_is_autograd(number: int, alpha: float) -> None:
    r = torch.linspace(0.0, 1.2 * R_C, 301, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(cutoff(r, R_C, number, alpha).sum(), r)
    torch.testing.assert_close(
        cutoff_derivative(r.detach(), R_C, number, alpha), gradient, rtol=1e-11, atol=1e-13
    )


@pytest.mark.parametrize(("number", "alpha"), EVERY)
def test_second_derivative(number: int, alpha: float) -> None:
    r = inside(alpha, 11).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda r: cutoff(r, R_C, number, alpha), r)


@pytest.mark.parametrize(("number", "alpha"), EVERY)
def test_depends_on_the_ratio_alone(number: int, alpha: float) -> None:
    r, scale = inside(alpha), 1.889726
    torch.testing.assert_close(
        cutoff(scale * r, scale * R_C, number, alpha), cutoff(r, R_C, number, alpha), rtol=1e-10, atol=1e-14
    )
    torch.testing.assert_close(
        scale * cutoff_derivative(scale * r, scale * R_C, number, alpha),
        cutoff_derivative(r, R_C, number, alpha),
        rtol=1e-10,
        atol=1e-14,
    )


@pytest.mark.parametrize("number", CUTOFFS)
def test_precision_and_shape_are_kept(number: int) -> None:
    r = torch.rand(3, 4, dtype=torch.float32) * 2 * R_C
    for function in (cutoff, cutoff_derivative):
        assert function(r, R_C, number).dtype == torch.float32
        assert function(r, R_C, number).shape == (3, 4)


@pytest.mark.parametrize(
    ("number", "alpha", "text"),
    [
        (9, 0.0, "cutoff type is 9"),
        (-1, 0.0, "cutoff type is -1"),
        (1, 1.0, r"inner cutoff radius is 1.0 .* \[0, 1\)"),
        (1, -0.1, "inner cutoff radius is -0.1"),
        (1, math.nan, "inner cutoff radius is nan"),
        (2, 0.1, "cutoff type 2 has none"),
        (3, 0.1, "cutoff type 3 has none"),
    ],
)
def test_wrong_settings_are_refused(number: int, alpha: float, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Cutoff(number, alpha)


def test_inner_radius_may_be_a_numpy_number() -> None:
    r = inside(0.0)
    for alpha in (np.float64(0.0), np.float64(0.3)):
        assert torch.equal(cutoff(r, R_C, 1, alpha), cutoff(r, R_C, 1, float(alpha)))
        assert torch.equal(cutoff_derivative(r, R_C, 1, alpha), cutoff_derivative(r, R_C, 1, float(alpha)))
