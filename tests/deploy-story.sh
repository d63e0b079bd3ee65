#!/usr/bin/env bash
# The deploy story with the binaries of `cargo build --workspace --bins`: the real
# stack on an emulator, IAM enforced (infra/story). For zips as they are shipped,
# call infra/story/run.sh with those.
set -euo pipefail
cd "$(dirname "$0")/.."
built=${CARGO_TARGET_DIR:-target}/debug
zips=$(mktemp -d)
trap 'rm -rf "$zips"' EXIT
for function in merge index render; do
    mkdir -p "$zips/$function"
    strip -o "$zips/$function/bootstrap" "$built/$function"
    (cd "$zips/$function" && python3 -m zipfile -c bootstrap.zip bootstrap)
    rm "$zips/$function/bootstrap"
done
infra/story/run.sh "$zips" "$(realpath "$built/flambeau")"
