#!/usr/bin/env bash
# Installs what drives and judges the pages in a browser (playwright-core, axe-core)
# from npm into target/browser, as package-lock.json pins them. The browser itself is
# the system's: Debian's package chromium, or what CHROMIUM names.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/../../target/browser}
mkdir -p "$out"
out=$(cd "$out" && pwd)
cmp -s "$here/package-lock.json" "$out/.complete" && exit 0
cp "$here/package.json" "$here/package-lock.json" "$out/"
(cd "$out" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
cp "$here/package-lock.json" "$out/.complete"
