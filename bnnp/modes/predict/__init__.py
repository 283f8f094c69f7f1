"""Mode 3: energies, forces and stresses with their standard deviations; `run` first, then its `report`."""
