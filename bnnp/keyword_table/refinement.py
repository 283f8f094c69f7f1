"""Keywords of mode 2 for what comes after, or several times instead of, one training."""

from __future__ import annotations

from bnnp.keyword_table.arguments import choice, flag, integer, real
from bnnp.keyword_table.record import Keyword

REFINEMENT = (
    Keyword(
        "ensemble_size",
        "M",
        integer(1, 99),
        1,
        "networks trained one after another, other random numbers; mode 3 divides mc_samples among them",
        "Ensemble",
        modes="23",
        dialect="bnnp",
        note="Members 2 to M are in member_02, ...; the variance has a part within and one between them.",
    ),
    Keyword(
        "ensemble_bootstrap",
        "",
        flag,
        False,
        "each member is trained on its own sample of the training set, drawn with replacement",
        "Ensemble",
        modes="2",
        dialect="bnnp",
    ),
    Keyword(
        "finetune",
        "none|nll",
        choice("none", "nll"),
        "none",
        "nll: after the training, train mean and spread of the frozen masks by the negative log-likelihood",
        "Fine-tuning",
        modes="2",
        dialect="bnnp",
        note="Kellner, Ceriotti, Mach. Learn.: Sci. Technol. 5, 035006 (2024). Needs dropout and mc_samples.",
    ),
    Keyword(
        "finetune_epochs",
        "n",
        integer(1),
        20,
        "epochs of it",
        "Fine-tuning",
        modes="2",
        dialect="bnnp",
    ),
    Keyword(
        "finetune_rate",
        "x",
        real(above=0.0),
        1e-3,
        "step size of Adam at its start",
        "Fine-tuning",
        modes="2",
        dialect="bnnp",
    ),
    Keyword(
        "finetune_masks",
        "n",
        integer(2),
        16,
        "frozen masks of each structure in an update; the time grows with it",
        "Fine-tuning",
        modes="2",
        dialect="bnnp",
    ),
)
