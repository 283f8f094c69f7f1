"""potential/: the trained potential in a directory of its own, ready for mode 3, n2p2 and LAMMPS.

It holds copies of scaling.data, weights.XXX.data and uncertainty.data (further members of an ensemble in
member_02, ...), and an input.nn with nothing but what a prediction needs, in n2p2's keywords: symmetry
functions one a line, free-atom energies only if they are in effect.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from bnnp.errors import OutputError
from bnnp.io.input_nn import write_input_nn
from bnnp.io.output import cannot_write, replace_file
from bnnp.io.uncertainty_data import FILE_NAME as UNCERTAINTY
from bnnp.io.weights import weights_name
from bnnp.loader import member_directory
from bnnp.settings.settings import Settings
from bnnp.units import ATOMIC

DIRECTORY = "potential"
ONLY_HERE = frozenset({1, 4, 8})  # types of RuNNer that n2p2 does not know


def write_potential_directory(directory: Path, settings: Settings, target: Path | None = None) -> list[str]:
    """Write `target`, by default `directory`/potential, from the files in `directory`.

    Returns
    -------
    list of str
        What keeps n2p2 and LAMMPS from using it, in sentences; empty if nothing does.

    Raises
    ------
    OutputError
        The directory cannot be made or written.
    """
    networks, own = set(settings.model.architecture.values()), target is None
    target = directory / DIRECTORY if target is None else target
    if len(networks) > 1:
        if own and target.is_dir():  # of a former training: nothing of it belongs to the new weights
            shutil.rmtree(target)
        return [
            f"{target.name}/ is not written: n2p2 and LAMMPS need the same hidden layers for every element, "
            "and element_nodes_short makes them differ; mode 3 here is not concerned"
        ]
    try:
        target.mkdir(parents=not own, exist_ok=True)
    except OSError as error:
        raise cannot_write(target, error) from error
    (target / "input.nn").unlink(missing_ok=True)  # written last: a copy that was cut short is none
    for former in target.glob("member_*"):
        shutil.rmtree(former)
    for number in range(1, settings.ensemble.ensemble_size + 1):
        source, place = member_directory(directory, number), member_directory(target, number)
        place.mkdir(exist_ok=True)
        for name in ["scaling.data", *map(weights_name, settings.model.elements), UNCERTAINTY]:
            _copy(source / name, place / name)
    normalization, units = settings.model.normalization, settings.model.units
    write_input_nn(
        target / "input.nn",
        elements=settings.model.elements,
        functions=settings.model.functions,
        cutoff=settings.model.cutoff,
        scaling=settings.model.scaling,
        architecture=networks.pop(),
        normalize_nodes=settings.model.normalize_nodes,
        atom_energies=settings.model.atom_energies,
        normalization=(normalization.mean_energy, normalization.conv_energy, normalization.conv_length)
        if settings.given("conv_energy")
        else None,
        units="" if settings.model.units == ATOMIC else settings.model.units.name,
        ensemble_size=settings.ensemble.ensemble_size,
        comment=f"Potential trained by bnnp, in {units.length} and {units.energy}.",
    )
    types = {function.type for functions in settings.model.functions.values() for function in functions}
    unknown = sorted(types & ONLY_HERE)
    return [
        f"n2p2 and LAMMPS pair_style hdnnp cannot use it: they have no symmetry function of type {number}"
        for number in unknown
    ]


def _copy(source: Path, target: Path) -> None:
    """Copy a text file whole or not at all; a file that is not there is removed from the target."""
    if not source.exists():
        target.unlink(missing_ok=True)
        return
    try:
        content = source.read_text(encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{source.name}: cannot be read again: {error.strerror or error}") from error
    with replace_file(target) as file:
        file.write(content)
