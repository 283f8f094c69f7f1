"""bnnp's potentials in other programs."""
