#!/bin/sh
# Installs PostgreSQL and MariaDB, of which the tests start private servers. Missing packages are installed with apt, if
# this user is root or may use sudo without a password. It starts and stops no service.
set -eu

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin # Debian installs mariadbd in a directory that is only on root's PATH

packages=
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || packages="$packages postgresql"
command -v mariadbd >/dev/null || packages="$packages mariadb-server-core"

[ -n "$packages" ] || exit 0
# shellcheck disable=SC2086
exec "$(dirname "$0")/apt-install.sh" "The tests start private databases; some of them are missing" $packages
