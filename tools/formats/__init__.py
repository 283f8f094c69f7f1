"""What `bnnp convert` reads: labeled structures in the units asked for, with where they come from.

* frames.py: any file or directory, with ASE where there is no module of its own
* deepmd.py: DeePMD-kit's systems of npy files
* runner_tree.py: directories with RuNNer's or n2p2's input.data
* lammps_dump.py: text dumps of LAMMPS with forces, energies from a column or from the log
* change_units.py: a structure in other units
"""
