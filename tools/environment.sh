#!/bin/sh
# Makes .venv with the versions of tools/constraints.txt and installs bnnp into it:
#
#     sh tools/environment.sh              what bnnp needs to run
#     sh tools/environment.sh test mpi     with the extras of setup.cfg
#
# Needs python3 (3.11 or newer), python3-venv and g++, no root. A second call only rebuilds what changed.
set -eu
cd "$(dirname "$0")/.."

fail() {
    echo "Error: $*" >&2
    exit 1
}

python=${PYTHON:-python3}
command -v "$python" >/dev/null || fail "$python was not found. Debian: apt install python3 python3-venv g++"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "bnnp needs Python 3.11 or newer, $python is $("$python" -V). Name another one: PYTHON=python3.12 sh $0"
command -v "${CXX:-g++}" >/dev/null || fail "the C++ compiler ${CXX:-g++} was not found. Debian: apt install g++"

# ----- the environment --------------------------------------------------------------------------------
if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    echo "Making .venv"
    "$python" -m venv --clear .venv || fail "no virtual environment can be made. Debian: apt install python3-venv"
fi
venv=$PWD/.venv/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
pip() { "$venv" -m pip "$@"; }

# ----- the headers of Python, from Debian's package if they are not installed --------------------------------
version=$("$venv" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
include=$("$venv" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')
if [ ! -e "$include/Python.h" ]; then
    headers=$PWD/.venv/headers
    if [ ! -e "$headers/usr/include/python$version/Python.h" ]; then
        echo "Fetching the headers of Python $version"
        package=libpython$version-dev
        mkdir -p "$headers/lists/partial" "$headers/cache"
        own="-o Dir::State::Lists=$headers/lists -o Dir::Cache=$headers/cache -o APT::Sandbox::User="
        (
            cd "$headers"
            apt-get download "$package" || { apt-get $own update && apt-get $own download "$package"; }
            dpkg-deb -x "$package"_*.deb .
        ) >"$headers/log" 2>&1 ||
            fail "Python.h was not found and could not be fetched (see $headers/log). Debian: apt install python3-dev"
    fi
    more=$headers/usr/include/python$version:$headers/usr/include
    export CPLUS_INCLUDE_PATH="$more${CPLUS_INCLUDE_PATH:+:$CPLUS_INCLUDE_PATH}"
fi

# ----- packages ------------------------------------------------------------------------------------------
torch=$(sed -n 's/^torch==//p' tools/constraints.txt)
pinned="--quiet --quiet --constraint tools/constraints.txt"
wanted="$(cat tools/constraints.txt setup.cfg | cksum)"
for part in packages "$@"; do
    [ "$(cat ".venv/installed-$part" 2>/dev/null)" = "$wanted" ] || missing=yes
done
if [ "${missing:-no}" = yes ]; then
    echo "Installing packages into .venv (some minutes)"
    pip install $pinned setuptools wheel pybind11
    if ! pip show torch 2>/dev/null | grep -q "^Version: $torch\(+.*\)\?$"; then
        # the CPU build has an index of its own; elsewhere the same version may come with CUDA: large, but it works
        pip install $pinned --no-deps --timeout 10 --retries 0 \
            --index-url https://download.pytorch.org/whl/cpu "torch==$torch" >/dev/null 2>&1 ||
            pip install $pinned "torch==$torch"
    fi
    "$venv" - "$@" >.venv/requirements <<'END' || fail "setup.cfg has no such extras: $*"
import configparser, sys
metadata = configparser.ConfigParser()
metadata.read("setup.cfg")
print(metadata["options"]["install_requires"])
for extra in sys.argv[1:]:
    print(metadata["options.extras_require"][extra])
END
    pip install $pinned --requirement .venv/requirements
    for part in packages "$@"; do
        echo "$wanted" >".venv/installed-$part"
    done
fi

# ----- bnnp: Python files are used where they are, the C++ core is compiled when it has changed ------------
sources=$(find bnnp/core -name '*.cpp' -o -name '*.hpp' -o -name '*.inl' | LC_ALL=C sort)
core=$(cat setup.py setup.cfg $sources | cksum)
if [ "$(cat .venv/installed-core 2>/dev/null)" != "$core" ] ||
    ! "$venv" -c 'import bnnp._core' 2>/dev/null; then
    echo "Compiling and installing bnnp"
    rm -f .venv/installed-core
    pip install $pinned --no-build-isolation --no-deps --editable .
    echo "$core" >.venv/installed-core
fi
