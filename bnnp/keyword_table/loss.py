"""Keywords of mode 2 that say what the loss is made of."""

from __future__ import annotations

from bnnp.keyword_table.arguments import auto_or, choice, group_weight, pair, real
from bnnp.keyword_table.record import Keyword

LOSS = (
    Keyword(
        "group_weight",
        "LABEL w | LABEL w_E w_F w_S",
        group_weight,
        None,
        "weight of all structures with `group=LABEL` in their comment, or of energies, forces and stresses",
        "Loss",
        modes="2",
        dialect="bnnp",
        repeatable=True,
        note="Multiplies `weight=` of the structure; groups without a line have weight 1.",
    ),
    Keyword(
        "huber_delta",
        "x",
        real(0.0),
        0.0,
        "errors beyond x times the spread of the training data count linearly (Huber); 0: squares only",
        "Loss",
        modes="2",
        dialect="bnnp",
    ),
    Keyword(
        "force_weighting",
        "none|gdf",
        choice("none", "gdf"),
        "none",
        "gdf: forces on atoms in rare environments weigh more, by the Gaussian density of the training set",
        "Loss",
        modes="2",
        dialect="bnnp",
        note="Jeong et al., J. Phys. Chem. C 122, 22790 (2018). The mean weight of each element is 1.",
    ),
    Keyword(
        "gdf_sigma",
        "x|auto",
        auto_or(real(above=0.0)),
        "auto",
        "width of the Gaussians of force_weighting, in functions scaled to [-1, 1] and per dimension",
        "Loss",
        modes="2",
        dialect="bnnp",
        note="auto: 99 % of the atoms of an element have a neighbour within one width.",
    ),
    Keyword(
        "gdf_sigmoid",
        "b c",
        pair,
        None,
        "force_weighting by x / (1 + exp(c - b x)) of the inverse density x instead of by x",
        "Loss",
        modes="2",
        dialect="bnnp",
    ),
    Keyword(
        "network_inputs",
        "auto|whitened|principal|scaled",
        choice("auto", "whitened", "principal", "scaled"),
        "auto",
        "what the networks are trained on: principal components of equal or of their own spread, or the "
        "functions as the files scale them",
        "Loss",
        modes="2",
        dialect="bnnp",
        note=(
            "auto: principal with the Kalman filter, whitened with other methods. "
            "The files hold plain networks on scaled functions either way. Dropout of inputs always "
            "trains on scaled ones. `scale_min_short_atomic -1` scales to [-1, 1]."
        ),
    ),
)
