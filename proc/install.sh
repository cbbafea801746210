#!/bin/sh
# Brings node_modules up to package-lock.json, if it is not; several at one time take turns.
here=$(CDPATH='' cd -- "$(dirname -- "$(readlink -f -- "$0")")/.." && pwd)
is_current() { [ ! -f "$here/package-lock.json" ] || [ "$here/node_modules/.package-lock.json" -nt "$here/package-lock.json" ]; }
is_current && exit 0
command -v npm >/dev/null || { echo "noost: parts are missing in $here/node_modules, and there is no npm to install them" >&2; exit 1; }
if command -v flock >/dev/null && [ "${NOOST_INSTALLING:-}" != yes ]; then
  NOOST_INSTALLING=yes exec flock "$here/package-lock.json" sh "$0"
fi
is_current && exit 0
echo 'noost: installing what is missing (npm ci)' >&2
cd "$here" && npm ci --no-audit --no-fund --loglevel=error >&2 && touch node_modules/.package-lock.json
