r"""Width and cutoffs of the Ewald sum of a periodic structure, as n2p2 chooses them.

The interaction of Gaussian charges is that of Gaussians of width eta, summed over wave vectors below k_cut,
and the rest, summed over distances below r_cut. For a precision p

* J. Jackson and C. Catlow, Mol. Simul. 1, 207 (1988): eta = V^(1/3) / sqrt(2 pi), and both cutoffs where the
  Gaussian has fallen to p;
* J. Kolafa and J. Perram, Mol. Simul. 9, 351 (1992): the mean error of a force is p for charges of at most q,
  with the fastest eta or for a given r_cut.

A given precision is kept for wide charges, too: r_cut is at least what the widest pair needs. Of large
structures :mod:`bnnp.charges.large` takes the precision only.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, inf, log, pi, sqrt

from bnnp.errors import InputError

REAL_OVER_RECIPROCAL = 3.676  # cost of a pair over that of an atom and wave vector, n2p2's value


@dataclass(frozen=True)
class Ewald:
    """The Ewald sum of one structure.

    Parameters
    ----------
    eta : float, length
        Width of the Gaussians whose interaction is summed over wave vectors.
    r_cut : float, length
    k_cut : float, 1/length
    k_max : int or None
        Largest index of a wave vector along each axis; None without such a limit.
    """

    eta: float
    r_cut: float
    k_cut: float = inf
    k_max: int | None = None

    @property
    def precision(self) -> float:
        """What the Gaussian has fallen to at k_cut."""
        return exp(-0.5 * (self.k_cut * self.eta) ** 2)


@dataclass(frozen=True)
class EwaldRule:
    """How the Ewald sum of a structure is chosen.

    Parameters
    ----------
    method : int
        n2p2's ``ewald_truncation_error_method``: 0 Jackson and Catlow, 1 Kolafa and Perram.
    precision : float
        Relative (method 0), or of a force, energy/length (method 1).
    largest_charge : float, e
        For method 1.
    r_cut : float or None, length
        For method 1; None for the fastest one.
    fixed : Ewald or None
        RuNNer's ``ewald_alpha``, ``ewald_cutoff``, ``ewald_kmax``, which replace all others.
    where : str
        The line of input.nn that gives the precision or `fixed`, for messages.
    """

    method: int = 0
    precision: float = 1e-6
    largest_charge: float = 1.0
    r_cut: float | None = None
    fixed: Ewald | None = None
    where: str = "ewald_prec"

    def of(self, volume: float, n_atoms: int, widest: float, four_pi_epsilon: float) -> Ewald:
        """The sum for a structure.

        Parameters
        ----------
        volume : float, length^3
        widest : float, length
            Largest width of a charge.
        four_pi_epsilon : float, e^2/(energy length)

        Raises
        ------
        InputError
            The precision cannot be reached with the given cutoff.
        """
        pair = sqrt(2.0) * widest
        if self.fixed is not None:
            return self.fixed
        if self.method == 0:
            eta = volume ** (1.0 / 3.0) / sqrt(2.0 * pi)
            reach = sqrt(-2.0 * log(self.precision))
            return Ewald(eta, reach * max(eta, pair), reach / eta)
        strength = self.largest_charge**2 * sqrt(n_atoms / volume) / four_pi_epsilon
        if self.r_cut is not None:
            return self._of_cutoff(self.r_cut, 2.0 * strength, pair)
        scale = (volume**2 / (2.0 * pi) ** 3 / REAL_OVER_RECIPROCAL) ** (1.0 / 6.0)
        eta = scale
        for _ in range(100):
            s = _reach(self.precision * sqrt(eta / 2.0) / (2.0**0.75 * strength), self.where)
            former, eta = eta, scale * (1.0 + 0.5 / s**2) ** (1.0 / 6.0)
            if abs(eta - former) <= 1e-15 * eta:
                break
        eta = max(eta, widest)
        return Ewald(eta, sqrt(2.0) * s * max(eta, pair), sqrt(2.0) * s / eta)

    def _of_cutoff(self, r_cut: float, strength: float, pair: float) -> Ewald:
        """The sum of method 1 with a given cutoff."""
        ratio = sqrt(r_cut / 2.0) * self.precision / strength
        if ratio >= 1.0:
            raise _too_coarse(self.where)
        eta = r_cut / sqrt(-2.0 * log(ratio))
        if pair > eta:
            raise InputError(
                f"{self.where}: the cutoff {r_cut:g} is too short for the precision {self.precision:g} with "
                f"charges as wide as {pair / sqrt(2.0):g} (fixed_gausswidth): give at least "
                f"{pair * sqrt(-2.0 * log(ratio)):.4g}, or leave the cutoff out"
            )
        y = eta * self.precision / (sqrt(2.0) * strength)
        # exp(-(k eta)^2 / 2) / sqrt(k) = y with k = sqrt(2) s / eta
        return Ewald(eta, r_cut, sqrt(2.0) / eta * _reach(y * sqrt(sqrt(2.0) / eta), self.where))


def _reach(y: float, where: str) -> float:
    """The s with exp(-s^2) / sqrt(s) = y."""
    s = 1.0
    for _ in range(200):  # Newton on the logarithm; from the left, where it is convex, without overshooting
        step = (log(y) + s * s + 0.5 * log(s)) / (2.0 * s + 0.5 / s)
        former, s = s, s - step if step < s else 0.5 * s
        if abs(s - former) <= 1e-15 * s:
            break
    if s * s < 1.0 or exp(-s * s) > 0.1:
        raise _too_coarse(where)
    return s


def _too_coarse(where: str) -> InputError:
    return InputError(f"{where}: the precision is too coarse for this structure: give a smaller one")
