#!/bin/bash
#SBATCH --job-name=bnnp-mode3
#SBATCH --ntasks=16
#SBATCH --cpus-per-task=1
#SBATCH --mem-per-cpu=1G
#SBATCH --time=00:30:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=mode3.%j.log
# Predictions on many ranks: sbatch mode3.sh [input.data]. Its files appear when all structures are done, so that a job
# that SLURM queues again (node failure, preemption) starts from the beginning.
# source /path/to/.venv/bin/activate
export OMP_NUM_THREADS=1
srun bnnp --mode 3 --data "${1:-input.data}"
