#!/bin/sh
# All tests, or the files named: `npm test -- oci/digest.test.ts`. Installs what is missing first. Under CI=true a test
# whose peers are absent fails; elsewhere it is skipped and says so.
set -eu
cd "$(dirname -- "$(readlink -f -- "$0")")/.."

if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
  echo 'test: installing what is missing (npm ci)' >&2
  npm ci --no-audit --no-fund --loglevel=error >&2
  touch node_modules/.package-lock.json
fi
sh test/debian.sh

# The long ones first, so that no processor waits for one at the end. No name here holds a space.
[ $# -gt 0 ] || set -- $(find test/integration -name '*.test.ts' | sort) \
  $(find oci kube proc agent webhook test bench -name '*.test.ts' ! -path 'test/integration/*' | sort)
exec ./noost-node --test --test-concurrency=2 --test-timeout=600000 --test-reporter=spec "$@"
