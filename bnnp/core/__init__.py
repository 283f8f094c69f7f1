"""The C++ core: symmetry functions, networks, Monte Carlo sampling."""

from bnnp.core._core import instruction_sets
from bnnp.core.descriptor import Descriptor
from bnnp.core.networks import Networks

__all__ = ["Descriptor", "Networks", "instruction_sets"]
