#!/bin/bash
#SBATCH --job-name=bnnp-mode2-gpu
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
#SBATCH --gpus=1
#SBATCH --mem=32G
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=mode2_gpu.%j.log
# Training on one GPU, one process; `device cuda` must stand in input.nn. Queues itself again before the time limit.
# source /path/to/.venv/bin/activate
export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK # srun does not take it from sbatch (SLURM 22.05 and later)
grep -Eq '^[[:space:]]*device[[:space:]]+cuda' input.nn || {
    echo "input.nn does not say: device cuda" >&2
    exit 1
}

again=no
# The signal of --signal=B:... comes to this script only; scancel --signal passes it on to bnnp, which saves and ends.
trap 'again=yes; scancel --signal=USR1 "$SLURM_JOB_ID"' USR1

restart=
[ -e checkpoint.npz ] && restart=--restart
srun bnnp --mode 2 $restart &
wait "$!"
code=$?
while [ "$again" = yes ] && kill -0 "$!" 2>/dev/null; do
    wait "$!" # the first wait ended when the signal came; this one when all is saved
    code=$?
done

# 0: it was done; above 128: ended by the signal; 1 and 3 are reasons not to go on
if [ "$again" = yes ] && { [ "$code" -eq 0 ] || [ "$code" -gt 128 ]; } && [ "${SLURM_RESTART_COUNT:-0}" -lt 100 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
