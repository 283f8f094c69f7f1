"""The C++ core: symmetry functions, networks, Monte Carlo sampling."""

from bnnp._core import instruction_sets
from bnnp.core.descriptor import Descriptor
from bnnp.core.networks import Networks
from bnnp.core.pairs import pair_differences, sum_pairs

__all__ = ["Descriptor", "Networks", "instruction_sets", "pair_differences", "sum_pairs"]
