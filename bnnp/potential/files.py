"""The files of a potential: input.nn, scaling.data, weights.XXX.data and, with samples, uncertainty.data.

The directory of a potential has these four. That of an ensemble has the first member, and the others in
member_02, member_03, ... without an input.nn. Each file is read once, into :class:`PotentialFiles`, and
written by its method, both in the working directory and in potential/, which mode 3, n2p2 and LAMMPS can use.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import numpy as np

from bnnp.charges.electrostatics import ChargeModel
from bnnp.errors import InputError, StaleFileError
from bnnp.io.calibration_section import CalibrationData
from bnnp.io.checksums import checksum_line, checksums_of, demand_one_potential, read_checksums
from bnnp.io.hardness import hardness_name, read_hardness, write_hardness
from bnnp.io.input_nn import write_input_nn
from bnnp.io.output import cannot_write
from bnnp.io.scaling_data import ScalingData, read_scaling, write_scaling
from bnnp.io.text import exact
from bnnp.io.uncertainty_data import FILE_NAME as UNCERTAINTY
from bnnp.io.uncertainty_data import UncertaintyData, read_uncertainty, write_uncertainty
from bnnp.io.weights import optweights_name, read_weights, weights_checksum, weights_name, write_weights
from bnnp.model import Model
from bnnp.network.dense import Network
from bnnp.settings.settings import Settings
from bnnp.uncertainty.training_statistics import TrainingStatistics
from bnnp.units import ATOMIC

INPUT, SCALING = "input.nn", "scaling.data"
CHARGE_UNCERTAINTY = "uncertaintye.data"  # masks of the electronegativity networks, as uncertainty.data
DIRECTORY = "potential"
RUNNER_ONLY = frozenset({1, 4, 8})  # types of symmetry functions that n2p2 does not have


def member_directory(directory: Path, number: int) -> Path:
    """Directory of member `number`, from 1, of an ensemble; that of the first is `directory` itself."""
    return directory if number == 1 else directory / f"member_{number:02d}"


@dataclass(frozen=True, eq=False)
class PotentialFiles:
    """Contents of the files of a potential, or of one member of an ensemble.

    Parameters
    ----------
    model : Model
        From input.nn, with the free-atom energies of ``atom_energy fit``.
    networks : mapping of str to Network
        From the weights files, by element.
    scalings : ScalingData or None
        From scaling.data; None without it.
    uncertainty : UncertaintyData or None
        From uncertainty.data; None without it.
    charges : ChargeModel or None
        From weightse.XXX.data, hardness.XXX.data and uncertaintye.data of a potential with charges.
    marked : bool
        Whether the files have the line ``# potential`` (:mod:`bnnp.io.checksums`). Those of other programs do
        not; where a user has removed it, it is not written again.
    """

    model: Model
    networks: Mapping[str, Network]
    scalings: ScalingData | None
    uncertainty: UncertaintyData | None = None
    marked: bool = True
    charges: ChargeModel | None = None

    @classmethod
    def read(cls, directory: Path, settings: Settings, uncertain: bool = True) -> PotentialFiles:
        """Read a directory; uncertainty.data only if `uncertain` and if it exists.

        Raises
        ------
        InputError, StaleFileError
            A file is missing, damaged, or belongs to another potential.
        """
        scalings = _read_scaling(directory, settings)
        model = replace(settings.model, atom_energies=_atom_energies(settings, scalings))
        networks = {
            element: _read_network(directory, element, settings) for element in settings.model.elements
        }
        path = directory / UNCERTAINTY
        uncertain = uncertain and path.exists()
        found = cls(model, networks, scalings, charges=_read_charges(directory, model))
        paths = [directory / name for name in (SCALING, *map(weights_name, networks))]
        if found.charges is not None:
            paths += [directory / name for name in _charge_names(found.charges)]
        marked = demand_one_potential([*paths, path] if uncertain else paths, found.parts)
        data = read_uncertainty(path, networks) if uncertain else None
        if data is not None and found.charges is not None and data.masks.active:
            found = replace(found, charges=_with_masks(directory, found.charges))
        return replace(found, uncertainty=data, marked=marked)

    @property
    def parts(self) -> dict[str, str]:
        """Everything a prediction depends on, as text by name (:mod:`bnnp.io.checksums`)."""
        model, networks, scheme = self.model, self.networks, self.model.scaling
        interval = f" {exact([scheme.s_min, scheme.s_max])}" if scheme.has_interval else ""
        layers = [f"{x} {net.architecture.describe(net.n_inputs)}" for x, net in networks.items()]
        layers += ["normalize_nodes"] * any(network.normalize_nodes for network in networks.values())
        energies = model.atom_energies
        parts = {
            "functions": model.fingerprint,
            "scaling": scheme.kind + interval,
            "layers": ", ".join(layers),
            "normalization": exact(astuple(model.normalization)),
            "atoms": ", ".join(f"{element} {float(energies.get(element, 0.0))!r}" for element in networks),
        }
        if model.repulsion is not None:
            parts["repulsion"] = exact([model.repulsion.inner, model.repulsion.outer])
        if model.electrostatics is not None and self.charges is not None:
            hardness = " ".join(f"{x} {value!r}" for x, value in self.charges.hardness.items())
            weights = " ".join(map(weights_checksum, self.charges.networks.values()))
            parts["charges"] = f"{model.electrostatics.text}; {hardness}; {weights}"
        if model.fixed_charges is not None:
            parts["charges"] = model.fixed_charges.text
        if self.scalings is not None:
            columns = [vars(scaling).values() for scaling in self.scalings.scalings.values()]
            content = b"".join(np.asarray(each, dtype="<f8").tobytes() for own in columns for each in own)
            parts["ranges"] = hashlib.sha256(content).hexdigest()
        checksums = {
            weights_name(x).removesuffix(".data"): weights_checksum(net) for x, net in networks.items()
        }
        return parts | checksums

    @property
    def line(self) -> str:
        """The line ``# potential`` of the files; empty if they are not marked."""
        return checksum_line(checksums_of(self.parts)) if self.marked else ""

    def with_statistics(self, statistics: Mapping[str, TrainingStatistics]) -> PotentialFiles:
        """A copy with statistics of the training atoms; the same without an uncertainty.data."""
        if self.uncertainty is None:
            return self
        return replace(self, uncertainty=self.uncertainty.with_statistics(statistics))

    def with_calibration(self, calibration: CalibrationData) -> PotentialFiles:
        """A copy with a calibration. Raises InputError without an uncertainty.data."""
        if self.uncertainty is None:
            raise InputError(f"no {UNCERTAINTY} here that could hold a calibration: run mode 2 again")
        return replace(self, uncertainty=self.uncertainty.with_calibration(calibration))

    def names(self) -> list[str]:
        """Names of the files that :meth:`write` makes with `optweights`."""
        weights = [name for element in self.networks for name in _weights_names(element, True)]
        weights += [] if self.charges is None else _charge_names(self.charges)
        weights += [CHARGE_UNCERTAINTY] * (self.charges is not None and self.charges.masks is not None)
        return [SCALING, *weights, *([] if self.uncertainty is None else [UNCERTAINTY])]

    def write(self, directory: Path, optweights: bool = False) -> None:
        """Write scaling.data, all networks, hardnesses and uncertainty.data; with `optweights` RuNNer's files
        too.

        The order makes mode 3 refuse the files that a killed run leaves: as a potential without
        uncertainty.data is accepted, this file is written first or deleted last.

        Raises
        ------
        NumericalError, OutputError
            Weights are not finite; the disk is full.
        """
        path, line = directory / UNCERTAINTY, self.line
        if self.uncertainty is not None:
            write_uncertainty(path, self.uncertainty, line)
        if self.scalings is None:
            (directory / SCALING).unlink(missing_ok=True)
        else:
            write_scaling(directory / SCALING, self.scalings, line)
        for element, network in self.networks.items():
            for name in _weights_names(element, optweights):
                write_weights(directory / name, network, element, identity=line)
        if self.charges is not None:
            write_charge_model(directory, self.charges, line)
        if self.uncertainty is None:
            path.unlink(missing_ok=True)  # of a former potential, with masks of other weights

    def write_calibration(self, directory: Path) -> None:
        """Write uncertainty.data in `directory`, and in its potential/ if this holds the same potential."""
        assert self.uncertainty is not None
        copy = directory / DIRECTORY / UNCERTAINTY
        write_uncertainty(directory / UNCERTAINTY, self.uncertainty, self.line)
        if self.marked and copy.is_file() and read_checksums(copy) == checksums_of(self.parts):
            write_uncertainty(copy, self.uncertainty, self.line)


