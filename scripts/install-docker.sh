#!/bin/sh
# Installs what the long test of docker-compose.yml needs. It starts no service and changes nothing else of the system:
#
# - /opt/docker-of-debian, a tree of Debian 13: the Docker engine with its Compose, and the programs of the images that
#   the test cannot pull (Python, RabbitMQ, nginx). A minute or two, once for a machine. It needs root.
# - .venv/wheels-of-image: the libraries of the image, which is built without a network.
set -eu

cd "$(dirname "$0")/.."
tree=/opt/docker-of-debian
packages=docker.io,docker-cli,docker-compose,iptables,iproute2,python3,python3-venv,rabbitmq-server,nginx,wget
wheels=.venv/wheels-of-image

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "The Docker engine for the tests is installed by root on Debian alone: without it, the test of docker-compose.yml is skipped" >&2
    exit 0
fi

make_tree() {
    rm -rf --one-file-system "$1"
    mmdebstrap --quiet --variant=minbase --include="$packages" \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' trixie "$1" &&
        echo "$packages" >"$1/.packages"
}

if [ "$(cat "$tree/.packages" 2>/dev/null)" != "$packages" ]; then
    command -v mmdebstrap >/dev/null || scripts/apt-install.sh "The tests start a Docker engine; mmdebstrap makes its tree" mmdebstrap
    echo "Making $tree: Docker, Python, RabbitMQ and nginx of Debian 13"
    if make_tree "$tree.$$" || make_tree "$tree.$$"; then # a mirror may fail once
        rm -rf --one-file-system "$tree"
        mv "$tree.$$" "$tree"
    else
        rm -rf --one-file-system "$tree.$$"
        echo "mmdebstrap cannot make $tree: the test of docker-compose.yml is skipped" >&2
    fi
fi

sum=$(cat requirements/runtime.txt requirements/build.txt | sha256sum)
if [ "$(cat "$wheels/.lists" 2>/dev/null)" != "$sum" ]; then
    rm -rf "$wheels"
    if .venv/bin/python -m pip download -qq --disable-pip-version-check --require-hashes --only-binary :all: \
        --implementation cp --python-version 3.13 --dest "$wheels" \
        --requirement requirements/runtime.txt --requirement requirements/build.txt; then
        echo "$sum" >"$wheels/.lists"
    else
        echo "pip cannot load the libraries of the image: the test of docker-compose.yml is skipped" >&2
    fi
fi
