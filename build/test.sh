#!/usr/bin/env bash
# Runs the tests of the module in a folder: one line per package, then what the
# tests that failed said, and their names last. A test that skips is a failure.
#   build/test.sh FOLDER [go test flags]
set -euo pipefail
log=$PWD/dist/test-${1//[^a-z]/}.log
failures=$PWD/build/failures.awk
mkdir -p dist
cd "$1"
shift
status=0
go test -v "$@" ./... 2>&1 | tee "$log" | { grep --line-buffered -E '^(ok|FAIL|panic:)|^ *--- (FAIL|SKIP)' || true; } || status=$?
if ((status)); then
	awk -f "$failures" "$log"
	exit "$status"
fi
if grep -E '^ *--- SKIP' "$log"; then
	echo 'these tests were skipped; a test that does not run proves nothing' >&2
	exit 1
fi
