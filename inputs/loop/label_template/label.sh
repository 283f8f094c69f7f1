#!/bin/bash
#SBATCH --job-name=label
#SBATCH --ntasks=32
#SBATCH --time=02:00:00
# One label: this directory has POSCAR, POTCAR, INCAR and KPOINTS. What runs VASP on your machine stands here.
# module load vasp
srun vasp_std
