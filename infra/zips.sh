#!/usr/bin/env bash
# The three functions as zips, for one processor, and whether they are fit to be shipped.
#
#   infra/zips.sh arm64|x86_64
#
# makes target/lambda/{merge,index,render}/bootstrap.zip by `cargo lambda-build`
# (the flags of .cargo/config.toml, the settings of cargo-lambda.toml). zig links,
# so the oldest glibc they run on does not hang on the machine that builds.
set -euo pipefail
cd "$(dirname "$0")/.."
case ${1:-} in
    arm64) target=aarch64-unknown-linux-gnu ;;
    x86_64) target=x86_64-unknown-linux-gnu ;;
    *) echo "usage: infra/zips.sh arm64|x86_64" >&2; exit 2 ;;
esac

missing() { echo "$1 is missing: $2" >&2; exit 1; }
cargo lambda --version >/dev/null 2>&1 || missing cargo-lambda "pip install cargo-lambda==1.9.2"
python3 -m ziglang version >/dev/null 2>&1 || zig version >/dev/null 2>&1 || missing zig "pip install ziglang==0.17.0"
# cargo-lambda would look into (and add the target to) the toolchain `stable`, not the one of
# rust-toolchain.toml, so it is looked for here.
[ -d "$(rustc --print target-libdir --target "$target")" ] ||
    missing "Rust's standard library for $target" "rustup target add $target (in this folder, so that the pinned toolchain gets it)"

cargo lambda-build --skip-target-check --target "$target" </dev/null
exec python3 infra/story/artifacts.py "${CARGO_TARGET_DIR:-target}/lambda" "$1"
