"""Grids of parameters: centers and widths of Gaussians or windows for one pair of elements.

r_0 is the shortest distance of the two elements and r_c the cutoff radius, both in the length unit of the
run; the sources are in :mod:`bnnp.descriptors.generate`.
"""

from __future__ import annotations

from itertools import pairwise
from math import cos, pi, sin, sqrt

import numpy as np

EtaShift = tuple[float, float]


def inflection_points(number: int, r_0: float, r_c: float) -> list[EtaShift]:
    """(eta, 0) with inflection points of the functions equally spaced from r_0 to r_c / 2; the last eta is 0.

    Raises
    ------
    ValueError
        r_0 is not smaller than r_c / 2.
    """
    if r_0 >= 0.5 * r_c:
        raise ValueError(
            f"the recipe `behler` needs a cutoff radius of more than twice the shortest distance, which is "
            f"{r_0:.4g}, but it is {r_c:g}; take a larger one or the recipe `shifted`"
        )
    radii = np.linspace(r_0, 0.5 * r_c, number)[:-1].tolist()
    return [*((inflection_eta(r, r_c), 0.0) for r in radii), (0.0, 0.0)]


def shifted(number: int, r_0: float, r_c: float) -> list[EtaShift]:
    """(eta, r_s): equal Gaussians a step d apart, r_s = r_0 ... r_c - d, eta = 1 / (2 d^2)."""
    step = (r_c - r_0) / number
    return [(0.5 / step**2, r_0 + k * step) for k in range(number)]


def centered(number: int, r_0: float, r_c: float) -> list[EtaShift]:
    """(eta, 0): eta = 1 / (2 r^2) for r equally spaced from r_0 to r_c."""
    return [(0.5 / r**2, 0.0) for r in np.linspace(r_0, r_c, number).tolist()]


def shifted_and_centered(number: int, r_0: float, r_c: float) -> list[EtaShift]:
    """Two thirds, rounded up, of :func:`shifted`, the others of :func:`centered`."""
    rest = number // 3
    return [*shifted(number - rest, r_0, r_c), *(centered(rest, r_0, r_c) if rest else [])]


def geometric(number: int, r_0: float, r_c: float) -> list[EtaShift]:
    """(eta, r_s): centered ones, and shifted ones at R_m = r_c / n^(m/n), eta = 1 / (R_(m-1) - R_m)^2."""
    n = number // 2 if number >= 4 else 0
    radii = [r_c / n ** (m / n) for m in range(n + 1)] if n else []
    gaussians = [(1.0 / (outer - r) ** 2, r) for outer, r in pairwise(radii)]
    return [*((eta, 0.0) for eta in geometric_etas(number - n, r_0, r_c)), *gaussians]


def geometric_etas(number: int, r_0: float, r_c: float) -> list[float]:
    """eta_m = (n^(m/n) / r_c)^2, m = 0 ... n = number - 1 (n = 2 for two values, lest they be equal)."""
    n = max(2, number - 1)
    return [(n ** (m / n) / r_c) ** 2 for m in range(number)]


def decay(number: int, r_0: float, r_c: float) -> list[float]:
    """eta = 1 / (2 r^2) for the radii of :func:`decay_radii`."""
    return [0.5 / r**2 for r in decay_radii(number, r_0, r_c)]


def decay_from_zero(number: int, r_0: float, r_c: float) -> list[float]:
    """eta = 0, the cutoff function alone, before the values of :func:`decay`."""
    return [0.0, *decay(number - 1, r_0, r_c)] if number > 1 else [0.0]


def decay_radii(number: int, r_0: float, r_c: float) -> list[float]:
    """Radii from r_c towards r_0, which is not reached, in equal ratios."""
    return [r_c * (r_0 / r_c) ** (k / number) for k in range(number)]


def radial_windows(number: int, r_0: float, r_c: float) -> list[EtaShift]:
    """(r_l, outer radius) of windows around r_0, r_0 + d, ... r_c - d that reach to the next centers."""
    step = (r_c - r_0) / number
    return [(r_0 + (k - 1) * step, r_0 + (k + 1) * step) for k in range(number)]


def angle_windows(number: int) -> list[tuple[float, float]]:
    """Left and right end in degrees of `number` windows that overlap by half, from 0 to 180.

    Every core polynomial has f(y) + f(1 - y) = 1, so the windows add up to 1 at every angle.
    """
    width = 180.0 / (number - 1)
    return [(center - width, center + width) for center in np.linspace(0.0, 180.0, number).tolist()]


def inflection_eta(r: float, r_c: float) -> float:
    """Eta for which exp(-eta r^2) f_c(r), cosine cutoff, has its inflection point at `r` <= r_c / 2.

    The second derivative is zero where 4 r^2 f eta^2 - (2 f + 4 r f') eta + f'' = 0; f'' <= 0 there, so one
    root is not negative.
    """
    k = pi / r_c
    f, slope, curvature = 0.5 + 0.5 * cos(k * r), -0.5 * k * sin(k * r), -0.5 * k * k * cos(k * r)
    a, b = 4.0 * r * r * f, 2.0 * f + 4.0 * r * slope
    return (b + sqrt(b * b - 4.0 * a * curvature)) / (2.0 * a)
