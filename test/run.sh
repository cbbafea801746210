#!/bin/sh
# All tests, or the files named: `npm test -- oci/digest.test.ts`. Installs what is missing first. Under CI=true a test
# whose peers are absent fails; elsewhere it is skipped and says so.
#
# A file in which something failed is run once more, alone: these tests kill, fill and stall real processes on a machine
# that may be shared. What failed at first is printed all the same, and what fails alone fails.
set -eu
cd "$(dirname -- "$(readlink -f -- "$0")")/.."

sh proc/install.sh
sh test/debian.sh

# The long ones first, so that no processor waits for one at the end. No name here holds a space.
[ $# -gt 0 ] || set -- $(find test/integration -name '*.test.ts' | sort) \
  $(find oci kube proc agent webhook cluster image test bench -name '*.test.ts' ! -path 'test/integration/*' ! -path 'test/e2e/*' | sort)

failed=$(mktemp)
trap 'rm -f "$failed"' EXIT
status=0
./noost-node --test --test-concurrency=2 --test-timeout=600000 \
  --test-reporter=spec --test-reporter-destination=stdout \
  --test-reporter=./test/failed-files.ts --test-reporter-destination="$failed" "$@" || status=$?
[ "$status" -ne 0 ] && [ -s "$failed" ] || exit "$status"
# Many at once are no accident.
[ "$(wc -l < "$failed")" -le 3 ] || exit "$status"
echo "run.sh: failed, and now run once more, alone:" >&2
sed 's/^/  /' "$failed" >&2
./noost-node --test --test-concurrency=1 --test-timeout=600000 --test-reporter=spec $(cat "$failed")
