"""What a potential is made of: a definition, members, and options of its evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ase.data import atomic_numbers

from bnnp.descriptors.cutoffs import Cutoff
from bnnp.descriptors.functions import SymmetryFunction, fingerprint
from bnnp.descriptors.scaling import ScalingScheme
from bnnp.network.dense import Network
from bnnp.network.masks import Masks
from bnnp.units import ATOMIC, Normalization, Units


@dataclass(frozen=True, eq=False)
class Definition:
    """What input.nn says of a potential: all but the numbers that a training finds, and the free atoms.

    Parameters
    ----------
    functions : mapping of str to tuple of SymmetryFunction
        Of each element, sorted by atomic number, in n2p2's order, which is that of the network inputs.
    cutoff : Cutoff
    scaling : ScalingScheme
        How the functions are scaled.
    normalization : Normalization
        Of the network output.
    atom_energies : mapping of str to float, energy
        Free-atom energies in effect; 0 for elements that are missing.
    units : Units
        Of every number that goes in or out.
    """

    functions: Mapping[str, tuple[SymmetryFunction, ...]]
    cutoff: Cutoff
    scaling: ScalingScheme = ScalingScheme()
    normalization: Normalization = Normalization()
    atom_energies: Mapping[str, float] = field(default_factory=dict)
    units: Units = ATOMIC

    @property
    def elements(self) -> tuple[str, ...]:
        """Sorted by atomic number."""
        return tuple(sorted(self.functions, key=atomic_numbers.__getitem__))

    @property
    def largest_cutoff(self) -> float:
        """Longest cutoff radius of all symmetry functions, length."""
        return max(function.r_c for functions in self.functions.values() for function in functions)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over what the symmetry functions depend on."""
        return fingerprint(self.functions, self.cutoff, self.units.name)


@dataclass(frozen=True, eq=False)
class Member:
    """The networks of one training, by element, and their frozen dropout masks; None for plain networks."""

    networks: Mapping[str, Network]
    masks: Masks | None = None

    def __post_init__(self) -> None:
        if self.masks is not None and not self.masks.active:
            object.__setattr__(self, "masks", None)

    @property
    def samples(self) -> int:
        """Monte Carlo samples; 1 for plain networks."""
        return 1 if self.masks is None else self.masks.samples

    def redrawn(self, evaluation: int) -> Member:
        """With masks for one evaluation, independent of the frozen ones."""
        masks = self.masks
        if masks is None:
            return self
        sizes = {element: network.sizes for element, network in self.networks.items()}
        return replace(self, masks=Masks.draw(masks.seed, masks.samples, masks.rates, sizes, evaluation))


@dataclass(frozen=True)
class Options:
    """How a potential is evaluated.

    Parameters
    ----------
    resample : bool
        Masks of its own for every structure, by its `index`, instead of the frozen ones.
    closest : float, length
        Atoms closer than this are an error.
    device : str
        Where symmetry functions and mean forces are computed: ``cpu`` is the C++ core, others are torch's.
    threads : int
    """

    resample: bool = False
    closest: float = 0.0
    device: str = "cpu"
    threads: int = 1
