#!/usr/bin/env bash
# Installs the viewers that judge our formats (speedscope, Pyroscope's schema, a
# reader of JSON schemas) from npm into target/viewers, as package-lock.json
# pins them. Nothing of theirs is run while it is installed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/../../target/viewers}
mkdir -p "$out"
out=$(cd "$out" && pwd)
cmp -s "$here/package-lock.json" "$out/.complete" && exit 0
cp "$here/package.json" "$here/package-lock.json" "$out/"
(cd "$out" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
cp "$here/package-lock.json" "$out/.complete"
