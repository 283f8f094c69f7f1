"""What input.nn says about the weights of groups, forces and free atoms, applied to the training set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bnnp.descriptors.scaling import Scaling
from bnnp.errors import InputError
from bnnp.io.descriptor_file import DescriptorFile
from bnnp.modes.job import Job
from bnnp.modes.log import Log
from bnnp.settings import Settings
from bnnp.training.normalization import element_offsets
from bnnp.training.weighting import Weights, force_rarity

DECIMALS = 8  # of fitted energies: the same text in every file, the same number on every machine


def with_fitted_energies(job: Job, file: DescriptorFile) -> Job:
    """`job` with the least-squares free-atom energies of the training set, if ``atom_energy fit`` asks."""
    settings = job.settings
    if not settings.fits_atom_energies:
        return job
    training = np.flatnonzero((file.subset == 0) & np.isfinite(file.energy))
    offsets = element_offsets(file.n_elements[training].astype(np.float64), file.energy[training])
    energies = {x: round(float(e), DECIMALS) for x, e in zip(file.elements, offsets, strict=True)}
    return replace(job, settings=replace(settings, atom_energies=energies))


def training_weights(
    settings: Settings, file: DescriptorFile, training: Sequence[int], scalings: Mapping[str, Scaling]
) -> tuple[Weights, dict[str, float]]:
    """Weights of all structures and atoms, and the widths of the Gaussians of ``force_weighting gdf``.

    Raises
    ------
    InputError
        ``group_weight`` names a group that no structure has, or leaves nothing to train on.
    """
    groups = {label: terms for label, *terms in settings["group_weight"]}
    for label in groups:
        if label not in file.groups[1:]:
            known = ", ".join(file.groups[1:]) or "none"
            raise InputError(
                f"{settings.origins['group_weight']}: `group_weight {label}`, but no structure has "
                f"`group={label}` in its comment line. The groups of symmetry_functions.h5: {known}."
            )
    rarity: NDArray[np.float64] | None = None
    widths: dict[str, float] = {}
    if settings["force_weighting"] == "gdf" and settings["use_short_forces"]:
        sigma = None if settings["gdf_sigma"] == "auto" else settings["gdf_sigma"]
        rarity, widths = force_rarity(file, training, scalings, sigma, settings["gdf_sigmoid"])
    weights = Weights.of(file, {label: (e, f, s) for label, (e, f, s) in groups.items()}, rarity)
    chosen = list(training)
    if not weights.energy[chosen].any() and not weights.stress[chosen].any() and not weights.force.any():
        raise InputError(
            "every weight of the training set is 0, so there is nothing to train on: raise group_weight in "
            "input.nn or weight= in input.data"
        )
    return weights, widths


def report_weights(log: Log, settings: Settings, file: DescriptorFile, widths: Mapping[str, float]) -> None:
    """Fitted energies, groups and densities, where there are any."""
    if settings.fits_atom_energies:
        found = ", ".join(f"{x} {energy:.8f}" for x, energy in settings.atom_energies.items())
        log.item("free-atom energies, fitted", f"{found} {settings.units.energy}")
    for label, *terms in settings["group_weight"]:
        count = int((file.group == file.groups.index(label)).sum())
        names = ", ".join(f"{n} {w:g}" for n, w in zip(("energy", "force", "stress"), terms, strict=True))
        log.item(f"weights of group {label}", f"{names} ({count} structures)")
    if widths:
        found = ", ".join(f"{element} {width:.4g}" for element, width in widths.items())
        log.item("force weights", f"by Gaussian density, width {found}")
