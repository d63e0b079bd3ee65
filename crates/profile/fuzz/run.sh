#!/bin/sh
# Fuzzes each target for MINUTES (default 30), one after the other, seeded from
# tests/data. Needs a nightly toolchain and `cargo install cargo-fuzz`.
#
#     crates/profile/fuzz/run.sh [MINUTES] [TARGET...]
set -eu
cd "$(dirname "$0")"
minutes=${1:-30}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- decode merge
for target in "$@"; do
    mkdir -p "corpus/$target"
    for seed in ../../../tests/data/*.pb ../../../tests/data/*.pb.gz; do
        # Mutating large seeds is slow and finds little.
        if [ -f "$seed" ] && [ "$(wc -c < "$seed")" -le 20000 ]; then
            cp "$seed" "corpus/$target/"
            case $seed in *.gz) gzip -dc "$seed" > "corpus/$target/$(basename "$seed" .gz)" || true ;; esac
        fi
    done
    nice -n 19 cargo +nightly fuzz run "$target" -- \
        -max_total_time=$((minutes * 60)) -max_len=65536 -timeout=10 \
        -rss_limit_mb=1024 -malloc_limit_mb=512 -print_final_stats=1
done
