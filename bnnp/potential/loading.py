"""From the files of a potential and input.nn to a potential with its samples and its kind of uncertainty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bnnp.errors import InputError
from bnnp.io.calibration_section import CalibrationData, check_networks
from bnnp.io.scaling_data import ScalingData
from bnnp.io.uncertainty_data import FILE_NAME as UNCERTAINTY
from bnnp.network.masks import Masks
from bnnp.potential.files import INPUT, PotentialFiles, read_members
from bnnp.potential.member import Member, Options
from bnnp.potential.potential import Potential
from bnnp.settings.arguments import AUTO
from bnnp.settings.keywords import KEYWORDS
from bnnp.settings.settings import Settings, load_settings
from bnnp.uncertainty.training_statistics import TrainingStatistics

OTHER_SEED = 2**63  # differs from the seeds of the networks of the energy


def load(path: str | Path = ".", samples: int | None = None, threads: int = 1) -> Potential:
    """The potential of a directory, for example the ``potential/`` that mode 2 leaves.

    >>> bnnp.load("potential/").predict(structure).energy.std  # doctest: +SKIP

    Parameters
    ----------
    path : str or Path
        Directory with input.nn, scaling.data, weights.XXX.data and uncertainty.data.
    samples : int, optional
        Monte Carlo samples, by default those of input.nn or uncertainty.data; 0 for the plain networks.
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
    directory: str | Path, settings: Settings, threads: int = 1, samples: int | None = None
) -> Potential:
    """As :func:`load`, for an input.nn that is already read."""
    return assemble(read_members(directory, settings, samples), settings, threads, samples)


def assemble(
    files: Sequence[PotentialFiles],
    settings: Settings,
    threads: int = 1,
    samples: int | None = None,
    calibrated: bool = True,
) -> Potential:
    """The potential of these files with the options of input.nn.

    Parameters
    ----------
    files : sequence of PotentialFiles
        Of all members.
    samples : int, optional
        Monte Carlo samples of all members, by default those of input.nn or uncertainty.data. They are divided
        equally, at least one each.
    calibrated : bool
        Whether to use the calibration. False keeps the statistics of the training atoms for a new one.
    """
    first, count = files[0], len(files)
    wanted = settings.dropout.mc_samples if samples is None else samples
    as_stored = samples is None and count == 1 and not settings.given("mc_samples")
    members = []
    for each in files:
        data = each.uncertainty if wanted > 0 else None
        charges = each.charges
        if data is not None and not as_stored:
            data = data.take(-(-wanted // count))
            charges = charges and charges.with_masks(lambda masks: masks.take(-(-wanted // count)))
        members.append(Member(each.networks, None if data is None else data.masks, charges))
    raw = Potential(first.model, tuple(members), first.scalings, options=options_of(settings, threads))
    if raw.samples < 2 or first.uncertainty is None:
        return raw
    statistics = None if first.scalings is None else first.uncertainty.statistics
    if not calibrated:
        return replace(raw, statistics=statistics)
    return _calibrated(raw, settings, first.uncertainty.calibration, statistics)


def _calibrated(
    raw: Potential,
    settings: Settings,
    data: CalibrationData | None,
    statistics: Mapping[str, TrainingStatistics] | None,
) -> Potential:
    """`raw` with the calibration of the kind in input.nn, or else in `data`, and the statistics it needs."""
    given = settings.given("uncertainty")
    where = settings.origins["uncertainty"] if given else UNCERTAINTY
    if data is None:
        if given and settings.calibration.uncertainty == "hybrid" and settings.mode == 3:
            raise InputError(
                f"{settings.origins.get('uncertainty', INPUT)}: `uncertainty hybrid` needs a calibration, "
                f"and {UNCERTAINTY} has none. Write `uncertainty mc`, use the keyword `calibrate` with "
                "structures that were not trained on, or keep some in mode 1 with calibration_fraction."
            )
        return raw
    check_networks(data, [member.networks for member in raw.members])
    kind = settings.calibration.uncertainty if given else data.use
    if kind == "hybrid" and statistics is None:
        raise InputError(
            f"{where}: `uncertainty hybrid` needs the statistics of the training set, and {UNCERTAINTY} has "
            "no section [domain]. Run mode 2 again, or write `uncertainty mc`."
        )
    if kind not in data.kinds:
        raise InputError(
            f"{where}: `uncertainty {kind}`, but {UNCERTAINTY} has calibrated only {', '.join(data.kinds)}. "
            "Calibrate again: mode 3 with the keyword `calibrate`."
        )
    alone = data.kinds["mc"].energy if "mc" in data.kinds else None
    forces = [each.beyond for each in data.kinds["mc"].forces.values()] if "mc" in data.kinds else []
    return replace(
        raw,
        calibration=data.kinds[kind],
        statistics=statistics if kind == "hybrid" else None,
        spread_factor=None if alone is None else alone.beyond,
        deviation_factor=float(np.sqrt(np.mean(np.square(forces)))) if forces else 1.0,
    )


def potential_of(
    settings: Settings, member: Member, scalings: ScalingData | None = None, threads: int = 1
) -> Potential:
    """The potential of one member with the options of input.nn, without any files."""
    return Potential(settings.model, (member,), scalings, options=options_of(settings, threads))


def options_of(settings: Settings, threads: int = 1) -> Options:
    """The options in input.nn for the evaluation of a potential."""
    return Options(
        settings.dropout.mc_masks == "resample",
        settings.structures.bond_threshold,
        settings.training.device,
        threads,
        settings.mode == 3 and settings.training.precision == "single",
    )


def draw_masks(settings: Settings) -> Masks | None:
    """The frozen masks of a new potential; None without dropout or samples."""
    rates = drop_rates(settings)
    if settings.dropout.mc_samples < 1 or not any(rates):
        return None
    model = settings.model
    sizes = {x: (n, *model.architecture[x].nodes) for x, n in model.n_network_inputs.items()}
    return Masks.draw(settings.general.random_seed, settings.dropout.mc_samples, rates, sizes)


def draw_charge_masks(settings: Settings) -> Masks | None:
    """The frozen masks of the electronegativity networks of a new potential, independent of the others.

    Layers beyond those of the other networks have the last rate.
    """
    model, (of_inputs, *rates) = settings.model, drop_rates(settings)
    assert model.electrostatics is not None
    if settings.dropout.mc_samples < 1 or not any((of_inputs, *rates)):
        return None
    sizes = {x: (n, *model.electrostatics.architecture[x].nodes) for x, n in model.n_inputs.items()}
    layers = max(map(len, sizes.values())) - 1
    own = (of_inputs, *rates[:layers], *rates[-1:] * (layers - len(rates)))
    seed = settings.general.random_seed ^ OTHER_SEED
    return Masks.draw(seed, settings.dropout.mc_samples, own, sizes)


def training_rates(settings: Settings) -> tuple[float, ...]:
    """Drop probabilities in training, as :func:`drop_rates`; zeros with ``mc_dropout after``."""
    rates = drop_rates(settings)
    return (0.0,) * len(rates) if settings.dropout.after else rates


def drop_rates(settings: Settings) -> tuple[float, ...]:
    """Drop probabilities of the inputs and of each hidden layer; for ``auto`` the default ones."""
    rates = settings.dropout.dropout_rate
    if rates == AUTO:
        layers = max(len(network.nodes) for network in settings.model.architecture.values())
        rates = KEYWORDS["dropout_rate"].default * layers
    return (settings.dropout.dropout_rate_input, *rates)
