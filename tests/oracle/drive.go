package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/google/pprof/driver"
	"github.com/google/pprof/profile"
)

// drive runs pprof's real command line driver as `pprof -proto OPTIONS`, for
// everything that lives in the driver and not in the library (tag filters,
// -normalize, unit scaling).
func drive(inputs, bases [][]byte, options map[string]string) (*profile.Profile, error) {
	run := &driverRun{options: options, sources: map[string]*profile.Profile{}}
	if err := run.add("input", inputs); err != nil {
		return nil, err
	}
	if err := run.add("base", bases); err != nil {
		return nil, err
	}
	if err := driver.PProf(&driver.Options{Flagset: run, Fetch: run, Writer: run, UI: run, Obj: noTools{}, Sym: noSymbols{}}); err != nil {
		return nil, fmt.Errorf("%w%s", err, run.said())
	}
	p, err := parse(run.out.Bytes())
	if err != nil {
		return nil, fmt.Errorf("driver wrote: %w", err)
	}
	run.dropFakeMapping(p)
	return p, nil
}

// driverRun is one run: it is the driver's flags, its fetcher, its terminal
// and its output file.
type driverRun struct {
	options  map[string]string
	sources  map[string]*profile.Profile
	names    []string
	bases    []string
	mapped   bool
	out      bytes.Buffer
	messages []string
}

func (d *driverRun) add(kind string, inputs [][]byte) error {
	for i, data := range inputs {
		p, err := parse(data)
		if err != nil {
			return fmt.Errorf("%s %d: %w", kind, i, err)
		}
		name := kind + ":" + strconv.Itoa(i)
		d.sources[name] = p
		d.mapped = d.mapped || len(p.Mapping) > 0
		if kind == "base" {
			d.bases = append(d.bases, name)
		} else {
			d.names = append(d.names, name)
		}
	}
	return nil
}

// dropFakeMapping undoes what the driver does to profiles without mappings:
// it lends them an empty one to hang a binary's name on.
func (d *driverRun) dropFakeMapping(p *profile.Profile) {
	if d.mapped {
		return
	}
	for _, l := range p.Location {
		l.Mapping = nil
	}
	p.Mapping = nil
}

func (d *driverRun) said() string {
	if len(d.messages) == 0 {
		return ""
	}
	return " (" + strings.Join(d.messages, "; ") + ")"
}

// Fetch implements driver.Fetcher.
func (d *driverRun) Fetch(name string, _, _ time.Duration) (*profile.Profile, string, error) {
	p, ok := d.sources[name]
	if !ok {
		return nil, "", fmt.Errorf("no such source %q", name)
	}
	return p, "", nil
}

// Open implements driver.Writer.
func (d *driverRun) Open(string) (io.WriteCloser, error) { return nopCloser{&d.out}, nil }

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// The flag set answers every flag itself. The driver keeps its configuration
// from run to run, so string options that are not given are set to nothing.

// Bool implements driver.FlagSet.
func (d *driverRun) Bool(name string, def bool, _ string) *bool {
	value := def
	switch name {
	case "proto":
		value = true
	case "normalize", "relative_percentages":
		value = d.options[name] == "true"
	}
	return &value
}

// Int implements driver.FlagSet.
func (d *driverRun) Int(_ string, def int, _ string) *int { return &def }

// Float64 implements driver.FlagSet.
func (d *driverRun) Float64(_ string, def float64, _ string) *float64 { return &def }

// String implements driver.FlagSet.
func (d *driverRun) String(name, def string, _ string) *string {
	value := d.options[name]
	switch name {
	case "output":
		value = "result"
	case "symbolize":
		value = "none"
	case "unit":
		value = def
	}
	return &value
}

// StringList implements driver.FlagSet.
func (d *driverRun) StringList(name, _ string, _ string) *[]*string {
	var list []*string
	if name == "diff_base" && d.options["base"] != "plain" || name == "base" && d.options["base"] == "plain" {
		for i := range d.bases {
			list = append(list, &d.bases[i])
		}
	}
	return &list
}

// Parse implements driver.FlagSet.
func (d *driverRun) Parse(func()) []string { return d.names }

// ExtraUsage implements driver.FlagSet.
func (d *driverRun) ExtraUsage() string { return "" }

// AddExtraUsage implements driver.FlagSet.
func (d *driverRun) AddExtraUsage(string) {}

// ReadLine implements driver.UI.
func (d *driverRun) ReadLine(string) (string, error) { return "", io.EOF }

// Print implements driver.UI.
func (d *driverRun) Print(args ...any) { d.PrintErr(args...) }

// PrintErr implements driver.UI.
func (d *driverRun) PrintErr(args ...any) {
	d.messages = append(d.messages, strings.TrimSpace(fmt.Sprint(args...)))
}

// IsTerminal implements driver.UI.
func (d *driverRun) IsTerminal() bool { return false }

// WantBrowser implements driver.UI.
func (d *driverRun) WantBrowser() bool { return false }

// SetAutoComplete implements driver.UI.
func (d *driverRun) SetAutoComplete(func(string) string) {}

// noTools opens no binary: a profile's file names must not reach the disk.
type noTools struct{}

func (noTools) Open(string, uint64, uint64, uint64, string) (driver.ObjFile, error) {
	return nil, errors.New("no binaries here")
}

func (noTools) Disasm(string, uint64, uint64, bool) ([]driver.Inst, error) {
	return nil, errors.New("no binaries here")
}

type noSymbols struct{}

func (noSymbols) Symbolize(string, driver.MappingSources, *profile.Profile) error { return nil }
