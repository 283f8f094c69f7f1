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
    """Raise InputError if torch cannot compute on `device` in float64; a number is sent there and back."""
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(
            f"device is {device}, but PyTorch sees no GPU: install a CUDA build of PyTorch, check the "
            "driver, or use `device cpu`"
        )
    try:
        torch.zeros(1, dtype=torch.float64, device=device).item()
    except (RuntimeError, AssertionError, ImportError, TypeError) as error:  # each kind of device has its own
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"device is {device}, but PyTorch cannot compute there in float64 ({reason}); use `device cpu`"
        ) from error


class DeviceDescriptor(Descriptor):
    """A :class:`Descriptor` whose `values`, `vjp`, `jvp` and `jacobian` run in torch on `device`.

    Arguments and results are in the memory of the CPU. `block_vjp` and other methods that use stored dG/dD
    are inherited and run on the CPU.

    Parameters
    ----------
    elements, functions, cutoff, threads, dtype
        As for :class:`Descriptor`; `threads` are those of the CPU.
    device : str
        As torch names it, for example ``cuda``.

    Raises
    ------
    InputError
        Torch cannot use this device.
    """

    def __init__(
        self,
        elements: tuple[str, ...],
        functions: Mapping[str, tuple[SymmetryFunction, ...]],
        cutoff: Cutoff,
        device: str,
        threads: int = 1,
        dtype: DTypeLike = np.float64,
    ) -> None:
        demand_device(device)
        super().__init__(elements, functions, cutoff, dtype, threads)
        self._torch = TorchDescriptor(elements, functions, cutoff, _precision(dtype), device)
        self._device = device

    def with_dtype(self, dtype: DTypeLike) -> DeviceDescriptor:
        """The same functions on the same device, computed in another precision."""
        return DeviceDescriptor(
            self.elements, self.functions, self._cutoff, self._device, self._threads, dtype
        )

    @property
    def kernel(self) -> str:
        """Where they are computed, for example ``torch on cuda``."""
        return f"torch on {self._device}"

    def values(self, types: Types, pairs: NeighborList) -> Array:
        """As :meth:`Descriptor.values`."""
        return self._torch.values(types, pairs).double().cpu().numpy()

    def vjp(self, types: Types, pairs: NeighborList, dE_dG: Array) -> Array:
        """As :meth:`Descriptor.vjp`."""
        return self._torch.vjp(types, pairs, dE_dG).double().cpu().numpy()

    def jvp(self, types: Types, pairs: NeighborList, dD: Array) -> Array:
        """As :meth:`Descriptor.jvp`."""
        return self._torch.jvp(types, pairs, dD).double().cpu().numpy()

    def jacobian(self, types: Types, pairs: NeighborList, dtype: DTypeLike = np.float32) -> Blocks:
        """As :meth:`Descriptor.jacobian`: computed in the precision of the descriptor, rounded at the end."""
        return self._torch.jacobian(types, pairs, _precision(dtype)).cpu().numpy()


def _precision(dtype: DTypeLike) -> torch.dtype:
    return torch.float64 if np.dtype(dtype) == np.float64 else torch.float32
