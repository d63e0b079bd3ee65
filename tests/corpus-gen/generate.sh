#!/bin/sh
# Makes the profiles in tests/data anew. Usage: generate.sh PART...
# where PART is go, cpp, java, rust, odd, bless, verify or all. README.md says
# what each needs. Real profiles differ from run to run: bless after making.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
data=$here/../data
work=/tmp/flambeau-corpus # a fixed name: it ends up inside the profiles
mkdir -p "$work"

make_go() {
    cd "$here/go"
    go build -trimpath -o "$work/go-workload" .
    "$work/go-workload" -corpus -out "$data"
    # Position independent: the kernel loads each process somewhere else.
    go build -trimpath -buildmode=pie -o "$work/go-pie" .
    "$work/go-pie" -snapshots 2 -processes 2 -types cpu -out "$work/pie"
    cp "$work/pie/cpu/p00-s0000.pb.gz" "$data/go-pie-a.pb.gz"
    cp "$work/pie/cpu/p01-s0000.pb.gz" "$data/go-pie-b.pb.gz"
}

# gperftools writes formats older than pprof's protobuf; pprof itself converts
# them, once with symbols from the binary and once as bare addresses.
make_cpp() {
    g++ -O2 -g -fno-omit-frame-pointer -ffile-prefix-map="$here"=/src "$here/cpp/workload.cpp" \
        -o "$work/cpp-workload" -ltcmalloc_and_profiler
    cd "$work"
    CPUPROFILE_FREQUENCY=250 ./cpp-workload cpp-cpu.prof cpp-heap
    go tool pprof -proto -output "$data/cpp-cpu.pb.gz" cpp-workload cpp-cpu.prof
    go tool pprof -proto -symbolize=none -output "$data/cpp-cpu-addresses.pb.gz" cpp-cpu.prof
    go tool pprof -proto -output "$data/cpp-heap.pb.gz" cpp-workload cpp-heap.0001.heap
}

make_java() {
    mvn -q -f "$here/java/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
        -DoutputDirectory="$work/jars" -Dmdep.stripVersion=true
    cd "$work"
    unzip -q -o jars/async-profiler-linux-x64.jar 'linux-x64/*'
    javac -d . "$here/java/Workload.java"
    java -agentpath:"$work/linux-x64/libasyncProfiler.so=start,event=cpu,interval=5ms,alloc=64k,lock=100us,jfr,file=java.jfr" \
        -cp . Workload 2000
    java -jar jars/jfr-converter.jar --cpu --threads --lines --output pb.gz java.jfr "$data/java-cpu.pb.gz"
    java -jar jars/jfr-converter.jar --alloc --total --lines --output pb.gz java.jfr "$data/java-alloc.pb.gz"
    java -jar jars/jfr-converter.jar --lock --total --lines --output pb.gz java.jfr "$data/java-lock.pb.gz"
}

make_rust() {
    target=${CARGO_TARGET_DIR:-$here/../../target}/corpus
    cd "$here/rust"
    cargo rustc --release --locked --target-dir "$target" -- --remap-path-prefix "$here=/src"
    "$target/release/corpus-rust" "$data/rust-cpu.pb"
}

make_odd() {
    cd "$here/odd"
    go run . -out "$data"
}

make_bless() {
    cd "$here/../oracle"
    go run . bless "$data"
}

make_verify() {
    cd "$here/../oracle"
    go run . verify "$data"
}

[ $# -gt 0 ] || { sed -n '2,4p' "$0"; exit 2; }
[ "$1" != all ] || set -- go cpp java rust odd bless
for part; do
    case $part in
    go | cpp | java | rust | odd | bless | verify) (make_"$part") ;;
    *) echo "generate.sh: no part named $part" >&2; exit 2 ;;
    esac
done
