"""Potentials of bnnp in other programs.

Read in this order: ``ase.py`` (the ASE calculator), ``input_data.py`` and ``ase_formats.py`` (input.data as a
format of ASE), ``hdnnp.py`` and ``export.py`` (potentials for n2p2 and LAMMPS), ``lammps/`` (the plugin with
pair_style bnnp).
"""
