"""``bnnp --export``: the trained potential of the working directory, for another program.

``bnnp --export hdnnp DIR`` writes it for n2p2 and LAMMPS ``pair_style hdnnp``: the plain networks, or with
``--masks K`` the exact mean over the first K masks as one larger network. ``--units`` chooses bohr and
hartree or Angstrom and eV; ``--fold`` puts into weights and biases what other programs, such as CP2K, may not
know. ``bnnp --export bnnp DIR`` writes a directory for ``pair_style bnnp`` and mode 3 from any input.nn, also
of RuNNer or n2p2; that of an ensemble is for mode 3 only, as ``pair_style bnnp`` runs one network.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bnnp.errors import InputError
from bnnp.interfaces.hdnnp import write_hdnnp
from bnnp.messages import count
from bnnp.network.masks import Masks
from bnnp.potential.files import INPUT, PotentialFiles, read_members, write_directory
from bnnp.potential.loading import assemble
from bnnp.potential.potential import Potential
from bnnp.settings.settings import load_settings
from bnnp.units import UNITS

PROGRAMS = ("bnnp", "hdnnp")


def export(
    program: str,
    target: Path,
    settings_file: Path,
    masks: int | None = None,
    units: str | None = None,
    fold: bool = False,
) -> str:
    """Write the potential in the directory of `settings_file` to `target` and return how to use it.

    Parameters
    ----------
    program : str
        One of `PROGRAMS`.
    target : Path
    settings_file : Path
    masks : int, optional
        For hdnnp, the number of masks to average over; by default the plain networks are written.
    units, fold
        For hdnnp, see :func:`bnnp.interfaces.hdnnp.write_hdnnp`.

    Raises
    ------
    InputError
        The potential is incomplete, or the program cannot run it, with the reason.
    """
    settings = load_settings(settings_file, 3)
    if settings.model.charged and program == "hdnnp":
        where = settings.origins["fixed_charge" if settings.model.fixed_charges else "nnp_gen"]
        reason = "pair_style hdnnp has no such charges: use `--export bnnp`, mode 3 or ASE"
        if settings.model.charge_input:
            reason += "; n2p2 itself reads the files of this potential as they are"
        raise InputError(f"--export: {where} asks for charges: {reason}")
    source = settings_file.resolve().parent
    if target.resolve() == source:
        raise InputError(f"{target}: is the directory of the potential itself; name another one")
    members = read_members(source, settings, samples=1 if program == "bnnp" else None)
    potential = assemble(members, settings)
    if program == "bnnp":
        return _for_bnnp(members, target)
    chosen = None if masks is None else _masks(potential, masks)
    lines = write_hdnnp(target, potential, chosen, None if units is None else UNITS[units], fold)
    return f"{_what(potential, chosen)}\nWritten to {target}. In LAMMPS (units metal):\n\n{lines}"


def _for_bnnp(members: Sequence[PotentialFiles], target: Path) -> str:
    notes = write_directory(target, members, ours=False)
    if not (target / INPUT).exists():
        raise InputError(notes[0])
    if len(members) > 1:
        return (
            f"Written to {target}: the ensemble of {count(len(members), 'network')}, for mode 3 and ASE. "
            "pair_style bnnp runs one network and refuses it. Without the line ensemble_size of its "
            "input.nn it is the first network with its own masks: NOT the mean over all members that mode "
            "3 and ASE give."
        )
    lines = f"pair_style bnnp\npair_coeff * * {target} {' '.join(members[0].model.elements)}"
    return f"Written to {target}. In LAMMPS, with the plugin of `bnnp --lammps-plugin`:\n\n{lines}"


def _masks(potential: Potential, wanted: int) -> Masks:
    masks = potential.members[0].masks
    if masks is not None and masks.centered:
        raise InputError(
            f"--masks {wanted}: the prediction of this potential is that of its plain networks (mc_dropout "
            "after). Leave --masks out to export them."
        )
    if masks is None or wanted > masks.samples:
        have = 0 if masks is None else masks.samples
        raise InputError(
            f"--masks {wanted}: this potential has {count(have, 'mask')} (uncertainty.data, mc_samples). "
            "Leave --masks out to export the plain networks."
        )
    return masks.take(wanted)


def _what(potential: Potential, masks: Masks | None) -> str:
    if (networks := len(potential.members)) > 1:
        first = "its plain networks" if masks is None else f"the exact mean over {masks.samples} of its masks"
        return (
            f"The first of the {count(networks, 'member')} of the ensemble, {first}: NOT the mean over all "
            "members that mode 3 and ASE give. Neither the others nor the uncertainty can be exported."
        )
    if masks is not None:
        return (
            f"The exact mean over {count(masks.samples, 'mask')}, as one network of each element. The "
            "uncertainty itself cannot be exported."
        )
    own = potential.members[0].masks
    if own is None:
        return "The networks as they are."
    if own.centered:
        return "The plain networks, which give the prediction. The uncertainty itself cannot be exported."
    return (
        "The plain networks, all nodes kept: close to, but not the mean over the masks that mode 3 and "
        "pair_style bnnp give. `--masks K` exports the exact mean over K masks. The uncertainty itself "
        "cannot be exported."
    )
