#!/bin/sh
# Installs Debian packages for the tests without starting their services.
#
#   scripts/apt-install.sh WHY PACKAGE…
#
# WHY begins the error message for a user who is neither root nor may use sudo without a password.
set -eu

why=$1
shift

stop() {
    echo "$*" >&2
    exit 1
}

command -v apt-get >/dev/null || stop "$why: install what your system calls $*"
if [ "$(id -u)" != 0 ]; then
    sudo -n true 2>/dev/null || stop "$why: sudo apt install $*"
    exec sudo -n "$0" "$why" "$@"
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

# Debian starts a service after its installation unless this program forbids it. An existing program stays as it is.
if [ ! -e "$policy" ]; then
    made_policy=yes
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

install() {
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"
}

echo "Installing with apt (no service is started): $*"
install "$@" >"$log" 2>&1 || { apt-get update && install "$@"; } >"$log" 2>&1 || {
    tail -n 15 "$log" >&2
    stop "$why, and apt could not install them (the end of its output is above)"
}
