"""Activation functions of RuNNer and n2p2 with their first and second derivatives.

One letter a layer; formulas in :data:`bnnp.network.architecture.ACTIVATIONS`. Derivatives are functions of
the pre-activation x and the value y = f(x), whichever is cheaper. All work on tensors of any shape and are
differentiable twice by autograd.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "l": lambda x: x,
    "t": torch.tanh,
    "s": torch.sigmoid,
    "S": lambda x: torch.sigmoid(-x),
    "g": lambda x: torch.exp(-0.5 * x * x),
    "c": torch.cos,
    "e": lambda x: torch.exp(-x),
    "h": lambda x: x * x,
    "p": lambda x: torch.logaddexp(x, torch.zeros_like(x)),  # no overflow at large x, exact at large -x
    "r": torch.relu,
}

_DERIVATIVES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l": lambda x, y: torch.ones_like(x),
    "t": lambda x, y: 1.0 - y * y,
    "s": lambda x, y: y * (1.0 - y),
    "S": lambda x, y: -y * (1.0 - y),
    "g": lambda x, y: -x * y,
    "c": lambda x, y: -torch.sin(x),
    "e": lambda x, y: -y,
    "h": lambda x, y: 2.0 * x,
    "p": lambda x, y: torch.sigmoid(x),
    "r": lambda x, y: (x > 0.0).to(x.dtype),
}

_CURVATURES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l": lambda x, y: torch.zeros_like(x),
    "t": lambda x, y: -2.0 * y * (1.0 - y * y),
    "s": lambda x, y: y * (1.0 - y) * (1.0 - 2.0 * y),
    "S": lambda x, y: y * (1.0 - y) * (1.0 - 2.0 * y),
    "g": lambda x, y: (x * x - 1.0) * y,
    "c": lambda x, y: -y,
    "e": lambda x, y: y,
    "h": lambda x, y: torch.full_like(x, 2.0),
    "p": lambda x, y: torch.sigmoid(x) * torch.sigmoid(-x),
    "r": lambda x, y: torch.zeros_like(x),
}


def activate(letter: str, x: Tensor) -> Tensor:
    """f(x) of the activation `letter`, same shape as `x`."""
    return _FUNCTIONS[letter](x)


def derivative(letter: str, x: Tensor, y: Tensor) -> Tensor:
    """f'(x), given x and y = f(x), same shape as `x`; 0 at the kink of ``r``."""
    return _DERIVATIVES[letter](x, y)


def curvature(letter: str, x: Tensor, y: Tensor) -> Tensor:
    """f''(x), given x and y = f(x), same shape as `x`."""
    return _CURVATURES[letter](x, y)
