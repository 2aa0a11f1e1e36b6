#!/bin/sh
# Installs CloudEvents' own SDK for JavaScript, a client in the tests of the ingress, into tests/journey/cloudevents_sdk.
# It needs npm; a missing one is installed with apt, as the other scripts do. `make test-all` calls it.
set -eu

cd "$(dirname "$0")/.."
here=tests/journey/cloudevents_sdk

if ! command -v npm >/dev/null || ! command -v node >/dev/null; then
    scripts/apt-install.sh "The tests of the ingress use an SDK in JavaScript; npm is missing" nodejs npm
fi
stamp=$here/node_modules/.installed
[ "$stamp" -nt "$here/package-lock.json" ] 2>/dev/null && exit 0
npm ci --prefix "$here" --ignore-scripts --no-audit --no-fund --silent
touch "$stamp"
