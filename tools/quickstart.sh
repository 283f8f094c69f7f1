#!/bin/sh
# Installs bnnp into .venv and runs its three modes on inputs/quickstart, in a new directory:
#
#     sh tools/quickstart.sh [DIRECTORY]       default: quickstart_run, or the first quickstart_run_N that is free
set -eu
start=$PWD
cd "$(dirname "$0")/.."
root=$PWD
sh tools/environment.sh

if [ $# -gt 0 ]; then
    case $1 in /*) run=$1 ;; *) run=$start/$1 ;; esac
    [ ! -e "$run" ] || {
        echo "Error: $run exists; name a new directory" >&2
        exit 1
    }
else
    run=$root/quickstart_run
    n=2
    while [ -e "$run" ]; do
        run=$root/quickstart_run_$n
        n=$((n + 1))
    done
fi
cp -r inputs/quickstart "$run"
cd "$run"
PATH="$root/.venv/bin:$PATH"

step() {
    printf '\n$ %s\n' "$*"
    "$@"
}
step bnnp --mode 1
step bnnp --mode 2
step bnnp --mode 3 --data predict/input.data
printf '\nAll files are in %s\n' "$run"
