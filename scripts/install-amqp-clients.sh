#!/bin/sh
# Installs the AMQP clients of other languages with which the tests publish events: php-amqplib, and amqplib
# for Node, if there are Node and npm.
# Missing packages are installed with apt, if this user is root or may use sudo without a password.
set -eu

packages=
command -v php >/dev/null || packages="$packages php8.2-cli"
test -e /usr/share/php/PhpAmqpLib/autoload.php || packages="$packages php-amqplib"

if [ -n "$packages" ]; then
    # shellcheck disable=SC2086
    "$(dirname "$0")/apt-install.sh" "The tests publish with clients of other languages; some of them are missing" $packages
fi

# package-lock.json has the hash of each file.
cd "$(dirname "$0")/../examples/other_languages"
[ -d node_modules/amqplib ] || npm ci --silent --no-audit --no-fund --ignore-scripts ||
    echo "npm cannot install amqplib: the tests of the client in JavaScript are skipped" >&2
