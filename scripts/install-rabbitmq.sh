#!/bin/sh
# Installs rabbitmq-server, of which the tests start private nodes. It starts and stops no broker.
#
# With RABBITMQ_SERVER=/path, the path of another build, it installs nothing. Otherwise it installs a missing server with
# apt, if this user is root or may use sudo without a password.
set -eu

stop() {
    echo "$*" >&2
    exit 1
}

if [ -n "${RABBITMQ_SERVER-}" ]; then
    [ -x "$RABBITMQ_SERVER" ] || stop "RABBITMQ_SERVER=$RABBITMQ_SERVER is not a program: give the path of a rabbitmq-server, version 3.10 or newer."
    exit 0
fi

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin # Debian installs rabbitmq-server in a directory that is only on root's PATH
if command -v rabbitmq-server >/dev/null; then
    exit 0
fi

exec "$(dirname "$0")/apt-install.sh" "The tests start private RabbitMQ nodes and rabbitmq-server (3.10 or newer, or RABBITMQ_SERVER=/path/to/rabbitmq-server) is missing" rabbitmq-server
