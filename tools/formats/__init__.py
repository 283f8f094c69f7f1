"""What `bnnp convert` reads: labeled structures in the units asked for, with where they come from.

* frames.py: any file or directory, with ASE where there is no module of its own
* extxyz.py: the comment line of extended xyz as other programs write it
* programs.py: outputs of quantum programs that ASE reads, run by run; what did not converge
* cp2k.py: molecular dynamics of CP2K, positions and forces in two files
* deepmd.py: DeePMD-kit's systems: npy, text or HDF5
* runner_tree.py: directories with RuNNer's or n2p2's input.data
* lammps_dump.py: text dumps of LAMMPS with forces, energies from a column or from the log
* lammps_log.py: the thermo tables of a log
* change_units.py: a structure in other units
"""
