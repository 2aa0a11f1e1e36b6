#!/bin/sh
# Writes requirements/*.txt: every library that `make` and Docker install, with its version and its hashes.
#
#   scripts/lock.sh
#
# The versions are those of constraints.txt. Run it after a change there or in pyproject.toml. It needs uv
# (https://docs.astral.sh/uv/) and asks PyPI alone, whatever the machine's own configuration says.
set -eu

cd "$(dirname "$0")/.."
command -v uv >/dev/null || {
    echo "uv is missing: https://docs.astral.sh/uv/getting-started/installation/" >&2
    exit 1
}

lock() { # FILE INPUT…
    file=$1
    shift
    uv pip compile --quiet --no-config --default-index https://pypi.org/simple --universal --python-version 3.11 \
        --generate-hashes --no-annotate --custom-compile-command scripts/lock.sh \
        --constraints constraints.txt --output-file "requirements/$file.txt" "$@"
}

lock build requirements/build.in
lock runtime --extra web pyproject.toml # the Docker image, with the page
lock dev --extra dev pyproject.toml
lock bench --extra bench pyproject.toml
lock docs --extra docs pyproject.toml
