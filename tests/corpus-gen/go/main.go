// Command go makes real Go profiles: a small corpus for tests (`-corpus`) and
// thousands of snapshots of a many-sided program for benches (`-snapshots`).
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
)

func main() {
	// Set first: allocations before this line are sampled at the default rate.
	runtime.MemProfileRate = 128 << 10
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "corpus-gen:", err)
		os.Exit(1)
	}
}

func run() error {
	snapshots := flag.Int("snapshots", 0, "write this many snapshots of each type into -out")
	processes := flag.Int("processes", 10, "cold starts the snapshots are spread over")
	parallel := flag.Int("parallel", 4, "processes that run at one time")
	types := flag.String("types", "cpu,heap", "types to snapshot: cpu, heap, goroutine, mutex, block, ...")
	child := flag.Int("child", -1, "internal: be the process of this number")
	corpus := flag.Bool("corpus", false, "write the small corpus of one profile per type into -out")
	out := flag.String("out", "", "folder to write into")
	flag.Parse()
	if *out == "" || (*snapshots <= 0) == !*corpus {
		return fmt.Errorf("need -out and either -corpus or -snapshots N")
	}
	plan := snapshotPlan{out: *out, total: *snapshots, processes: *processes, parallel: *parallel, types: strings.Split(*types, ",")}
	switch {
	case *corpus:
		return writeCorpus(*out)
	case *child >= 0:
		sampleEverything()
		return takeSnapshots(plan, *child)
	default:
		return runProcesses(plan)
	}
}

// sampleEverything switches on the profiles that are off by default.
func sampleEverything() {
	runtime.SetMutexProfileFraction(5)
	runtime.SetBlockProfileRate(10_000)
}
