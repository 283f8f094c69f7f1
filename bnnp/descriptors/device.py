"""Symmetry functions on a GPU: the torch reference with the interface of the C++ core."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import DTypeLike

from bnnp.descriptors.acsf import TorchDescriptor
from bnnp.descriptors.compiled import Array, Blocks, Descriptor, Types
from bnnp.descriptors.cutoffs import Cutoff
from bnnp.descriptors.functions import SymmetryFunction
from bnnp.descriptors.neighbors import NeighborList
from bnnp.errors import InputError


def demand_device(device: str) -> None:
    """Raise InputError if torch cannot use `device`."""
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(
            "device is cuda, but PyTorch sees no GPU: install a CUDA build of PyTorch, check the driver, "
            "or use `device cpu`"
        )


class DeviceDescriptor(Descriptor):
    """A :class:`Descriptor` whose four sweeps run in torch on `device`, in float64.

    Arguments and results are in the memory of the CPU; sweeps over stored blocks run on the CPU.

    Parameters
    ----------
    device : str
        As torch names it, for example ``cuda``.

    Raises
    ------
    InputError
        Torch sees no such device.
    """

    def __init__(
        self,
        elements: tuple[str, ...],
        functions: Mapping[str, tuple[SymmetryFunction, ...]],
        cutoff: Cutoff,
        device: str,
        threads: int = 1,
    ) -> None:
        demand_device(device)
        super().__init__(elements, functions, cutoff, threads=threads)
        self._torch = TorchDescriptor(elements, functions, cutoff, device=device)
        self._device = device

    @property
    def kernel(self) -> str:
        """Where the sweeps run."""
        return f"torch on {self._device}"

    def values(self, types: Types, pairs: NeighborList) -> Array:
        """As :meth:`Descriptor.values`."""
        return self._torch.values(types, pairs).cpu().numpy()

    def vjp(self, types: Types, pairs: NeighborList, dE_dG: Array) -> Array:
        """As :meth:`Descriptor.vjp`."""
        return self._torch.vjp(types, pairs, dE_dG).cpu().numpy()

    def jvp(self, types: Types, pairs: NeighborList, dD: Array) -> Array:
        """As :meth:`Descriptor.jvp`."""
        return self._torch.jvp(types, pairs, dD).cpu().numpy()

    def jacobian(self, types: Types, pairs: NeighborList, dtype: DTypeLike = np.float32) -> Blocks:
        """As :meth:`Descriptor.jacobian`."""
        precision = torch.float64 if np.dtype(dtype) == np.float64 else torch.float32
        return self._torch.jacobian(types, pairs, precision).cpu().numpy()


def descriptor_on(
    device: str,
    elements: tuple[str, ...],
    functions: Mapping[str, tuple[SymmetryFunction, ...]],
    cutoff: Cutoff,
    threads: int = 1,
) -> Descriptor:
    """The descriptor of a device: the C++ core for ``cpu``, torch on any other."""
    if device == "cpu":
        return Descriptor(elements, functions, cutoff, threads=threads)
    return DeviceDescriptor(elements, functions, cutoff, device, threads)
