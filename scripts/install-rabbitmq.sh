#!/bin/sh
# Sees to it that a rabbitmq-server is there for the tests to start private nodes of. Never starts or stops a broker.
#
# RABBITMQ_SERVER=/path names another build: then nothing is installed. Else a missing one is installed with apt, if this
# user is root or may use sudo without a password.
set -eu

stop() {
    echo "$*" >&2
    exit 1
}

if [ -n "${RABBITMQ_SERVER-}" ]; then
    [ -x "$RABBITMQ_SERVER" ] || stop "RABBITMQ_SERVER=$RABBITMQ_SERVER is not a program: give the path of a rabbitmq-server, version 3.10 or newer."
    exit 0
fi

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin # Debian keeps rabbitmq-server where only root's PATH leads
if command -v rabbitmq-server >/dev/null; then
    exit 0
fi

missing="The tests start private RabbitMQ nodes and rabbitmq-server is missing"
command -v apt-get >/dev/null || stop "$missing: install RabbitMQ 3.10 or newer, or set RABBITMQ_SERVER=/path/to/rabbitmq-server"
if [ "$(id -u)" != 0 ]; then
    sudo -n true 2>/dev/null || stop "$missing: sudo apt install rabbitmq-server (or set RABBITMQ_SERVER=/path/to/rabbitmq-server)"
    exec sudo -n "$0"
fi

log=$(mktemp)
policy=/usr/sbin/policy-rc.d
made_policy=
# shellcheck disable=SC2317
tidy_up() {
    rm -f "$log"
    [ -z "$made_policy" ] || rm -f "$policy"
}
trap tidy_up EXIT
trap 'exit 1' HUP INT TERM

# Debian starts a service that it installs, unless this program says no. One that is there already has its reasons.
if [ ! -e "$policy" ]; then
    made_policy=yes
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

install() {
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=300 rabbitmq-server
}

echo "Installing rabbitmq-server with apt (the system's own broker is not started)"
install >"$log" 2>&1 || { apt-get update && install; } >"$log" 2>&1 || {
    tail -n 15 "$log" >&2
    stop "apt could not install rabbitmq-server (its last words are above): install it, or set RABBITMQ_SERVER=/path/to/rabbitmq-server"
}
