"""Keywords of the symmetry functions, their cutoff function and their scaling."""

from __future__ import annotations

from dataclasses import dataclass

from bnnp.settings.arguments import AUTO, automatic, cutoff_type, flag, real, text
from bnnp.settings.keywords.record import BNNP, BOTH, N2P2, RUNNER, Section, keyword

ALONE, SEVERAL = 60, 80  # functions of an element that ``symmetry_functions auto`` chooses at most


# fmt: off
@dataclass(frozen=True)
class DescriptorSettings(Section, title="Symmetry functions", modes="123", dialect=RUNNER):
    """Symmetry functions and their cutoff function."""

    symfunction_short: tuple[tuple[str, ...], ...] = keyword("X type [neighbors] parameters r_c", text, (),
        "one symmetry function of element X",
        dialect=BOTH, repeatable=True, aliases=("symfunction", "symfunction_short_atomic"),
        note="Types and parameters: 1 e1 r_c; 2 e1 eta r_s r_c; 3 and 9 e1 e2 eta lambda zeta r_c [r_s]; 4 "
             "e1 eta r_c; 8 e1 e2 eta r_s r_c; 12 eta r_s r_c; 13 eta r_s lambda zeta r_c; 20 e1 r_l r_c "
             "subtype; 21 and 22 e1 e2 r_l r_c angle_left angle_right subtype; 23 r_l r_c subtype; 24 and 25 "
             "r_l r_c angle_left angle_right subtype. Lengths in the unit of the file, eta in 1/length^2, "
             "angles in degrees.")
    element_symfunction_short: tuple[tuple[str, ...], ...] = keyword("X type parameters r_c", text, (),
        "one symmetry function of X for every neighbor element, or pair of them",
        repeatable=True, aliases=("element_symfunction_short_atomic",))
    global_symfunction_short: tuple[tuple[str, ...], ...] = keyword("type parameters r_c", text, (),
        "the same for every central element",
        repeatable=True, aliases=("global_symfunction_short_atomic",))
    symmetry_functions: int | str = keyword("auto [n]", automatic, AUTO,
        "mode 1 chooses at most n functions of each element by the structures; on without functions here",
        dialect=BNNP, modes="1",
        note=f"n: without a number {ALONE} for one element, {SEVERAL} for several. They are written to "
             "input.nn.auto, which the other modes read as if its lines stood in input.nn: copy them there "
             "to keep them.")
    cutoff_type: tuple[int, float | None] = keyword("n [alpha]", cutoff_type, (1, None),
        "0 hard, 1 cosine, 2 tanh^3, 3 scaled tanh^3, 4 exponential, 5-8 polynomials", dialect=BOTH,
        note="alpha: inner radius in units of r_c; the cutoff function is 1 below. Types 2 and 3 have none.")
    cutoff_alpha: float = keyword("alpha", real(0.0, below=1.0), 0.0,
        "inner radius of the cutoff function in units of r_c (RuNNer's spelling)")

    def most_functions(self, n_elements: int) -> int:
        """Functions of each element that ``symmetry_functions auto`` chooses at most."""
        if isinstance(self.symmetry_functions, int):
            return self.symmetry_functions
        return ALONE if n_elements == 1 else SEVERAL


@dataclass(frozen=True)
class ScalingSettings(Section, title="Scaling", modes="23", dialect=BOTH):
    """Scaling of the symmetry functions, normalization of the energies."""

    scale_symmetry_functions: bool = keyword("", flag, False,
        "scale to [scale_min_short_atomic, scale_max_short_atomic] by minimum and maximum")
    center_symmetry_functions: bool = keyword("", flag, False,
        "subtract the mean")
    scale_symmetry_functions_sigma: bool = keyword("", flag, False,
        "subtract the mean and divide by the standard deviation", dialect=N2P2, tier="R")
    scale_min_short_atomic: float = keyword("x", real(), 0.0,
        "lower end of the scaled interval", tier="R", aliases=("scale_min_short",))
    scale_max_short_atomic: float = keyword("x", real(), 1.0,
        "upper end of the scaled interval", tier="R", aliases=("scale_max_short",))
    use_old_scaling: bool = keyword("", flag, False,
        "take scaling.data as it is instead of computing it from the training set",
        modes="2", dialect=RUNNER, tier="R")
    mean_energy: float = keyword("E", real(), 0.0,
        "n2p2's normalization: mean energy per atom; E* = (E - N mean_energy) conv_energy",
        dialect=N2P2, tier="R", unit="energy/atom",
        note="mean_energy, conv_energy and conv_length go together: all three or none.")
    conv_energy: float = keyword("x", real(above=0.0), 1.0,
        "n2p2's normalization: factor of energies", dialect=N2P2, tier="R",
        note="mean_energy, conv_energy and conv_length go together: all three or none.")
    conv_length: float = keyword("x", real(above=0.0), 1.0,
        "n2p2's normalization: factor of lengths", dialect=N2P2, tier="R",
        note="mean_energy, conv_energy and conv_length go together: all three or none.")
