"""Keywords of the symmetry functions, their cutoff and their scaling."""

from __future__ import annotations

from bnnp.keyword_table.arguments import cutoff_type, flag, real, text
from bnnp.keyword_table.record import Keyword

SYMMETRY_FUNCTIONS = (
    Keyword(
        "symfunction_short",
        "X type [neighbors] parameters r_c",
        text,
        None,
        "one symmetry function of element X",
        "Symmetry functions",
        repeatable=True,
        aliases=("symfunction", "symfunction_short_atomic"),
        note=(
            "Types and parameters: 1 e1 r_c; 2 e1 eta r_s r_c; 3 and 9 e1 e2 eta lambda zeta r_c [r_s]; 4 "
            "e1 eta r_c; "
            "8 e1 e2 eta r_s r_c; 12 eta r_s r_c; 13 eta r_s lambda zeta r_c; 20 e1 r_l r_c subtype; "
            "21 and 22 e1 e2 r_l r_c angle_left angle_right subtype; 23 r_l r_c subtype; "
            "24 and 25 r_l r_c angle_left angle_right subtype. Lengths in the unit of the file, eta in "
            "1/length^2, "
            "angles in degrees."
        ),
    ),
    Keyword(
        "element_symfunction_short",
        "X type parameters r_c",
        text,
        None,
        "one symmetry function of X for every neighbor element, or pair of them",
        "Symmetry functions",
        repeatable=True,
        dialect="RuNNer",
        aliases=("element_symfunction_short_atomic",),
    ),
    Keyword(
        "global_symfunction_short",
        "type parameters r_c",
        text,
        None,
        "the same for every central element",
        "Symmetry functions",
        repeatable=True,
        dialect="RuNNer",
        aliases=("global_symfunction_short_atomic",),
    ),
    Keyword(
        "cutoff_type",
        "n [alpha]",
        cutoff_type,
        (1, None),
        "0 hard, 1 cosine, 2 tanh^3, 3 scaled tanh^3, 4 exponential, 5-8 polynomials",
        "Symmetry functions",
        note="alpha: inner radius in units of r_c; the cutoff function is 1 below. Types 2 and 3 have none.",
    ),
    Keyword(
        "cutoff_alpha",
        "alpha",
        real(0.0, below=1.0),
        0.0,
        "inner radius of the cutoff function in units of r_c (RuNNer's spelling)",
        "Symmetry functions",
        dialect="RuNNer",
    ),
)

SCALING = (
    Keyword(
        "scale_symmetry_functions",
        "",
        flag,
        False,
        "scale to [scale_min_short_atomic, scale_max_short_atomic] by minimum and maximum",
        "Scaling",
        modes="23",
    ),
    Keyword(
        "center_symmetry_functions",
        "",
        flag,
        False,
        "subtract the mean",
        "Scaling",
        modes="23",
    ),
    Keyword(
        "scale_symmetry_functions_sigma",
        "",
        flag,
        False,
        "subtract the mean and divide by the standard deviation",
        "Scaling",
        modes="23",
        tier="R",
        dialect="n2p2",
    ),
    Keyword(
        "scale_min_short_atomic",
        "x",
        real(),
        0.0,
        "lower end of the scaled interval",
        "Scaling",
        modes="23",
        tier="R",
        aliases=("scale_min_short",),
    ),
    Keyword(
        "scale_max_short_atomic",
        "x",
        real(),
        1.0,
        "upper end of the scaled interval",
        "Scaling",
        modes="23",
        tier="R",
        aliases=("scale_max_short",),
    ),
    Keyword(
        "use_old_scaling",
        "",
        flag,
        False,
        "take scaling.data as it is instead of computing it from the training set",
        "Scaling",
        modes="2",
        tier="R",
        dialect="RuNNer",
    ),
    Keyword(
        "mean_energy",
        "E",
        real(),
        0.0,
        "n2p2's normalization: mean energy per atom; E* = (E - N mean_energy) conv_energy",
        "Scaling",
        unit="energy/atom",
        modes="23",
        tier="R",
        dialect="n2p2",
        note="mean_energy, conv_energy and conv_length go together: all three or none.",
    ),
    Keyword(
        "conv_energy",
        "x",
        real(above=0.0),
        1.0,
        "n2p2's normalization: factor of energies",
        "Scaling",
        modes="23",
        tier="R",
        dialect="n2p2",
        note="mean_energy, conv_energy and conv_length go together: all three or none.",
    ),
    Keyword(
        "conv_length",
        "x",
        real(above=0.0),
        1.0,
        "n2p2's normalization: factor of lengths",
        "Scaling",
        modes="23",
        tier="R",
        dialect="n2p2",
        note="mean_energy, conv_energy and conv_length go together: all three or none.",
    ),
)
