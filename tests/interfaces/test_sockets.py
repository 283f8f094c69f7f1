"""The calculator as a client of i-PI's protocol, spoken with the server of ASE."""

from __future__ import annotations

import threading
import uuid
from pathlib import Path

import numpy as np
from ase.build import bulk
from ase.calculators.socketio import SocketClient, SocketIOCalculator

from bnnp import BNNP


def serve(potential: Path, name: str) -> None:
    """What the script of inputs/tutorial/how_to.md does, once the server is there."""
    atoms = bulk("Cu", a=4.0, cubic=True)
    atoms.calc = BNNP(potential)
    SocketClient(unixsocket=name).run(atoms, use_stress=True)


def test_what_the_client_sends_is_what_the_calculator_gives(solid: Path) -> None:
    name = f"bnnp_{uuid.uuid4().hex}"
    client = threading.Thread(target=serve, args=(solid, name), daemon=True)
    atoms = bulk("Cu", a=4.0, cubic=True)
    own = BNNP(solid)
    with SocketIOCalculator(unixsocket=name, timeout=60.0) as server:
        client.start()  # the server listens
        for step in range(3):
            atoms.rattle(0.02, seed=step)
            atoms.set_cell(atoms.cell * 1.002, scale_atoms=True)
            atoms.calc = server
            found = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
            atoms.calc = own
            expected = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-10)
    client.join(10.0)
    assert not client.is_alive()
    assert own.extrapolated == 0
