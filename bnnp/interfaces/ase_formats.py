"""What ASE learns from the entry point ``ase.ioformats``: that input.data is read and written by us.

ASE's own reader of this format knows no unit but bohr and hartree and takes every name in ``.data``, so all
these names are ours: names decide before contents. LAMMPS' data files, which ASE never knows by their name,
are refused with the way to read them.

ASE loads this while it is being imported itself, so nothing else is imported here.
"""

from __future__ import annotations

from ase.utils.plugins import ExternalIOFormat

INPUT_DATA = ExternalIOFormat(
    desc="input.data of bnnp, RuNNer and n2p2",
    code="+S",
    module="bnnp.interfaces.input_data",
    glob="*.data",
)
