package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// golden is the text kept beside a profile: its verdict, then its meaning.
func golden(data []byte) string {
	p, err := parse(data)
	if err != nil {
		return fmt.Sprintf("reject: %v\n", err)
	}
	return "accept\n" + canonicalText(p)
}

func textCommand(paths []string) error {
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fmt.Print(golden(data))
	}
	return nil
}

// eachProfile calls f with the bytes of every profile in a folder and the path
// of its golden text.
func eachProfile(dir string, f func(data []byte, text string) error) error {
	paths, err := filepath.Glob(filepath.Join(dir, "*.pb*"))
	if err != nil {
		return err
	}
	if len(paths) == 0 {
		return fmt.Errorf("no profiles in %s", dir)
	}
	slices.Sort(paths)
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		base := strings.TrimSuffix(strings.TrimSuffix(path, ".gz"), ".pb")
		if err := f(data, base+".txt"); err != nil {
			return err
		}
	}
	return nil
}

// bless writes the golden text of every profile in a folder.
func bless(dir string) error {
	return eachProfile(dir, func(data []byte, text string) error {
		return os.WriteFile(text, []byte(golden(data)), 0o644)
	})
}

// verify compares instead of writing; what differs is kept in DIR/.bless.
func verify(dir string) error {
	var missed []error
	err := eachProfile(dir, func(data []byte, text string) error {
		got := []byte(golden(data))
		if want, err := os.ReadFile(text); err == nil && bytes.Equal(got, want) {
			return nil
		}
		actual := filepath.Join(dir, ".bless", filepath.Base(text))
		missed = append(missed, fmt.Errorf("%s is not what pprof says now: see %s", text, actual))
		if err := os.MkdirAll(filepath.Dir(actual), 0o755); err != nil {
			return err
		}
		return os.WriteFile(actual, got, 0o644)
	})
	return errors.Join(append(missed, err)...)
}
