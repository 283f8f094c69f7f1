"""Work on structures that is shared by the ranks and comes back in the order of the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from operator import itemgetter
from typing import TypeVar

from bnnp import parallel
from bnnp.errors import BnnpError

R = TypeVar("R")

BATCH = 4  # structures a rank works on between two writes


def in_order(compute: Callable[[int], R], count: int) -> Iterator[R]:
    """``compute(0)``, ``compute(1)``, ... on the root, worked out by all ranks; nothing on the others.

    A user's mistake that a rank finds is raised on the root, which then closes its files and ends the job.
    """
    batch = BATCH * parallel.size()
    for first in range(0, count, batch):
        mine = range(first + parallel.rank(), min(first + batch, count), parallel.size())
        parts = parallel.gather([(index, _attempt(compute, index)) for index in mine])
        for _, result in sorted(chain.from_iterable(parts), key=itemgetter(0)):
            if isinstance(result, BnnpError):
                raise result
            yield result


def _attempt(compute: Callable[[int], R], index: int) -> R | BnnpError:
    try:
        return compute(index)
    except BnnpError as error:
        return error
