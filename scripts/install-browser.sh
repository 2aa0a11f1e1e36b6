#!/bin/sh
# Installs Chromium and its driver with apt, and axe-core with npm, if there is npm, into .venv/axe-core: for the tests of
# the page. It needs root, or sudo without a password, for packages that are missing.
set -eu

cd "$(dirname "$0")/.."
axe=4.14.1
packages=
command -v chromium >/dev/null || packages="$packages chromium"
command -v chromedriver >/dev/null || packages="$packages chromium-driver"
fc-list 2>/dev/null | grep -q DejaVuSans || packages="$packages fonts-dejavu-core"

if [ -n "$packages" ]; then
    # shellcheck disable=SC2086
    scripts/apt-install.sh "The tests of the page drive a browser; some packages are missing" $packages
fi
grep -qs "\"version\": \"$axe\"" .venv/axe-core/node_modules/axe-core/package.json ||
    npm install --silent --no-audit --no-fund --no-save --prefix .venv/axe-core "axe-core@$axe" ||
    echo "npm cannot install axe-core: the test that needs it is skipped" >&2
