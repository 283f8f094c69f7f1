#!/bin/bash
# Run in a copy of this directory: potential/, structure.data and run.lammps are there.
lmp -in in.lammps          # or: mpirun -n 16 lmp -in in.lammps
