"""Where the heavy work runs: the C++ core on the CPU, or torch on a GPU."""

from __future__ import annotations

import torch

from bnnp.core import Descriptor
from bnnp.core.device import descriptor_on
from bnnp.errors import InputError
from bnnp.settings import Settings


def demand_device(device: str) -> None:
    """Raise InputError if torch cannot use `device`."""
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "device is cuda, but PyTorch sees no GPU: install a CUDA build of PyTorch, check the driver, "
            "or use `device cpu`"
        )


def descriptor_of(settings: Settings, threads: int) -> Descriptor:
    """The symmetry functions of input.nn on the device it names. Raises InputError if that is not there."""
    demand_device(settings["device"])
    return descriptor_on(settings["device"], settings.elements, settings.functions, settings.cutoff, threads)
