r"""Green-Kubo: transport coefficients from the fluctuations of a flux.

.. math::
    L = F \int_0^\infty \langle x(0)\, x(t) \rangle\, dt

with x each component of a flux and F = 1/(V k_B T^2) for the thermal conductivity (heat flux J),
V/(k_B T) for the viscosity (five components of the traceless pressure tensor; P. J. Daivis, D. J. Evans,
J. Chem. Phys. 100, 541 (1994)), 1/(V k_B T) for the ionic conductivity (charge flux).

In a mixture heat also moves with the elements. What conducts at zero particle flux is the part of J that no
combination of the fluxes of the elements explains: kappa ~ L_JJ - L_Ji (L_ij)^{-1} L_jJ (R. Bertossa et al.,
Phys. Rev. Lett. 122, 255901 (2019)). :func:`without_particles` subtracts that combination, found at low
frequencies, so that the free-atom energies in J do not count.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LOW = 0.02  # share of the frequencies that `without_particles` looks at
FEWEST = 20  # frequencies for each element, at least


def autocorrelation(series: Array, lags: int) -> Array:
    """<x(0) x(t)> of each component, averaged over time origins, (lags, k).

    Parameters
    ----------
    series : (n, k) float64
    lags : int
        From 0; at most n.
    """
    n = len(series)
    transformed = np.fft.rfft(series, 2 * n, axis=0)
    sums = np.fft.irfft(np.abs(transformed) ** 2, 2 * n, axis=0)[:lags]
    return np.asarray(sums / (n - np.arange(lags))[:, None])


def running_integral(correlation: Array, interval: float) -> Array:
    """Integral from 0 to each lag by the trapezoidal rule, (lags, k)."""
    steps = 0.5 * interval * (correlation[1:] + correlation[:-1])
    return np.concatenate([np.zeros_like(correlation[:1]), np.cumsum(steps, axis=0)])


def traceless(pressure: Array) -> Array:
    """Five components of equal variance in an isotropic body, (n, 5), of pressures (n, 6) in Voigt order."""
    xx, yy, zz, yz, xz, xy = pressure.T
    return np.stack([yz, xz, xy, 0.5 * (xx - yy), (2.0 * zz - xx - yy) / np.sqrt(12.0)], axis=1)


def without_particles(flux: Array, particles: Array) -> Array:
    """The flux less the combination of particle fluxes that explains most of it at low frequencies, (n, 3).

    Parameters
    ----------
    flux : (n, 3) float64
    particles : (n, m, 3) float64
        Independent fluxes: of all elements but one, where the momentum is zero.
    """
    m = particles.shape[1]
    last = max(FEWEST * m, round(LOW * len(flux) / 2)) + 1
    wanted = np.fft.rfft(flux - flux.mean(axis=0), axis=0)[1:last]  # frequency axis
    known = np.fft.rfft(particles, axis=0)[1:last].transpose(0, 2, 1).reshape(-1, m)
    rows = np.concatenate([known.real, known.imag])
    target = np.concatenate([wanted.real.ravel(), wanted.imag.ravel()])
    factors = np.linalg.lstsq(rows, target)[0]
    return np.asarray(flux - np.einsum("nmx,m->nx", particles, factors))
