#!/bin/sh
# Fuzzes reading a sample log for MINUTES (default 10), seeded with real ones. Needs a nightly
# toolchain and `cargo install cargo-fuzz`.
#
#     profiler-sdk/fuzz/run.sh [MINUTES]
set -eu
cd "$(dirname "$0")"
minutes=${1:-10}
mkdir -p corpus/read
cargo run --quiet --bin seeds -- corpus/read
nice -n 19 cargo +nightly fuzz run read -- \
    -max_total_time=$((minutes * 60)) -max_len=262144 -timeout=10 \
    -rss_limit_mb=1024 -malloc_limit_mb=128 -print_final_stats=1
