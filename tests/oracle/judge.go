package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/big"
	"regexp"
	"slices"

	"github.com/google/pprof/profile"
)

// parse is profile.ParseData without its fallback to legacy text formats,
// which would hide the protobuf decoder's own words.
func parse(data []byte) (*profile.Profile, error) {
	if len(data) >= 2 && data[0] == 0x1f && data[1] == 0x8b {
		var err error
		if data, err = gunzip(data); err != nil {
			return nil, fmt.Errorf("decompressing profile: %w", err)
		}
	}
	p, err := profile.ParseUncompressed(data)
	if err != nil {
		return nil, fmt.Errorf("parsing profile: %w", err)
	}
	if err := p.CheckValid(); err != nil {
		return nil, fmt.Errorf("malformed profile: %w", err)
	}
	return p, nil
}

func gunzip(data []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func parseAll(inputs [][]byte) ([]*profile.Profile, error) {
	var all []*profile.Profile
	for i, data := range inputs {
		p, err := parse(data)
		if err != nil {
			return nil, fmt.Errorf("input %d: %w", i, err)
		}
		all = append(all, p)
	}
	return all, nil
}

func parseOne(inputs [][]byte) (*profile.Profile, error) {
	if len(inputs) != 1 {
		return nil, fmt.Errorf("want one input, got %d", len(inputs))
	}
	return parse(inputs[0])
}

func mergeAll(inputs [][]byte) (*profile.Profile, error) {
	all, err := parseAll(inputs)
	if err != nil {
		return nil, err
	}
	return profile.Merge(all)
}

// diff is what the driver does for -diff_base: label the base, negate, merge.
func diff(inputs, bases [][]byte) (*profile.Profile, error) {
	source, err := mergeAll(inputs)
	if err != nil {
		return nil, err
	}
	base, err := mergeAll(bases)
	if err != nil {
		return nil, fmt.Errorf("base: %w", err)
	}
	base.SetLabel("pprof::base", []string{"true"})
	base.Scale(-1)
	return profile.Merge([]*profile.Profile{source, base})
}

// focus applies the library's frame filters in the driver's order.
func focus(inputs [][]byte, options map[string]string) (*profile.Profile, error) {
	p, err := parseOne(inputs)
	if err != nil {
		return nil, err
	}
	rx, err := compileAll(options, "focus", "ignore", "hide", "show", "show_from", "prune_from")
	if err != nil {
		return nil, err
	}
	p.FilterSamplesByName(rx["focus"], rx["ignore"], rx["hide"], rx["show"])
	p.ShowFrom(rx["show_from"])
	if rx["prune_from"] != nil {
		p.PruneFrom(rx["prune_from"])
	}
	return p, nil
}

func compileAll(options map[string]string, known ...string) (map[string]*regexp.Regexp, error) {
	compiled := map[string]*regexp.Regexp{}
	for _, name := range known {
		if text := options[name]; text != "" {
			rx, err := regexp.Compile(text)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			compiled[name] = rx
		}
	}
	for name := range options {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("unknown option %q", name)
		}
	}
	return compiled, nil
}

// settle gives what a reader of the written result has: written, read and
// compacted. It forgets what a file cannot hold (a label of an empty string)
// and what no sample needs.
func settle(p *profile.Profile) (*profile.Profile, error) {
	data, err := encode(p)
	if err != nil {
		return nil, err
	}
	back, err := profile.ParseUncompressed(data)
	if err != nil {
		return nil, fmt.Errorf("pprof cannot read what it wrote: %w", err)
	}
	return back.Compact(), nil
}

// totals sums every sample type without wrapping.
func totals(p *profile.Profile) []string {
	sums := make([]big.Int, len(p.SampleType))
	for _, s := range p.Sample {
		for i, v := range s.Value {
			sums[i].Add(&sums[i], big.NewInt(v))
		}
	}
	texts := make([]string, len(sums))
	for i := range sums {
		texts[i] = sums[i].String()
	}
	return texts
}

func encode(p *profile.Profile) ([]byte, error) {
	if p == nil {
		return nil, errors.New("no profile")
	}
	var b bytes.Buffer
	if err := p.WriteUncompressed(&b); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
