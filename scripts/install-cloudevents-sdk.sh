#!/bin/sh
# Installs CloudEvents' own SDK for JavaScript, a client in the tests of the ingress, into tests/journey/cloudevents_sdk.
# It needs Node and npm: without them, the test is skipped. `make test` calls it.
set -eu

cd "$(dirname "$0")/.."
here=tests/journey/cloudevents_sdk

stamp=$here/node_modules/.installed
[ "$stamp" -nt "$here/package-lock.json" ] 2>/dev/null && exit 0
if npm ci --prefix "$here" --ignore-scripts --no-audit --no-fund --silent; then
    touch "$stamp"
else
    echo "npm cannot install the SDK of CloudEvents: its test is skipped" >&2
fi
