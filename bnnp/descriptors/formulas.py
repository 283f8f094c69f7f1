r"""One function per formula: what a pair or a triple of atoms adds to a symmetry function.

i is the central atom, j and k are neighbors, theta is the angle j-i-k, f_c the cutoff function of
:mod:`bnnp.descriptors.cutoffs` and C(x; a, b) the compact function below. A radial function is the sum of its
term over the neighbors j, an angular function over the unordered pairs of neighbors j, k. The weighted
types 12, 13, 23, 24, 25 have the terms of 2, 3, 20, 21, 22 (24: see there) times Z_j or Z_j Z_k.

J. Behler, J. Chem. Phys. 134, 074106 (2011), eqs. (5) - (9); M. Gastegger et al., J. Chem. Phys. 148, 241709
(2018) (weighted); M. P. Bircher, A. Singraber, C. Dellago, Mach. Learn.: Sci. Technol. 2, 035026 (2021)
(compact).

====================== =========================================
symbol                 variable
====================== =========================================
r_c, r_s, eta          ``f.r_c``, ``f.r_s``, ``f.eta``
lambda, zeta           ``f.lambda_``, ``f.zeta``
r_l, theta_l, theta_r  ``f.r_l``, ``f.angle_left``, ``f.angle_right``
====================== =========================================
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from bnnp.descriptors.cutoffs import Cutoff, cutoff
from bnnp.descriptors.functions import SymmetryFunction

COSINE = Cutoff(1)
CORES = {"e": 4, "p1": 5, "p2": 6, "p3": 7, "p4": 8}  # subtype -> number of the same cutoff function


@dataclass(frozen=True, eq=False)
class Triples:
    """Geometry of triples j-i-k.

    Parameters
    ----------
    ij, ik : (n_triples, 3), length
        Vectors from the center to the two neighbors.
    """

    ij: Tensor
    ik: Tensor

    @cached_property
    def r_ij(self) -> Tensor:
        """Distance, (n_triples,)."""
        return norm(self.ij)

    @cached_property
    def r_ik(self) -> Tensor:
        """Distance, (n_triples,)."""
        return norm(self.ik)

    @cached_property
    def r_jk(self) -> Tensor:
        """Distance of the two neighbors, (n_triples,)."""
        return norm(self.ik - self.ij)

    @cached_property
    def cos_theta(self) -> Tensor:
        """Cosine of the angle at the center, (n_triples,)."""
        return (self.ij * self.ik).sum(dim=1) / (self.r_ij * self.r_ik)

    @cached_property
    def theta(self) -> Tensor:
        """Angle at the center in radians, (n_triples,); the gradient is taken to be 0 at 0 and pi.

        The arccosine of `cos_theta` would lose half of the digits there, and its gradient all of them.
        """
        return torch.atan2(norm(torch.linalg.cross(self.ij, self.ik)), (self.ij * self.ik).sum(dim=1))


def norm(vectors: Tensor) -> Tensor:
    """Length of (n, 3) vectors; the gradient at the zero vector is 0."""
    squares = vectors.square().sum(dim=1)
    positive = squares > 0
    return torch.where(positive, torch.where(positive, squares, 1.0).sqrt(), 0.0)


def compact(x: Tensor, left: float, right: float, subtype: str, asymmetric: bool) -> Tensor:
    """C(x; a, b) = f(y), y = |x - (a + b)/2| / ((b - a)/2), 0 outside of (a, b); asymmetric: y -> (2-y) y."""
    center, width = 0.5 * (left + right), 0.5 * (right - left)
    y = ((x - center).abs() / width).clamp(max=1.0)
    if asymmetric:
        y = (2.0 - y) * y
    return cutoff(y, 1.0, CORES[subtype.removesuffix("a")])


# Radial terms: (function, r_ij, cutoff) -> (n_pairs,)


def cosine(f: SymmetryFunction, r: Tensor, fc: Cutoff) -> Tensor:
    """Type 1: [cos(pi r / r_c) + 1] / 2, whatever the cutoff function."""
    return _fc(f, COSINE, r)


def gaussian(f: SymmetryFunction, r: Tensor, fc: Cutoff) -> Tensor:
    """Types 2 and 12: exp[-eta (r - r_s)^2] f_c(r)."""
    return torch.exp(-f.eta * (r - f.r_s) ** 2) * _fc(f, fc, r)


def oscillating(f: SymmetryFunction, r: Tensor, fc: Cutoff) -> Tensor:
    """Type 4: cos(eta r) f_c(r)."""
    return torch.cos(f.eta * r) * _fc(f, fc, r)


def compact_radial(f: SymmetryFunction, r: Tensor, fc: Cutoff) -> Tensor:
    """Types 20 and 23: C(r; r_l, r_c)."""
    return compact(r, f.r_l, f.r_c, f.subtype, f.subtype.endswith("a"))


# Angular terms: (function, triples, cutoff) -> (n_triples,)


def narrow(f: SymmetryFunction, t: Triples, fc: Cutoff) -> Tensor:
    """Types 3 and 13: 2^(1-zeta) (1 + lambda cos theta)^zeta exp[-eta (r_ij^2 + r_ik^2 + r_jk^2)] F.

    F = f_c(r_ij) f_c(r_ik) f_c(r_jk); in the exponent each r is r - r_s.
    """
    squares = (t.r_ij - f.r_s) ** 2 + (t.r_ik - f.r_s) ** 2 + (t.r_jk - f.r_s) ** 2
    return _angle(f, t) * torch.exp(-f.eta * squares) * _fc(f, fc, t.r_ij, t.r_ik, t.r_jk)


def wide(f: SymmetryFunction, t: Triples, fc: Cutoff) -> Tensor:
    """Type 9: 2^(1-zeta) (1 + lambda cos theta)^zeta exp[-eta (r_ij^2 + r_ik^2)] f_c(r_ij) f_c(r_ik).

    In the exponent each r is r - r_s.
    """
    squares = (t.r_ij - f.r_s) ** 2 + (t.r_ik - f.r_s) ** 2
    return _angle(f, t) * torch.exp(-f.eta * squares) * _fc(f, fc, t.r_ij, t.r_ik)


def angle_gaussians(f: SymmetryFunction, t: Triples, fc: Cutoff) -> Tensor:
    """Type 8: [g(theta-r_s) + g(theta+r_s-360) + g(theta+r_s) + g(theta-r_s-360)] f_c(ij) f_c(ik) f_c(jk).

    g(x) = exp(-eta x^2), angles in degrees.
    """
    theta = t.theta * (180.0 / math.pi)
    shifted = (theta - f.r_s, theta + f.r_s - 360.0, theta + f.r_s, theta - f.r_s - 360.0)
    gaussians = torch.stack([torch.exp(-f.eta * x * x) for x in shifted]).sum(dim=0)
    return gaussians * _fc(f, fc, t.r_ij, t.r_ik, t.r_jk)


def compact_narrow(f: SymmetryFunction, t: Triples, fc: Cutoff) -> Tensor:
    """Type 21: C(r_ij) C(r_ik) C(r_jk) C(theta; theta_l, theta_r); as in n2p2 C(r_jk) is never asymmetric."""
    return compact_wide(f, t, fc) * compact(t.r_jk, f.r_l, f.r_c, f.subtype, asymmetric=False)


def compact_narrow_weighted(f: SymmetryFunction, t: Triples, fc: Cutoff) -> Tensor:
    """Type 24: C(r_ij) C(r_ik) C(r_jk) C(theta; theta_l, theta_r); as in n2p2 C(r_jk) may be asymmetric."""
    return compact_wide(f, t, fc) * compact_radial(f, t.r_jk, fc)


def compact_wide(f: SymmetryFunction, t: Triples, fc: Cutoff) -> Tensor:
    """Types 22 and 25: C(r_ij) C(r_ik) C(theta; theta_l, theta_r); only C(r) is ever asymmetric.

    Atoms exactly in line count as those nearly in line do. n2p2 drops them, so the same function jumps
    there if its angles include 0 or 180 degrees.
    """
    left, right = math.radians(f.angle_left), math.radians(f.angle_right)
    angle = compact(t.theta, left, right, f.subtype, asymmetric=False)
    return compact_radial(f, t.r_ij, fc) * compact_radial(f, t.r_ik, fc) * angle


def _fc(f: SymmetryFunction, fc: Cutoff, *distances: Tensor) -> Tensor:
    """Product of f_c over the distances, (n,) each."""
    return torch.stack([cutoff(r, f.r_c, fc.type, fc.alpha) for r in distances]).prod(dim=0)


def _angle(f: SymmetryFunction, t: Triples) -> Tensor:
    """2^(1-zeta) (1 + lambda cos theta)^zeta, 0 where the base is not positive (rounding at 0 and pi)."""
    base = 1.0 + f.lambda_ * t.cos_theta
    positive = base > 0
    factor: float = 2.0 ** (1.0 - f.zeta)
    return factor * torch.where(positive, torch.where(positive, base, 1.0) ** f.zeta, 0.0)


RADIAL: dict[int, Callable[[SymmetryFunction, Tensor, Cutoff], Tensor]] = {
    1: cosine,
    2: gaussian,
    4: oscillating,
    12: gaussian,
    20: compact_radial,
    23: compact_radial,
}
ANGULAR: dict[int, Callable[[SymmetryFunction, Triples, Cutoff], Tensor]] = {
    3: narrow,
    8: angle_gaussians,
    9: wide,
    13: narrow,
    21: compact_narrow,
    22: compact_wide,
    24: compact_narrow_weighted,
    25: compact_wide,
}
