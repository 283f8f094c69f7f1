"""What ASE learns from the entry point ``ase.ioformats``: that input.data is read and written by us.

ASE loads this while it is being imported itself, so nothing else is imported here.
"""

from __future__ import annotations

from ase.utils.plugins import ExternalIOFormat

INPUT_DATA = ExternalIOFormat(
    desc="input.data of bnnp, RuNNer and n2p2",
    code="+S",
    module="bnnp.interfaces.input_data",
    glob="input.data",
)
