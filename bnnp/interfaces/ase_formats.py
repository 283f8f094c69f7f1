"""The entry point ``ase.ioformats``, by which ASE reads and writes input.data with bnnp.

ASE's own reader of this format knows only bohr and hartree. It claims every name in ``.data``, so this format
does too; LAMMPS' data files are refused with a message how to read them. ASE imports this module while it is
being imported itself, so nothing else is imported here.
"""

from __future__ import annotations

from ase.utils.plugins import ExternalIOFormat

INPUT_DATA = ExternalIOFormat(
    desc="input.data of bnnp, RuNNer and n2p2",
    code="+S",
    module="bnnp.interfaces.input_data",
    glob="*.data",
)