def write_charge_model(directory: Path, charges: ChargeModel, identity: str = "") -> None:
    """Write weightse.XXX.data, hardness.XXX.data and masks, with the line ``# potential`` (`identity`)."""
    path = directory / CHARGE_UNCERTAINTY
    if charges.masks is None:
        path.unlink(missing_ok=True)
    else:
        write_uncertainty(path, UncertaintyData.of(charges.masks, charges.networks), identity)
    for element, network in charges.networks.items():
        write_weights(directory / weights_name(element, "weightse"), network, element, identity=identity)
    for element, hardness in charges.hardness.items():
        write_hardness(directory / hardness_name(element), element, hardness, identity)


def read_members(
    directory: str | Path, settings: Settings, samples: int | None = None
) -> list[PotentialFiles]:
    """The files of the potential, or of all members of ``ensemble_size``.

    Parameters
    ----------
    samples : int, optional
        Monte Carlo samples, by default ``mc_samples``; for 0 the masks are not read.
    """
    directory, count = Path(directory), settings.ensemble.ensemble_size
    wanted = settings.dropout.mc_samples if samples is None else samples
    members: list[PotentialFiles] = []
    for number in range(1, count + 1):
        folder = member_directory(directory, number)
        if count > 1 and not (folder / SCALING).is_file():
            raise InputError(
                f"{folder}: member {number} of {count} is not there (no scaling.data). Bring the whole "
                "ensemble, train the rest of it with `bnnp --mode 2 --restart`, or lower ensemble_size."
            )
        calibrated = count > 1 and number == 1  # an ensemble of plain networks has a calibration, too
        members.append(PotentialFiles.read(folder, settings, wanted > 0 or calibrated))
    for number, other in enumerate(members[1:], start=2):
        if not _same_inputs(members[0], other):
            raise StaleFileError(
                f"member_{number:02d}/scaling.data differs from scaling.data: the members are of different "
                "trainings. Run mode 2 again."
            )
    return members


