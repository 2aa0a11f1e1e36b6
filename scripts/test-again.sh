#!/bin/sh
# scripts/test-again.sh PYTHON CACHE
#
# Runs the tests that have just failed with this interpreter, which pytest's cache names, again: three times, each time one
# after the other on a machine that does nothing else. It fails if one fails again, or if more than ten had failed. Tests
# that pass are named as unsteady: each of them is a fault of the product or of the test, and has to be mended.
set -eu

failed=$(mktemp)
trap 'rm -f "$failed"' EXIT
"$1" - "$failed" "$2" <<'END'
import json, pathlib, sys
tests = json.loads(pathlib.Path(sys.argv[2], "v/cache/lastfailed").read_text())
if len(tests) > 10:
    sys.exit(f"{len(tests)} tests failed: too many to be unsteady")
pathlib.Path(sys.argv[1]).write_text("\n".join(tests))
END

for _ in 1 2 3; do
    "$1" -m pytest -q --tb=short -p no:cacheprovider "@$failed"
done
echo "UNSTEADY, to be mended: each failed among all tests, and passed three times alone:"
cat "$failed"
echo
