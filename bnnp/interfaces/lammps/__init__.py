"""LAMMPS: ``pair_style bnnp``, a plugin on the C++ core, and the command that compiles it."""
