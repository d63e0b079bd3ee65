package main

import (
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"time"
)

// writeCorpus writes one small profile of every kind the Go runtime knows.
func writeCorpus(out string) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	sampleEverything()
	c := startCrew(1, 3, named("json", "regexp", "sha256", "cache", "http"))
	defer c.stop()
	steps := []func(string) error{writeCPUs, writeTables, writeHeapPair, func(out string) error { return writeIdle(out, c) }}
	for _, step := range steps {
		if err := step(out); err != nil {
			return err
		}
	}
	return nil
}

func named(names ...string) []workload {
	var set []workload
	for _, w := range workloads {
		for _, name := range names {
			if w.name == name {
				set = append(set, w)
			}
		}
	}
	return set
}

// writeCPUs writes two windows of one process: the usual rate and a high one.
func writeCPUs(out string) error {
	if err := recordCPU(filepath.Join(out, "go-cpu.pb.gz"), 100, 2*time.Second); err != nil {
		return err
	}
	return recordCPU(filepath.Join(out, "go-cpu-500hz.pb.gz"), sampleHz, 500*time.Millisecond)
}

func recordCPU(path string, hz int, d time.Duration) error {
	return writeFile(path, func(w io.Writer) error {
		startCPU(w, hz)
		time.Sleep(d)
		pprof.StopCPUProfile()
		return nil
	})
}

func writeTables(out string) error {
	for _, t := range []string{"allocs", "goroutine", "mutex", "block", "threadcreate"} {
		if err := writeTable(out, "go-"+t, t); err != nil {
			return err
		}
	}
	return nil
}

func writeTable(out, name, lookup string) error {
	return writeFile(filepath.Join(out, name+".pb.gz"), func(w io.Writer) error { return pprof.Lookup(lookup).WriteTo(w, 0) })
}

// writeHeapPair writes two snapshots of one process: the second's cumulative
// columns contain the first's, its in-use columns do not.
func writeHeapPair(out string) error {
	runtime.GC()
	if err := writeTable(out, "go-heap-1", "heap"); err != nil {
		return err
	}
	time.Sleep(500 * time.Millisecond)
	runtime.GC()
	return writeTable(out, "go-heap-2", "heap")
}

// writeIdle profiles a process whose workers rest: no sample, or next to none.
func writeIdle(out string, c *crew) error {
	c.pause()
	defer c.resume()
	return recordCPU(filepath.Join(out, "go-cpu-idle.pb.gz"), 100, 200*time.Millisecond)
}
