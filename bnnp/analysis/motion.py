r"""Motion in time: mean-square displacement and diffusion, velocity autocorrelation and vibrational spectrum.

.. math:: \mathrm{MSD}(t) = \langle |r_i(t_0 + t) - r_i(t_0)|^2 \rangle_{i, t_0}, \qquad
          D = \lim_{t \to \infty} \frac{1}{6} \frac{d\,\mathrm{MSD}}{dt}, \qquad
          g(\nu) \propto \left| \int \sqrt{m}\, v(t)\, w(t)\, e^{-2 \pi i \nu t} dt \right|^2

averaged over the atoms and, by FFT, over all time origins (V. Calandrini et al., Collection SFN 12, 201
(2011), sect. 4.1). The spectrum is that of the mass-weighted velocities (J. M. Dickey, A. Paskin, Phys. Rev.
188, 1407 (1969)), normalized to an integral of one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import welch

from bnnp.messages import count

Array = NDArray[np.float64]

THZ_PER_FS = 1000.0  # 1/fs in THz
CM_PER_THZ = 33.35640951981521  # wave number in 1/cm of one THz
CM2_S = 1.0e-4  # cm^2/s in one Angstrom^2/ps


def unwrap(positions: Array, cells: Array) -> Array:
    """Undo jumps across the cell, as no atom moves by more than half a lattice vector between two frames.

    Parameters
    ----------
    positions : (n_frames, n_atoms, 3) float64, length
    cells : (n_frames, 3, 3) float64, length
        Rows are the lattice vectors.
    """
    scaled = np.linalg.solve(cells.transpose(0, 2, 1), positions.transpose(0, 2, 1)).transpose(0, 2, 1)
    jumps = np.rint(np.diff(scaled, axis=0))
    scaled[1:] -= np.cumsum(jumps, axis=0)
    return np.asarray(np.einsum("fas,fsx->fax", scaled, cells))


def mean_square_displacement(positions: Array) -> Array:
    """MSD of unwrapped positions, (n_frames, n_atoms, 3), for lags 0 ... n_frames - 1: (n_frames,), length^2.

    The lag k is averaged over n_frames - k origins.
    """
    n = len(positions)
    moved = positions - positions.mean(axis=0)
    squares = np.square(moved).sum(axis=2)  # (n_frames, n_atoms)
    ahead = np.cumsum(squares, axis=0)
    total = ahead[-1]
    sums = np.empty_like(squares)  # of squares at both ends of all intervals of a lag
    sums[0] = 2.0 * total
    sums[1:] = (total - ahead[:-1]) + ahead[::-1][1:]
    origins = (n - np.arange(n))[:, None]
    return np.asarray(((sums / origins) - 2.0 * _autocorrelation(moved) / origins).mean(axis=1))


def diffusion(msd: Array, interval: float, share: tuple[float, float] = (0.1, 0.5)) -> tuple[float, float]:
    """Diffusion coefficient and its error, Angstrom^2/ps, from a straight line through part of the MSD.

    Parameters
    ----------
    msd : (n_lags,) float64, Angstrom^2
    interval : float, fs
        Between two frames.
    share : (float, float)
        First and last lag of the line, as shares of the run, without the ballistic start and the noisy end.

    Returns
    -------
    coefficient, error : float
        The error is half of the difference of the slopes of the two halves of the line.
    """
    lags = np.arange(len(msd)) * interval / 1000.0  # ps
    first, last = (round(part * (len(msd) - 1)) for part in share)
    if last - first < 3:
        raise ValueError(f"{count(len(msd), 'frame is', 'frames are')} too few for a diffusion coefficient")
    chosen = np.arange(first, last + 1)
    slope = np.polyfit(lags[chosen], msd[chosen], 1)[0]
    halves = [np.polyfit(lags[part], msd[part], 1)[0] for part in np.array_split(chosen, 2)]
    return float(slope) / 6.0, abs(float(halves[1] - halves[0])) / 12.0


def velocity_autocorrelation(velocities: Array, masses: Array) -> Array:
    """Mass-weighted velocity autocorrelation, 1 at lag 0; (n_frames,) for lags 0 ... n_frames - 1."""
    weighted = velocities * np.sqrt(masses)[None, :, None]
    n = len(velocities)
    values = _autocorrelation(weighted).sum(axis=1) / (n - np.arange(n))
    return np.asarray(values / values[0])


def vibrational_spectrum(
    velocities: Array, masses: Array, interval: float, segments: int = 4
) -> tuple[Array, Array]:
    """Vibrational density of states (P. Welch's method, IEEE Trans. Audio 15, 70 (1967)).

    Parameters
    ----------
    velocities : (n_frames, n_atoms, 3) float64, any unit
    masses : (n_atoms,) float64
    interval : float, fs
        Between two frames: frequencies go up to 500 THz / interval.
    segments : int
        Overlapping Hann windows the run is cut into: more are smoother and less sharp.

    Returns
    -------
    frequencies : (n,) float64, THz
    density : (n,) float64, 1/THz
        Integral one.
    """
    weighted = velocities * np.sqrt(masses)[None, :, None]
    frequencies, power = _power(weighted.reshape(len(weighted), -1), interval, segments)
    return frequencies, power / (power.sum() * (frequencies[1] - frequencies[0]))


def infrared_spectrum(dipoles: Array, interval: float, segments: int = 4) -> tuple[Array, Array]:
    r"""Infrared spectrum: frequency squared times the Fourier transform of :math:`\langle M(0) M(t) \rangle`.

    That is the absorption coefficient times the refractive index over a constant, of classical nuclei with
    the harmonic quantum correction (R. Ramirez et al., J. Chem. Phys. 121, 3973 (2004)).

    Parameters
    ----------
    dipoles : (n_frames, 3) float64, any unit
        Continuous in time: of unwrapped positions.
    interval, segments
        As of :func:`vibrational_spectrum`.

    Returns
    -------
    frequencies : (n,) float64, THz
    intensity : (n,) float64, 1/THz
        Integral one; zero everywhere for dipoles that do not change.
    """
    frequencies, power = _power(dipoles - dipoles.mean(axis=0), interval, segments)
    intensity = frequencies**2 * power
    integral = intensity.sum() * (frequencies[1] - frequencies[0])
    return frequencies, intensity / integral if integral > 0.0 else intensity


def _power(series: Array, interval: float, segments: int) -> tuple[Array, Array]:
    """Frequencies (n,), THz, and the sum of the power spectra of the columns of `series` (Welch)."""
    length = max(8, 2 * len(series) // (segments + 1))
    frequencies, power = welch(
        series,
        fs=THZ_PER_FS / interval,
        window="hann",
        nperseg=min(length, len(series)),
        detrend=False,
        axis=0,
    )
    return frequencies, power.sum(axis=1)


def _autocorrelation(values: Array) -> Array:
    """Sum over x, and over all origins, of values(t0) values(t0 + t), (n_frames, n_atoms), by FFT."""
    n = len(values)
    transformed = np.fft.rfft(values, 2 * n, axis=0)
    return np.asarray(np.fft.irfft(np.abs(transformed) ** 2, 2 * n, axis=0)[:n].sum(axis=2))
