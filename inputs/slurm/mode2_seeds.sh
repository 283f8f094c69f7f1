#!/bin/bash
#SBATCH --job-name=bnnp-seeds
#SBATCH --array=1-8
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH --mem=4G
#SBATCH --time=02:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=seed_%a.log
# One training for each seed, in seed_1 to seed_8. Mode 1 ran here before: all share its symmetry functions and division.
# source /path/to/.venv/bin/activate
export OMP_NUM_THREADS=1
directory=seed_$SLURM_ARRAY_TASK_ID
mkdir -p "$directory"
cd "$directory" || exit 1
ln -sf ../input.data ../symmetry_functions.h5 .
{
    grep -Ev '^[[:space:]]*random_seed[[:space:]]' ../input.nn
    echo "random_seed $SLURM_ARRAY_TASK_ID"
} >input.nn

restart=
[ -e checkpoint.npz ] && restart=--restart
bnnp --mode 2 $restart
