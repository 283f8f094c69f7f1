#!/bin/bash
#SBATCH --job-name=bnnp-mode1
#SBATCH --ntasks=32
#SBATCH --cpus-per-task=1
#SBATCH --mem-per-cpu=1G
#SBATCH --time=01:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=mode1.%j.log
# Symmetry functions on many ranks. A run that was killed, at any moment, continues where it was by the same command.
# source /path/to/.venv/bin/activate
export OMP_NUM_THREADS=1
srun bnnp --mode 1
