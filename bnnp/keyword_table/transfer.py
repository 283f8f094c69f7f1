"""Keywords of mode 2 for networks that start from another potential."""

from __future__ import annotations

from bnnp.keyword_table.arguments import integer, real, reals, text
from bnnp.keyword_table.record import Keyword

TRANSFER = (
    Keyword(
        "transfer_from",
        "DIRECTORY",
        text,
        None,
        "start from the potential in this directory, such as ../silicon/potential",
        "Transfer",
        modes="2",
        dialect="bnnp",
        note="Functions are found by their parameters; those without a partner start with weights of 0.",
    ),
    Keyword(
        "transfer_map",
        "X Y [X Y ...]",
        text,
        None,
        "element X starts from element Y of that potential; without it from its own network, if there is one",
        "Transfer",
        modes="2",
        dialect="bnnp",
        repeatable=True,
    ),
    Keyword(
        "transfer_scale_length",
        "s",
        real(above=0.0),
        1.0,
        "lengths there times s are lengths here: r_c, r_s times s, eta divided by s^2",
        "Transfer",
        modes="2",
        dialect="bnnp",
    ),
    Keyword(
        "transfer_scale_energy",
        "e",
        real(above=0.0),
        1.0,
        "energies there times e are energies here; their zero is fitted anew in any case",
        "Transfer",
        modes="2",
        dialect="bnnp",
    ),
    Keyword(
        "transfer_freeze",
        "n",
        integer(0),
        0,
        "the first n layers of transferred networks stay as they are",
        "Transfer",
        modes="2",
        dialect="bnnp",
    ),
    Keyword(
        "transfer_rates",
        "x_1 ... x_L+1",
        reals(0.0),
        (1.0,),
        "factors of the step size for each layer of transferred networks, the output last",
        "Transfer",
        modes="2",
        dialect="bnnp",
        note="One number stands for all layers. Needs the optimizer adam.",
    ),
)