def write_directory(target: Path, members: Sequence[PotentialFiles], ours: bool = True) -> list[str]:
    """Write potential/: all files, and an input.nn with the keywords that a prediction needs.

    Parameters
    ----------
    ours : bool
        Whether `target` belongs to mode 2: then it is removed if this potential cannot be written.

    Returns
    -------
    list of str
        Reasons why n2p2 and LAMMPS cannot use it, one sentence each.

    Raises
    ------
    OutputError
        The directory cannot be made or written.
    """
    model = members[0].model
    architectures = {network.architecture for network in members[0].networks.values()}
    own_charges = () if model.electrostatics is None else model.electrostatics.architecture.values()
    if len(architectures) > 1 or len(set(own_charges)) > 1:
        if ours and target.is_dir():  # of a former training
            shutil.rmtree(target)
        return [
            f"{target.name}/ is not written: n2p2 and LAMMPS need the same hidden layers for every element, "
            "and element_nodes_short (or _electrostatic) makes them differ; mode 3 here is not concerned"
        ]
    try:
        target.mkdir(parents=not ours, exist_ok=True)
    except OSError as error:
        raise cannot_write(target, error) from error
    (target / INPUT).unlink(missing_ok=True)  # written last: without it an incomplete directory is refused
    for former in target.glob("member_*"):
        shutil.rmtree(former)
    for number, files in enumerate(members, start=1):
        folder = member_directory(target, number)
        folder.mkdir(exist_ok=True)
        files.write(folder)
    units = model.units
    own = [f"units {units.name}"] if units != ATOMIC else []
    own += [f"ensemble_size {len(members)}"] if len(members) > 1 else []
    comment = f"Potential trained by bnnp, in {units.length} and {units.energy}."
    write_input_nn(target / INPUT, model, architectures.pop(), own, comment)
    others = "LAMMPS pair_style hdnnp" if model.charge_input else "n2p2 and LAMMPS pair_style hdnnp"
    limits = [f"{others} cannot use it: no such charges there; pair_style bnnp can"] * model.charged
    types = {function.type for functions in model.functions.values() for function in functions}
    return limits + [
        f"n2p2 and LAMMPS pair_style hdnnp cannot use it: they have no symmetry function of type {number}"
        for number in sorted(types & RUNNER_ONLY)
    ]


