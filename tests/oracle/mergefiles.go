package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/google/pprof/profile"
)

// cost is what merging a folder took, for a bench to print beside its own.
type cost struct {
	Inputs    int     `json:"inputs"`
	BytesIn   int64   `json:"bytes_in"`  // as stored, so usually gzip
	BytesOut  int64   `json:"bytes_out"` // gzip
	Samples   int     `json:"samples"`
	Locations int     `json:"locations"`
	Functions int     `json:"functions"`
	CPUMs     float64 `json:"cpu_ms"` // user + system, all threads, GC included
	ParseMs   float64 `json:"parse_ms"`
	MergeMs   float64 `json:"merge_ms"`
	WriteMs   float64 `json:"write_ms"`
	MaxRSSKb  int64   `json:"max_rss_kb"`
	Procs     int     `json:"gomaxprocs"`
}

// mergeFilesCommand is `oracle merge-files [-procs N] [-limit N] DIR OUT`.
func mergeFilesCommand(args []string) error {
	flags := flag.NewFlagSet("merge-files", flag.ExitOnError)
	procs := flags.Int("procs", 1, "GOMAXPROCS; 0 leaves Go's own choice")
	limit := flags.Int("limit", 0, "merge only the first N files by name; 0 means all")
	flags.Parse(args)
	if flags.NArg() != 2 {
		return fmt.Errorf("usage: oracle merge-files [-procs N] [-limit N] DIR OUT.pb.gz")
	}
	if *procs > 0 {
		runtime.GOMAXPROCS(*procs)
	}
	paths, err := profilePaths(flags.Arg(0), *limit)
	if err != nil {
		return err
	}
	c, err := mergeFiles(paths, flags.Arg(1))
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(c)
}

func profilePaths(dir string, limit int) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.pb.gz"))
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("no .pb.gz files in %s", dir)
	}
	slices.Sort(paths)
	if limit > 0 && limit < len(paths) {
		paths = paths[:limit]
	}
	return paths, nil
}

func mergeFiles(paths []string, out string) (*cost, error) {
	c := &cost{Inputs: len(paths), Procs: runtime.GOMAXPROCS(0)}
	start := cpuMs()
	inputs, err := parseFiles(paths, &c.BytesIn)
	if err != nil {
		return nil, err
	}
	parsed := cpuMs()
	merged, err := profile.Merge(inputs)
	if err != nil {
		return nil, err
	}
	mergedAt := cpuMs()
	if c.BytesOut, err = writeProfile(out, merged); err != nil {
		return nil, err
	}
	end := cpuMs()
	c.ParseMs, c.MergeMs, c.WriteMs, c.CPUMs = parsed-start, mergedAt-parsed, end-mergedAt, end-start
	c.Samples, c.Locations, c.Functions = len(merged.Sample), len(merged.Location), len(merged.Function)
	c.MaxRSSKb = peakRSSKb()
	return c, nil
}

func parseFiles(paths []string, bytesIn *int64) ([]*profile.Profile, error) {
	var all []*profile.Profile
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		*bytesIn += int64(len(data))
		p, err := profile.ParseData(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, p)
	}
	return all, nil
}

func writeProfile(path string, p *profile.Profile) (int64, error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if err := p.Write(f); err != nil {
		return 0, err
	}
	n, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	return n, f.Close()
}

func cpuMs() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e6
}

// peakRSSKb reads VmHWM: unlike ru_maxrss it does not carry over the size of
// the process that started this one.
func peakRSSKb() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err == nil {
		for line := range strings.Lines(string(status)) {
			if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
				kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
				return kb
			}
		}
	}
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return u.Maxrss
}
