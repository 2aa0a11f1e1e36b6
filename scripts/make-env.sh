#!/bin/sh
# Makes or updates a virtual environment with the project (editable) and the libraries of requirements/EXTRA.txt. pip
# checks the hash of each file, and takes no source distribution: building one would fetch further files unchecked.
#
#   scripts/make-env.sh DIRECTORY EXTRA [PYTHON]
#
# Without PYTHON: the interpreter of the existing DIRECTORY, or else the first of python3, python3.14 … python3.11 that is
# new enough and can make virtual environments. A DIRECTORY without pip, whose making was interrupted, is made again.
set -eu

directory=$1
extra=$2
wanted=${3-}

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
has_venv() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }
version() { "$1" -c 'import platform; print(platform.python_version())'; }
stop() {
    echo "$*" >&2
    exit 1
}

existing=
if is_new_enough "$directory/bin/python" && "$directory/bin/python" -m pip --version >/dev/null 2>&1; then
    existing=$(version "$directory/bin/python")
fi

if [ -n "$wanted" ]; then
    "$wanted" -c '' 2>/dev/null || stop "PYTHON=$wanted cannot be run: give the name or path of a Python 3.11 or newer."
    is_new_enough "$wanted" || stop "PYTHON=$wanted is $(version "$wanted"): Python 3.11 or newer is needed, for example: sudo apt install python3 python3-venv"
    python=$wanted
elif [ -n "$existing" ]; then
    python=$directory/bin/python
else
    python=
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        is_new_enough "$candidate" || continue
        python=${python:-$candidate}
        if has_venv "$candidate"; then
            python=$candidate
            break
        fi
    done
    [ -n "$python" ] || stop "Python 3.11 or newer is needed and python3 is $(version python3 2>/dev/null || echo missing): sudo apt install python3 python3-venv, or give its path: make PYTHON=/path/to/python"
fi

if [ "$(version "$python")" != "$existing" ]; then
    has_venv "$python" || stop "$python ($(version "$python")) cannot make virtual environments: sudo apt install python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
    "$python" -m venv --clear "$directory"
fi
echo "Installing into $directory (Python $(version "$directory/bin/python")): the project with its $extra extra"
install() { "$directory/bin/python" -m pip install -qq --disable-pip-version-check "$@"; }
install --require-hashes --only-binary :all: --requirement requirements/build.txt --requirement "requirements/$extra.txt"
install --no-deps --no-build-isolation --editable .
