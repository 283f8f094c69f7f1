r"""Sets of symmetry functions by published recipes: which parameters for given elements, cutoff and size.

r_c is the cutoff radius, r_0 the shortest distance of the two elements, n the number of radial functions for
each neighbor element.

=========  ===============================================================================================
behler     type 2 without shift; the last has eta = 0, the inflection points of exp(-eta r^2) f_c(r), cosine
           cutoff, are equally spaced from r_0 to r_c / 2 (J. Behler, J. Chem. Phys. 134, 074106 (2011);
           Int. J. Quantum Chem. 115, 1032 (2015))
shifted    type 2 at r_s = r_0, r_0 + d, ... r_c - d with eta = 1 / (2 d^2) (M. Gastegger et al., J. Chem.
           Phys. 148, 241709 (2018))
centred    type 2 without shift, eta = 1 / (2 r^2) for r equally spaced from r_0 to r_c (the same paper)
imbalzano  both on geometric grids: eta_m = (n^(m/n) / r_c)^2; and r_s = R_m = r_c / n^(m/n) with
           eta = 1 / (R_(m-1) - R_m)^2, so that Gaussians are narrow close by (G. Imbalzano et al.,
           J. Chem. Phys. 148, 241730 (2018))
shells     both of Gastegger's, two thirds and one third of the radial functions; half of the angular ones are
           of type 9 with both neighbors in a shell, with radii and widths of `shifted` (compare the angular
           functions of J. S. Smith, O. Isayev, A. E. Roitberg, Chem. Sci. 8, 3192 (2017))
weighted   types 12 and 13 on the grids of `shifted`: as many functions for six elements as for one
           (Gastegger et al.)
wide       the radial functions of `imbalzano`, and type 9 alone with 3 in place of zeta = 16: no triples, so
           that the cost is linear in the number of neighbors (bnnp/core/kernels/moments.inl)
compact    types 20, 21, 22: polynomials of compact support, radial windows and overlapping windows of the
           angle (M. P. Bircher, A. Singraber, C. Dellago, Mach. Learn.: Sci. Technol. 2, 035026 (2021))
=========  ===============================================================================================

Angular functions (types 3, "narrow", and 9, "wide"; 13; 21 and 22) come in sets of eight for each pair of
neighbor elements: lambda = 1, -1 and zeta = 1, 2, 4, 16 with one eta = 1 / (2 r^2), the r going from r_c
down to r_0 in equal ratios; `imbalzano` has its own eta_m, `behler` starts with eta = 0. Narrow and wide sets
alternate. The papers leave r_0, the size and most of the choice of angular functions to the user; those
are bnnp's. With lambda = 1 and -1 the four functions of zeta = 1 and 2 span 1, cos, cos^2: one of them is a
linear combination of the others and is never chosen by :mod:`bnnp.descriptors.pruning`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement, product

from ase.data import atomic_numbers, covalent_radii

from bnnp.descriptors import grids
from bnnp.descriptors.functions import SymmetryFunction, sort_functions
from bnnp.descriptors.grids import EtaShift
from bnnp.messages import count

ZETAS = {2: (1.0,), 4: (1.0, 4.0), 6: (1.0, 4.0, 16.0), 8: (1.0, 2.0, 4.0, 16.0)}
CHEAP = {16.0: 3.0}  # in place of what type 9 has no sums of moments for
SUBTYPE = "p2"  # twice differentiable
WINDOWS = 4  # of the angle in a compact set
ANGULAR_SHARE = 0.85  # of a given number of functions at most
CONTACT = 0.85  # shortest distance in units of the sum of the covalent radii

Distances = Mapping[frozenset[str], float]


@dataclass(frozen=True)
class Counts:
    """Size of a set: functions for each neighbor element and for each pair of neighbor elements.

    Parameters
    ----------
    radial : int
    angular : int
        2, 4, 6 or a multiple of 8.
    """

    radial: int
    angular: int


SIZES = {"small": Counts(5, 4), "medium": Counts(8, 16), "large": Counts(12, 32)}


@dataclass(frozen=True)
class Recipe:
    """How the parameters of a set are chosen.

    Parameters
    ----------
    source : str
        Authors, journal, year.
    radial : function of (number, r_0, r_c) giving (eta, r_s) pairs, 1/length^2 and length
        For `compact`, which has no Gaussians: (r_l, outer radius) pairs.
    angular : function of (number, r_0, r_c) giving values of eta, 1/length^2
        For `compact`: outer radii.
    types : (int, int, int)
        Of the radial, narrow and wide functions; 0 for none.
    """

    source: str
    radial: Callable[[int, float, float], list[EtaShift]]
    angular: Callable[[int, float, float], list[float]]
    types: tuple[int, int, int] = (2, 3, 9)
    shells: bool = False

    @property
    def weighted(self) -> bool:
        """Whether the neighbors of all elements share a function."""
        return self.types[0] == 12


def expected_distances(elements: Sequence[str], angstrom: float) -> dict[frozenset[str], float]:
    """Shortest distances to expect without data: 0.85 of the sum of the covalent radii.

    Parameters
    ----------
    elements : sequence of str
    angstrom : float
        Length of one unit in Angstrom.

    Raises
    ------
    ValueError
        Not an element symbol.
    """
    radius = {element: covalent_radii[_number(element)] / angstrom for element in elements}
    pairs = combinations_with_replacement(elements, 2)
    return {frozenset((a, b)): CONTACT * (radius[a] + radius[b]) for a, b in pairs}


def counts_of(size: str | int, n_elements: int, weighted: bool = False) -> Counts:
    """Numbers of functions for a size: a name, or the most functions of an element.

    Raises
    ------
    ValueError
        The number is too small for that many elements.
    """
    if isinstance(size, str):
        return SIZES[size]
    n_neighbors = 1 if weighted else n_elements
    n_pairs = n_neighbors * (n_neighbors + 1) // 2
    least = 2 * n_pairs + 2 * n_neighbors
    if size < least:
        raise ValueError(
            f"size is {size} but {n_elements} elements need at least {count(least, 'function')} each: two "
            "for each neighbor element and for each pair of them"
        )
    most = min(int(ANGULAR_SHARE * size), size - 2 * n_neighbors) // n_pairs
    angular = max(2, most // 8 * 8 or most // 2 * 2)
    return Counts((size - angular * n_pairs) // n_neighbors, angular)


def generate(
    recipe: Recipe, elements: Iterable[str], r_c: float, counts: Counts, shortest: Distances
) -> dict[str, tuple[SymmetryFunction, ...]]:
    """The functions of every element in n2p2's order, elements by atomic number.

    Parameters
    ----------
    recipe : Recipe
    elements : iterable of str
    r_c : float, length
        Cutoff radius, at most for the compact functions.
    counts : Counts
    shortest : mapping of frozenset of one or two elements to float, length
        Shortest distances r_0.

    Raises
    ------
    ValueError
        An unknown element, or a cutoff radius that is not larger than the shortest distance.
    """
    ordered = sorted(set(elements), key=_number)
    build = _compact if recipe.types[0] == 20 else _gaussian
    return {
        element: sort_functions(_rounded(build(recipe, element, ordered, r_c, counts, shortest), r_c))
        for element in ordered
    }


def merge(
    sets: Iterable[Mapping[str, Sequence[SymmetryFunction]]],
) -> dict[str, tuple[SymmetryFunction, ...]]:
    """All functions of several sets, each once."""
    union: dict[str, set[SymmetryFunction]] = {}
    for functions in sets:
        for element, own in functions.items():
            union.setdefault(element, set()).update(own)
    return {element: sort_functions(own) for element, own in union.items()}


def _gaussian(
    recipe: Recipe, element: str, elements: list[str], r_c: float, counts: Counts, shortest: Distances
) -> Iterator[SymmetryFunction]:
    """Radial Gaussians, and angular functions with powers of the cosine."""
    radial, narrow, wide = recipe.types
    for neighbors, r_0 in _neighbors(element, elements, 1, shortest, recipe.weighted):
        _check_cutoff(r_0, r_c, neighbors)
        for eta, r_s in recipe.radial(counts.radial, r_0, r_c):
            yield SymmetryFunction(element, radial, neighbors, r_c, eta=eta, r_s=r_s)
    total = max(1, counts.angular // 8)
    n_shells = total // 2 if recipe.shells else 0
    n_wide = (total - n_shells) // 2 if wide else 0
    for neighbors, r_0 in _neighbors(element, elements, 2, shortest, recipe.weighted):
        etas = recipe.angular(total - n_shells - n_wide, r_0, r_c)
        each = [(narrow, eta, 0.0) for eta in etas] + [(wide, eta, 0.0) for eta in etas[:n_wide]]
        each += [(wide, *pair) for pair in grids.shifted(n_shells, r_0, r_c)] if n_shells else []
        for (type_, eta, r_s), zeta, sign in product(each, ZETAS[min(8, counts.angular)], (1.0, -1.0)):
            power = CHEAP.get(zeta, zeta) if narrow == 9 else zeta
            yield SymmetryFunction(element, type_, neighbors, r_c, eta=eta, r_s=r_s, lambda_=sign, zeta=power)


def _compact(
    recipe: Recipe, element: str, elements: list[str], r_c: float, counts: Counts, shortest: Distances
) -> Iterator[SymmetryFunction]:
    """Radial windows, and windows of the angle times functions that are largest at the center."""
    radial, narrow, wide = recipe.types
    for neighbors, r_0 in _neighbors(element, elements, 1, shortest):
        _check_cutoff(r_0, r_c, neighbors)
        for r_l, outer in recipe.radial(counts.radial, r_0, r_c):
            yield SymmetryFunction(element, radial, neighbors, outer, r_l=r_l, subtype=SUBTYPE)
    few = counts.angular < 8
    n_windows = counts.angular if few else WINDOWS
    sets = 1 if few else counts.angular // WINDOWS
    for neighbors, r_0 in _neighbors(element, elements, 2, shortest):
        outers = recipe.angular((sets + 1) // 2, r_0, r_c)
        for k in range(sets):
            outer, type_ = outers[k // 2], wide if k % 2 else narrow
            for left, right in grids.angle_windows(n_windows):
                yield SymmetryFunction(
                    element,
                    type_,
                    neighbors,
                    outer,
                    r_l=-outer,
                    angle_left=left,
                    angle_right=right,
                    subtype=SUBTYPE,
                )


def _neighbors(
    element: str, elements: list[str], number: int, shortest: Distances, weighted: bool = False
) -> Iterator[tuple[tuple[str, ...], float]]:
    """Every choice of `number` neighbor elements, with r_0: the shortest distance that all of them reach."""
    r_0 = {other: shortest[frozenset((element, other))] for other in elements}
    if weighted:
        yield (), min(r_0.values())
        return
    for chosen in combinations_with_replacement(elements, number):
        yield chosen, max(r_0[other] for other in chosen)


def _number(element: str) -> int:
    """Atomic number."""
    number = atomic_numbers.get(element, 0)
    if number == 0:
        raise ValueError(f"`{element}` is not an element symbol")
    return int(number)


def _check_cutoff(r_0: float, r_c: float, neighbors: tuple[str, ...]) -> None:
    if r_c <= r_0:
        raise ValueError(
            f"cutoff radius is {r_c:g} but must be larger than the shortest distance to "
            f"{' '.join(neighbors) or 'any neighbor'}, {r_0:.4g}; are the units right?"
        )


def _rounded(functions: Iterable[SymmetryFunction], r_c: float) -> Iterator[SymmetryFunction]:
    """Round the parameters to five digits. A cutoff radius `r_c` stays as it was given."""
    for function in functions:
        whole = abs(function.r_c - r_c) < 1e-9 * r_c
        outer = r_c if whole else _round(function.r_c)
        inner = -outer if function.r_l == -function.r_c else _round(function.r_l)
        yield replace(function, eta=_round(function.eta), r_s=_round(function.r_s), r_l=inner, r_c=outer)


def _round(value: float) -> float:
    return float(f"{value:.5g}")


_GASTEGGER = (
    "M. Gastegger, L. Schwiedrzik, M. Bittermann, F. Berzsenyi, P. Marquetand, "
    "J. Chem. Phys. 148, 241709 (2018)"
)
_IMBALZANO = (
    "G. Imbalzano, A. Anelli, D. Giofre, S. Klees, J. Behler, M. Ceriotti, J. Chem. Phys. 148, 241730 (2018)"
)
RECIPES = {
    "behler": Recipe(
        "J. Behler, J. Chem. Phys. 134, 074106 (2011); Int. J. Quantum Chem. 115, 1032 (2015)",
        grids.inflection_points,
        grids.decay_from_zero,
    ),
    "shifted": Recipe(_GASTEGGER, grids.shifted, grids.decay),
    "centred": Recipe(_GASTEGGER, grids.centered, grids.decay),
    "imbalzano": Recipe(_IMBALZANO, grids.geometric, grids.geometric_etas),
    "shells": Recipe(
        f"{_GASTEGGER}; J. S. Smith, O. Isayev, A. E. Roitberg, Chem. Sci. 8, 3192 (2017)",
        grids.shifted_and_centered,
        grids.decay,
        shells=True,
    ),
    "wide": Recipe(_IMBALZANO, grids.geometric, grids.geometric_etas, (2, 9, 0)),
    "weighted": Recipe(_GASTEGGER, grids.shifted, grids.decay, (12, 13, 0)),
    "compact": Recipe(
        "M. P. Bircher, A. Singraber, C. Dellago, Mach. Learn.: Sci. Technol. 2, 035026 (2021)",
        grids.radial_windows,
        grids.decay_radii,
        (20, 21, 22),
    ),
}
