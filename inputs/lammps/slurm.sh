#!/bin/sh
#SBATCH --job-name=bnnp-lammps
#SBATCH --ntasks=32
#SBATCH --cpus-per-task=1
#SBATCH --time=01:00:00
# Once, on a login node: bnnp --lammps-plugin          (the lammps package of the Python environment), or
#                        CXX=mpicxx bnnp --lammps-plugin --headers /path/to/lammps/src   (the cluster's own lmp)
# The plugin chooses the instruction set of the compute node when it is loaded.
export OMP_NUM_THREADS=1
srun lmp -in in.lammps -v cells 24
