#!/bin/bash
#SBATCH --job-name=bnnp-loop
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=12:00:00
#SBATCH --output=loop.%j.log
# Does what can be done now: explores and trains here, submits the labels, and submits itself behind them.
# source /path/to/.venv/bin/activate
bnnp --loop
