#!/bin/sh
# Installs Redis, of which the tests start private servers, and Sidekiq (Ruby), which the tests talk to. Missing packages
# are installed with apt, if this user is root or may use sudo without a password. It starts and stops no service.
set -eu

packages=
command -v redis-server >/dev/null || packages="$packages redis-server"
command -v sidekiq >/dev/null || packages="$packages ruby-sidekiq"

[ -n "$packages" ] || exit 0
# shellcheck disable=SC2086
exec "$(dirname "$0")/apt-install.sh" "The tests start Redis and Sidekiq; some of them are missing" $packages
