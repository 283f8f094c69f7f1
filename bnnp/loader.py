"""A potential from its files: input.nn, scaling.data, weights.XXX.data and, if there, uncertainty.data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np

from bnnp.errors import InputError, StaleFileError
from bnnp.io.calibration_section import SECTION as CALIBRATION
from bnnp.io.calibration_section import check_networks, parse_calibration
from bnnp.io.domain_section import SECTION as DOMAIN
from bnnp.io.domain_section import parse_domain
from bnnp.io.identity import check_identity, parts_of
from bnnp.io.scaling_data import ScalingData, read_scaling
from bnnp.io.uncertainty_data import FILE_NAME as UNCERTAINTY
from bnnp.io.uncertainty_data import read_uncertainty
from bnnp.io.weights import read_weights, weights_name
from bnnp.network.dense import Network
from bnnp.network.masks import Masks
from bnnp.potential.potential import Definition, Member, Options, Potential
from bnnp.settings import Settings, load_settings

INPUT = "input.nn"


def member_directory(directory: Path, number: int) -> Path:
    """Where member `number`, from 1, of an ensemble is: the first in `directory` itself."""
    return directory if number == 1 else directory / f"member_{number:02d}"


def load(path: str | Path = ".", samples: int | None = None, threads: int = 1) -> Potential:
    """The potential of a directory, for example the ``potential/`` that mode 2 leaves.

    >>> bnnp.load("potential/").predict(structure).energy.std  # doctest: +SKIP

    Parameters
    ----------
    path : str or Path
        Directory with input.nn, scaling.data, weights.XXX.data and uncertainty.data.
    samples : int, optional
        Monte Carlo samples; as input.nn or uncertainty.data says by default, 0 for the plain networks.
    threads : int
        Threads over atoms.

    Raises
    ------
    InputError, StaleFileError
        A file is missing, damaged, or belongs to another potential.
    """
    path = Path(path)
    if not (path / INPUT).is_file():
        what = "is a file, expected a directory" if path.is_file() else f"has no {INPUT}"
        raise InputError(
            f"{path}: {what}. A potential is a directory with input.nn, scaling.data, weights.XXX.data and "
            "uncertainty.data, such as the potential/ that mode 2 leaves."
        )
    return read_potential(path, load_settings(path / INPUT, 3), threads, samples)


def read_potential(
    directory: str | Path,
    settings: Settings,
    threads: int = 1,
    samples: int | None = None,
    calibrated: bool = True,
) -> Potential:
    """The potential of `directory` for an input.nn that is read already; else as :func:`load`.

    With `calibrated` false it has no calibration, but all that one is made with.
    """
    directory = Path(directory)
    if settings["ensemble_size"] > 1:
        potential = _ensemble(directory, settings, threads, samples)
    else:
        potential = _single(directory, settings, threads, samples)
    if potential.samples < 2 or not (directory / UNCERTAINTY).exists():
        return potential
    sections = read_uncertainty(directory / UNCERTAINTY).sections
    statistics = None
    if DOMAIN in sections and potential.scalings is not None:
        sizes = {
            x: (network.n_inputs, network.sizes[-1]) for x, network in potential.members[0].networks.items()
        }
        statistics = parse_domain(sections[DOMAIN], sizes)
    if not calibrated:
        return replace(potential, statistics=statistics)
    if CALIBRATION not in sections:
        _demand_no_kind(settings)
        return potential
    data = parse_calibration(sections[CALIBRATION])
    check_networks(data, [member.networks for member in potential.members])
    kind = settings["uncertainty"] if settings.given("uncertainty") else data.use
    where = settings.origins["uncertainty"] if settings.given("uncertainty") else UNCERTAINTY
    if kind == "hybrid" and statistics is None:
        raise InputError(
            f"{where}: `uncertainty hybrid` needs the statistics of the training set, and {UNCERTAINTY} has "
            "no section [domain]. Run mode 2 again, or write `uncertainty mc`."
        )
    if kind not in data.kinds:
        raise InputError(
            f"{where}: `uncertainty {kind}`, but {UNCERTAINTY} has "
            f"calibrated only {', '.join(data.kinds)}. Calibrate again: mode 3 with the keyword `calibrate`."
        )
    return replace(
        potential, calibration=data.kinds[kind], statistics=statistics if kind == "hybrid" else None
    )


def _demand_no_kind(settings: Settings) -> None:
    """Raise InputError if the sigma that is asked for needs a calibration, which is not there."""
    if settings["uncertainty"] == "hybrid" and settings.mode == 3:
        raise InputError(
            f"{settings.origins.get('uncertainty', 'input.nn')}: `uncertainty hybrid` needs a calibration, "
            f"and {UNCERTAINTY} has none. Use the keyword `calibrate` with structures that were not trained "
            "on, or keep some in mode 1 with calibration_fraction."
        )


def _single(directory: Path, settings: Settings, threads: int, samples: int | None) -> Potential:
    """One network an element."""
    files = [directory / name for name in ("scaling.data", *map(weights_name, settings.elements))]
    scalings = _scalings(directory, settings)
    settings = with_fitted_energies(settings, scalings)
    networks = {element: _network(directory, element, settings) for element in settings.elements}
    wanted = settings["mc_samples"] if samples is None else samples
    sampled = wanted > 0 and (directory / UNCERTAINTY).exists()
    files += [directory / UNCERTAINTY] * sampled
    check_identity(files, parts_of_potential(settings, networks, scalings))
    masks: Masks | None = None
    if sampled:
        data = read_uncertainty(directory / UNCERTAINTY, networks)
        said = samples is not None or settings.given("mc_samples")
        masks = (data.take(wanted) if said else data).masks
    return assemble(settings, [Member(networks, masks)], scalings, threads)


def _ensemble(directory: Path, settings: Settings, threads: int, samples: int | None) -> Potential:
    """All members of ``ensemble_size``: the samples are divided equally among them, one each at least."""
    count = settings["ensemble_size"]
    wanted = settings["mc_samples"] if samples is None else samples
    own = replace(settings, values={**settings.values, "ensemble_size": 1})
    found = []
    for number in range(1, count + 1):
        place = member_directory(directory, number)
        if not (place / "scaling.data").is_file():
            raise InputError(
                f"{place}: member {number} of {count} is not there (no scaling.data). Bring the whole "
                "ensemble, train the rest of it with `bnnp --mode 2 --restart`, or lower ensemble_size."
            )
        found.append(_single(place, own, threads, -(-wanted // count)))
    first, *others = found
    for number, other in enumerate(others, start=2):
        if not same_inputs(first, other):
            raise StaleFileError(
                f"member_{number:02d}/scaling.data differs from scaling.data: the members are of different "
                "trainings. Run mode 2 again."
            )
    return replace(first, members=tuple(member for each in found for member in each.members))


def same_inputs(one: Potential, other: Potential) -> bool:
    """Whether the networks of both get the same inputs, so that they can be an ensemble."""
    tables = zip(vars(one.inputs).values(), vars(other.inputs).values(), strict=True)
    return all(np.array_equal(first, second) for first, second in tables)


def assemble(
    settings: Settings, members: Sequence[Member], scalings: ScalingData | None, threads: int = 1
) -> Potential:
    """The potential that an input.nn and these networks, masks and training ranges make."""
    definition = Definition(
        settings.functions,
        settings.cutoff,
        settings.scaling,
        settings.normalization,
        settings.atom_energies,
        settings.units,
    )
    options = Options(
        settings["mc_masks"] == "resample", settings["bond_threshold"], settings["device"], threads
    )
    return Potential(definition, tuple(members), scalings, options=options)


def with_fitted_energies(settings: Settings, scalings: ScalingData | None) -> Settings:
    """`settings` with the free-atom energies mode 2 has fitted, for ``atom_energy fit``.

    Raises
    ------
    StaleFileError
        scaling.data has none: it is of a training without the keyword.
    """
    if not settings.fits_atom_energies:
        return settings
    found = {} if scalings is None else scalings.atom_energies
    missing = [element for element in settings.elements if element not in found]
    if missing:
        raise StaleFileError(
            f"scaling.data: has no free-atom energy of {', '.join(missing)}, but input.nn "
            "says `atom_energy fit`. It was made without this keyword, or by another program: run mode 2 "
            "again, or give the energies."
        )
    return replace(settings, atom_energies=dict(found))


def parts_of_potential(
    settings: Settings, networks: Mapping[str, Network], scalings: ScalingData | None
) -> dict[str, str]:
    """What a prediction depends on, for the line ``# potential`` (:mod:`bnnp.io.identity`)."""
    return parts_of(
        networks,
        None if scalings is None else scalings.scalings,
        settings.scaling,
        astuple(settings.normalization),
        settings.atom_energies,
        settings.fingerprint(),
    )


def _scalings(directory: Path, settings: Settings) -> ScalingData | None:
    path, kind = directory / "scaling.data", settings.scaling.kind
    if kind == "none" and not path.exists():
        return None
    counts = {element: len(settings.functions[element]) for element in settings.elements}
    return read_scaling(path, counts, kind == "sigma", settings.fingerprint())


def _network(directory: Path, element: str, settings: Settings) -> Network:
    if element not in settings.architecture:
        raise InputError(
            "input.nn: no network is defined; give global_hidden_layers_short, global_nodes_short "
            "and global_activation_short as they were in the training"
        )
    return read_weights(
        directory / weights_name(element),
        element,
        settings.architecture[element],
        len(settings.functions[element]),
        settings.normalize_nodes,
    )
