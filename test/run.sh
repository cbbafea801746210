#!/bin/sh
# All tests, or the files named: `npm test -- oci/digest.test.ts`. Installs what is missing first. Under CI=true a test
# whose peers are absent fails; elsewhere it is skipped and says so.
set -eu
cd "$(dirname -- "$(readlink -f -- "$0")")/.."

sh proc/install.sh
sh test/debian.sh

# The long ones first, so that no processor waits for one at the end. No name here holds a space.
[ $# -gt 0 ] || set -- $(find test/integration -name '*.test.ts' | sort) \
  $(find oci kube proc agent webhook cluster image test bench -name '*.test.ts' ! -path 'test/integration/*' ! -path 'test/e2e/*' | sort)
exec ./noost-node --test --test-concurrency=2 --test-timeout=600000 --test-reporter=spec "$@"
