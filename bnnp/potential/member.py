"""The members of a potential, and the options of its evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from bnnp.charges.electrostatics import ChargeModel
from bnnp.network.dense import Network
from bnnp.network.masks import Masks


@dataclass(frozen=True, eq=False)
class Member:
    """The networks of one training, by element, and their frozen dropout masks.

    `masks` is None for plain networks, also if masks are given that drop nothing; `charges` are what gives
    the charges of a potential that has any.
    """

    networks: Mapping[str, Network]
    masks: Masks | None = None
    charges: ChargeModel | None = None

    def __post_init__(self) -> None:
        if self.masks is not None and not self.masks.active:
            object.__setattr__(self, "masks", None)

    @property
    def samples(self) -> int:
        """Monte Carlo samples; 1 for plain networks."""
        return 1 if self.masks is None else self.masks.samples

    def redrawn(self, evaluation: int) -> Member:
        """A copy with masks for one evaluation, independent of the frozen ones."""
        return self.with_masks(lambda masks: masks.redrawn(evaluation))

    def only(self, sample: int, factor: float = 1.0) -> Member:
        """The member with the masks of one sample, from 0.

        Parameters
        ----------
        factor : float
            What the deviation of the sample from the plain network is multiplied by, to first order, where
            masks are centered: m becomes 1 + factor (m - 1). The result is a plain network. Without effect on
            a member with networks of charges, whose masks are not scaled.
        """
        masks = self.masks
        if masks is None or not masks.means or factor == 1.0 or self.charges is not None:
            return self.with_masks(lambda masks: masks.only(sample))
        networks = {
            element: network.with_mask(
                [1.0 + factor * (m[sample] - 1.0) for m in masks.scaled(element)], means
            )
            for (element, network), means in zip(self.networks.items(), masks.means.values(), strict=True)
        }
        return replace(self, networks=networks, masks=None)

    def with_masks(self, change: Callable[[Masks], Masks]) -> Member:
        """A copy with other masks, also of the networks of the charges; the same without masks."""
        if self.masks is None:
            return self
        charges = None if self.charges is None else self.charges.with_masks(change)
        return replace(self, masks=change(self.masks), charges=charges)


@dataclass(frozen=True)
class Options:
    """How a potential is evaluated.

    Parameters
    ----------
    resample : bool
        Draw new masks for every structure, by its `index`, instead of using the frozen ones.
    closest : float, length
        Two atoms at a smaller distance are an error; 0 allows any.
    device : str
        Where symmetry functions and mean forces are computed: ``cpu`` (the C++ core) or a device of torch.
    threads : int
        Threads over atoms.
    single : bool
        Whether symmetry functions are computed in single precision.
    """

    resample: bool = False
    closest: float = 0.0
    device: str = "cpu"
    threads: int = 1
    single: bool = False
