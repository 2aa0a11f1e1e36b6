#!/bin/sh
# Installs the web servers and FastCGI servers of which the tests start private instances, and strace. Missing packages
# are installed with apt, if this user is root or may use sudo without a password. It starts and stops no service.
set -eu

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin # Debian installs servers in directories that are only on root's PATH

packages=
need() { # need PACKAGE COMMAND…: install the package unless the command succeeds
    package=$1
    shift
    "$@" >/dev/null 2>&1 || packages="$packages $package"
}
need php8.2-fpm command -v php-fpm8.2
need nginx command -v nginx
need lighttpd command -v lighttpd
need wrk command -v wrk
need spawn-fcgi command -v spawn-fcgi
need libfcgi-bin command -v cgi-fcgi
need libfcgi-dev test -e /usr/include/fcgi_stdio.h
need gcc command -v gcc
need libc6-dev test -e /usr/include/stdio.h
need strace command -v strace

[ -n "$packages" ] || exit 0
# shellcheck disable=SC2086
exec "$(dirname "$0")/apt-install.sh" "The tests start private web servers and FastCGI servers, and trace programs; some of it is missing" $packages
