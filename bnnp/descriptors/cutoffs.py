r"""Cutoff functions, which let a neighbor fade out smoothly at the cutoff radius.

With the inner radius :math:`r_{ci} = \alpha r_c` and

.. math:: x = \frac{r - r_{ci}}{r_c - r_{ci}}

a cutoff function is 1 for :math:`x \le 0`, :math:`f(x)` in between and 0 for :math:`x \ge 1`:

====== ==============================================
number :math:`f(x)`
====== ==============================================
0      1 (hard)
1      [cos(pi x) + 1] / 2
2      tanh^3(1 - x), without inner radius
3      tanh^3(1 - x) / tanh^3(1), without inner radius
4      exp[1 - 1 / (1 - x^2)]
5      y^2 (3 - 2 y), y = 1 - x
6      y^3 (10 - 15 y + 6 y^2)
7      y^4 (35 - 84 y + 70 y^2 - 20 y^3)
8      y^5 (126 - 420 y + 540 y^2 - 315 y^3 + 70 y^4)
====== ==============================================

The polynomials have 1, 2, 3, 4 vanishing derivatives at both ends; in y nothing cancels near the cutoff and f
stays positive.

Numbers as in RuNNer and n2p2; 3 is n2p2's (RuNNer has another prefactor there).
J. Behler, J. Chem. Phys. 134, 074106 (2011), eqs. (4), (5); A. Singraber, J. Behler, C. Dellago,
J. Chem. Theory Comput. 15, 1827 (2019). Only methods of the tensors are called, so that reading settings does
not import torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

WITHOUT_INNER_RADIUS = (2, 3)


@dataclass(frozen=True)
class Cutoff:
    """The cutoff function all symmetry functions of a potential share.

    Parameters
    ----------
    type : int
        Number of the function, 0 to 8.
    alpha : float
        Inner radius in units of the cutoff radius, 0 <= alpha < 1; 0 for types 2 and 3.

    Raises
    ------
    ValueError
        For a number or an inner radius outside of these ranges.
    """

    type: int = 1
    alpha: float = 0.0

    def __post_init__(self) -> None:
        if self.type not in CUTOFFS:
            raise ValueError(f"cutoff type is {self.type} but must be an integer from 0 to {max(CUTOFFS)}")
        if not 0.0 <= self.alpha < 1.0:
            raise ValueError(f"inner cutoff radius is {self.alpha} (times the cutoff) but must be in [0, 1)")
        if self.alpha > 0.0 and self.type in WITHOUT_INNER_RADIUS:
            raise ValueError(
                f"inner cutoff radius is {self.alpha} but cutoff type {self.type} has none: "
                "use 0 or another cutoff type (n2p2 ignores the radius, RuNNer would make the function jump)"
            )


def cutoff(r: Tensor, r_c: float, type: int = 1, alpha: float = 0.0) -> Tensor:
    """Cutoff function f_c(r).

    Parameters
    ----------
    r : tensor of any shape, length
        Distances, not negative.
    r_c : float, length
        Cutoff radius.
    type, alpha :
        As in :class:`Cutoff`.

    Returns
    -------
    tensor of the shape of `r`, dimensionless
    """
    function, _ = CUTOFFS[type]
    x = (r - alpha * r_c) / (r_c - alpha * r_c)
    between = _between(x, type, alpha)
    inside = (x < 1).to(x.dtype)
    return function(x.where(between, 0.0 * x.detach())).where(between, inside)


def cutoff_derivative(r: Tensor, r_c: float, type: int = 1, alpha: float = 0.0) -> Tensor:
    """Derivative df_c/dr in 1/length; arguments as for :func:`cutoff`."""
    _, derivative = CUTOFFS[type]
    width = r_c - alpha * r_c
    x = (r - alpha * r_c) / width
    between = _between(x, type, alpha)
    zero = 0.0 * x.detach()
    return derivative(x.where(between, zero)).where(between, zero) / width


def _between(x: Tensor, type: int, alpha: float) -> Tensor:
    """Mask of the distances at which f(x) is to be evaluated; without an inner radius x = 0 belongs to it."""
    return ((x > 0) | (x >= 0) & bool(alpha == 0)) & (x < 1)


def _tanh3(x: Tensor) -> Tensor:
    t = (1.0 - x).tanh()
    return t * t * t


def _tanh3_derivative(x: Tensor) -> Tensor:
    t2 = (1.0 - x).tanh().square()
    return -3.0 * t2 * (1.0 - t2)


def _exponential(x: Tensor) -> Tensor:
    return (1.0 - 1.0 / (1.0 - x * x)).exp()


def _poly1(y: Tensor) -> Tensor:
    return y * y * (3.0 - 2.0 * y)


def _poly2(y: Tensor) -> Tensor:
    return y**3 * (10.0 - y * (15.0 - 6.0 * y))


def _poly3(y: Tensor) -> Tensor:
    return y**4 * (35.0 - y * (84.0 - y * (70.0 - 20.0 * y)))


def _poly4(y: Tensor) -> Tensor:
    return y**5 * (126.0 - y * (420.0 - y * (540.0 - y * (315.0 - 70.0 * y))))


_CUBE = math.tanh(1.0) ** 3
CutoffPart = Callable[["Tensor"], "Tensor"]

CUTOFFS: dict[int, tuple[CutoffPart, CutoffPart]] = {  # f and df/dx as functions of x
    0: (lambda x: 0.0 * x + 1.0, lambda x: 0.0 * x),
    1: (lambda x: 0.5 * ((math.pi * x).cos() + 1.0), lambda x: -0.5 * math.pi * (math.pi * x).sin()),
    2: (_tanh3, _tanh3_derivative),
    3: (lambda x: _tanh3(x) / _CUBE, lambda x: _tanh3_derivative(x) / _CUBE),
    4: (_exponential, lambda x: -2.0 * x * _exponential(x) / (1.0 - x * x).square()),
    5: (lambda x: _poly1(1.0 - x), lambda x: -6.0 * x * (1.0 - x)),
    6: (lambda x: _poly2(1.0 - x), lambda x: -30.0 * (x * (1.0 - x)) ** 2),
    7: (lambda x: _poly3(1.0 - x), lambda x: -140.0 * (x * (1.0 - x)) ** 3),
    8: (lambda x: _poly4(1.0 - x), lambda x: -630.0 * (x * (1.0 - x)) ** 4),
}