def _charge_names(charges: ChargeModel) -> list[str]:
    return [*(weights_name(x, "weightse") for x in charges.networks), *map(hardness_name, charges.hardness)]


def _weights_names(element: str, optweights: bool) -> list[str]:
    return [weights_name(element), *([optweights_name(element)] if optweights else [])]


def _same_inputs(one: PotentialFiles, other: PotentialFiles) -> bool:
    """Whether the networks of both get the same inputs, so that they can be an ensemble."""
    if one.scalings is None or other.scalings is None:
        return one.scalings is other.scalings
    scheme = one.model.scaling
    return all(
        np.array_equal(first, second)
        for scalings in zip(one.scalings.scalings.values(), other.scalings.scalings.values(), strict=True)
        for first, second in zip(*(vars(each.affine(scheme)).values() for each in scalings), strict=True)
    )


def _atom_energies(settings: Settings, scalings: ScalingData | None) -> Mapping[str, float]:
    """Free-atom energies of input.nn, or of scaling.data for ``atom_energy fit``.

    Raises
    ------
    StaleFileError
        scaling.data has none, as it was made without this keyword.
    """
    if not settings.fits_atom_energies:
        return settings.model.atom_energies
    found = {} if scalings is None else scalings.atom_energies
    missing = [element for element in settings.model.elements if element not in found]
    if missing:
        raise StaleFileError(
            f"scaling.data: has no free-atom energy of {', '.join(missing)}, but input.nn "
            "says `atom_energy fit`. It was made without this keyword, or by another program: run mode 2 "
            "again, or give the energies."
        )
    return found


def _read_scaling(directory: Path, settings: Settings) -> ScalingData | None:
    path, kind = directory / SCALING, settings.model.scaling.kind
    if kind == "none" and not path.exists():
        return None
    counts = {element: len(settings.model.functions[element]) for element in settings.model.elements}
    return read_scaling(path, counts, kind == "sigma", settings.model.fingerprint)


def _read_network(directory: Path, element: str, settings: Settings) -> Network:
    return read_weights(
        directory / weights_name(element),
        element,
        settings.model.architecture[element],
        settings.model.n_network_inputs[element],
        settings.model.normalize_nodes,
    )


def _with_masks(directory: Path, charges: ChargeModel) -> ChargeModel:
    """The same with the masks of uncertaintye.data."""
    path = directory / CHARGE_UNCERTAINTY
    if not path.is_file():
        raise InputError(
            f"{path.name}: no such file in {directory.resolve()}, but {UNCERTAINTY} has dropout masks, which "
            "belong together. Bring both, or remove the latter to predict without uncertainty."
        )
    return replace(charges, masks=read_uncertainty(path, charges.networks, "weightse").masks)


def _read_charges(directory: Path, model: Model) -> ChargeModel | None:
    """Networks of the charges, and hardnesses in the fourth generation; None without such networks."""
    if model.electrostatics is None:
        return None
    networks = {
        element: read_weights(
            directory / weights_name(element, "weightse"),
            element,
            model.electrostatics.architecture[element],
            len(model.functions[element]),
            model.normalize_nodes,
        )
        for element in model.elements
    }
    hard = model.elements if model.electrostatics.equilibrated else ()
    hardness = {element: read_hardness(directory / hardness_name(element), element) for element in hard}
    return ChargeModel(networks, hardness)
