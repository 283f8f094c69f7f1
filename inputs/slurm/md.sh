#!/bin/bash
#SBATCH --job-name=bnnp-md
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
#SBATCH --mem=4G
#SBATCH --time=12:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=md.%j.log
# Molecular dynamics (md_steps in input.nn) that queues itself again before the time limit, until all steps are done.
# One process, whose C++ core uses the cores of --cpus-per-task. Exit code 3: stopped by the uncertainty, not queued again.
# source /path/to/.venv/bin/activate
export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK # srun does not take it from sbatch (SLURM 22.05 and later)

again=no
# The signal of --signal=B:... comes to this script only; scancel --signal passes it on to bnnp, which saves and ends.
trap 'again=yes; scancel --signal=USR1 "$SLURM_JOB_ID"' USR1

restart=
[ -e md_restart.npz ] && restart=--restart
srun bnnp --mode 3 $restart &
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
