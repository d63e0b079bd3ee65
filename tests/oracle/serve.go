package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/google/pprof/profile"
)

// request is one line of input. Byte slices are standard base64 in JSON.
type request struct {
	ID      json.RawMessage   `json:"id"`
	Op      string            `json:"op"`
	Inputs  [][]byte          `json:"inputs"`
	Bases   [][]byte          `json:"bases"`
	Options map[string]string `json:"options"`
	Want    []string          `json:"want"`
}

// reply is one line of output.
type reply struct {
	ID      json.RawMessage `json:"id,omitempty"`
	OK      bool            `json:"ok"`
	Error   string          `json:"error,omitempty"`
	Profile []byte          `json:"profile,omitempty"`
	Text    string          `json:"text,omitempty"`
	Totals  []string        `json:"totals,omitempty"`
	Samples int             `json:"samples"`
}

// serve answers one line per line until its input ends.
func serve(in io.Reader, out io.Writer) error {
	lines := bufio.NewReaderSize(in, 1<<20)
	w := bufio.NewWriterSize(out, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 1 {
			if err := json.NewEncoder(w).Encode(answer(line)); err != nil {
				return err
			}
			if err := w.Flush(); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func answer(line []byte) (r reply) {
	var q request
	if err := json.Unmarshal(line, &q); err != nil {
		return reply{Error: fmt.Sprintf("bad request: %v", err)}
	}
	r.ID = q.ID
	defer func() {
		if caught := recover(); caught != nil {
			r = reply{ID: q.ID, Error: fmt.Sprintf("panic: %v", caught)}
		}
	}()
	p, err := q.judge()
	if err == nil && q.Op != "check" {
		p, err = settle(p)
	}
	if err != nil {
		r.Error = err.Error()
		return r
	}
	return q.fill(r, p)
}

// judge runs the operation and gives the profile that is its result.
func (q *request) judge() (*profile.Profile, error) {
	switch q.Op {
	case "check":
		return parseOne(q.Inputs)
	case "merge":
		return mergeAll(q.Inputs)
	case "diff":
		return diff(q.Inputs, q.Bases)
	case "focus":
		return focus(q.Inputs, q.Options)
	case "driver":
		return drive(q.Inputs, q.Bases, q.Options)
	default:
		return nil, fmt.Errorf("unknown op %q", q.Op)
	}
}

func (q *request) fill(r reply, p *profile.Profile) reply {
	r.OK, r.Samples = true, len(p.Sample)
	for _, want := range q.Want {
		switch want {
		case "text":
			r.Text = canonicalText(p)
		case "totals":
			r.Totals = totals(p)
		case "profile":
			var err error
			if r.Profile, err = encode(p); err != nil {
				return reply{ID: q.ID, Error: err.Error()}
			}
		default:
			return reply{ID: q.ID, Error: fmt.Sprintf("cannot give %q", want)}
		}
	}
	return r
}
