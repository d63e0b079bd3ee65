package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// sampleHz collects in a fraction of a second what 100 Hz would in seconds. A
// kernel of 250 ticks a second delivers about half of it.
const sampleHz = 500

// snapshotPlan says what one run of `-snapshots` writes.
type snapshotPlan struct {
	out       string
	total     int
	processes int
	parallel  int
	types     []string
}

// runProcesses spreads the snapshots over child processes ("cold starts"), a
// few at a time, each a new run of this same program.
func runProcesses(p snapshotPlan) error {
	for _, t := range p.types {
		if err := os.MkdirAll(filepath.Join(p.out, t), 0o755); err != nil {
			return err
		}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	slots := make(chan struct{}, p.parallel)
	errs := make([]error, p.processes)
	var wg sync.WaitGroup
	for i := range p.processes {
		count := p.total*(i+1)/p.processes - p.total*i/p.processes
		wg.Add(1)
		slots <- struct{}{}
		go func() {
			defer func() { <-slots; wg.Done() }()
			errs[i] = runProcess(self, p, i, count)
		}()
	}
	wg.Wait()
	return firstError(errs)
}

func runProcess(self string, p snapshotPlan, process, count int) error {
	var stderr bytes.Buffer
	cmd := exec.Command(self, "-child", strconv.Itoa(process), "-snapshots", strconv.Itoa(count), "-out", p.out, "-types", strings.Join(p.types, ","))
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("process %d: %w\n%s", process, err, tail(stderr.Bytes(), 2000))
	}
	return nil
}

func firstError(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func tail(b []byte, n int) []byte { return b[max(0, len(b)-n):] }

// takeSnapshots is the child: work goes on in the background and every window
// of CPU time is written as one snapshot of each type.
func takeSnapshots(p snapshotPlan, process int) error {
	seed := uint64(process)*7919 + 1
	r := rand.New(rand.NewPCG(seed, 99))
	runtime.GOMAXPROCS(2)
	c := startCrew(seed, 3, workloads)
	defer c.stop()
	for i := range p.total {
		name := fmt.Sprintf("p%02d-s%04d.pb.gz", process, i)
		window := time.Duration(60+r.IntN(380)) * time.Millisecond
		if err := takeSnapshot(p, c, name, window); err != nil {
			return err
		}
	}
	return nil
}

func takeSnapshot(p snapshotPlan, c *crew, name string, window time.Duration) error {
	for _, t := range p.types {
		if t == "cpu" {
			if err := snapshotCPU(filepath.Join(p.out, t, name), c, window); err != nil {
				return err
			}
		}
	}
	for _, t := range p.types {
		if t != "cpu" {
			err := writeFile(filepath.Join(p.out, t, name), func(w io.Writer) error { return pprof.Lookup(t).WriteTo(w, 0) })
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// snapshotCPU profiles until the process used `window` of CPU, so that a busy
// machine gives slower, not smaller, snapshots. The crew rests while the
// profiler winds down, which takes it up to 200 ms.
func snapshotCPU(path string, c *crew, window time.Duration) error {
	return writeFile(path, func(w io.Writer) error {
		startCPU(w, sampleHz)
		for until := cpuTime() + window; cpuTime() < until; {
			time.Sleep(5 * time.Millisecond)
		}
		c.pause()
		defer c.resume()
		pprof.StopCPUProfile()
		return nil
	})
}

// startCPU starts the profiler at a rate of our own. The runtime then warns on
// stderr that it cannot set its 100 Hz; the profile carries the true period.
func startCPU(w io.Writer, hz int) {
	if hz != 100 {
		runtime.SetCPUProfileRate(hz)
	}
	must(pprof.StartCPUProfile(w))
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
