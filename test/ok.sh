#!/bin/sh
# All that CI runs, in its order: types, lint, format, tests, and that none of it changed the checkout.
set -eu
cd "$(dirname -- "$(readlink -f -- "$0")")/.."
step() { echo "== $1" >&2; shift; "$@"; }
status() { git status --porcelain 2>/dev/null || true; }

before=$(status)
step types npm run --silent typecheck
step lint npm run --silent lint
step format npm run --silent format:check
# Before the tests, whose time is bounded: once, some ten minutes on two cores.
if command -v go >/dev/null; then
  step kubernetes test/cluster/build kube-apiserver kube-controller-manager kubectl kube-scheduler kubelet kube-proxy
fi
step tests sh test/run.sh
# Twice at most: nodes on a machine that is shared may be late once. Both runs are in the log.
e2e() { ./noost-node --test --test-timeout=1500000 --test-reporter=spec "test/e2e/$1.test.ts"; }
for name in cluster registry cert-manager overlays; do
  step "$name" e2e "$name" || step "$name, again" e2e "$name"
done
after=$(status)
if [ "$before" != "$after" ] || { [ "${CI:-}" = true ] && [ -n "$after" ]; }; then
  echo "ok: the checkout is not clean:" >&2
  echo "$after" >&2
  exit 1
fi
echo ok
