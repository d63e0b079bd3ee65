package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/pprof/profile"
)

// canonicalText says what a profile means, and nothing else: two profiles have
// the same text exactly if they differ only in ids, table order, encoding and
// where their mappings were loaded. Samples stand as a tree, root first.
func canonicalText(p *profile.Profile) string {
	w := &textWriter{mappings: numberMappings(p)}
	w.header(p)
	w.samples(p)
	return w.b.String()
}

type textWriter struct {
	b         strings.Builder
	mappings  map[*profile.Mapping]int
	locations map[*profile.Location]string
}

func (w *textWriter) line(format string, args ...any) {
	fmt.Fprintf(&w.b, format+"\n", args...)
}

func (w *textWriter) header(p *profile.Profile) {
	w.line("period %d %s", p.Period, valueType(p.PeriodType))
	w.line("time %d duration %d", p.TimeNanos, p.DurationNanos)
	w.optional("default_sample_type", p.DefaultSampleType)
	w.optional("doc_url", p.DocURL)
	w.optional("drop_frames", p.DropFrames)
	w.optional("keep_frames", p.KeepFrames)
	for _, c := range p.Comments {
		w.line("comment %s", quote(c))
	}
	for i, t := range totals(p) {
		w.line("sample_type %d %s total %s", i, valueType(p.SampleType[i]), t)
	}
	w.mappingTable(p)
}

func (w *textWriter) optional(name, value string) {
	if value != "" {
		w.line("%s %s", name, quote(value))
	}
}

// mappingTable lists the mappings by meaning. M1 is not the first of the file:
// that one is marked, because viewers take it for the main binary.
func (w *textWriter) mappingTable(p *profile.Profile) {
	for _, m := range sortedMappings(p) {
		first := ""
		if m == p.Mapping[0] {
			first = " first"
		}
		w.line("mapping M%d %s%s", w.mappings[m], mappingText(m), first)
	}
}

func (w *textWriter) samples(p *profile.Profile) {
	w.locations = make(map[*profile.Location]string, len(p.Location))
	rows := make([]row, len(p.Sample))
	for i, s := range p.Sample {
		rows[i] = w.row(s)
	}
	slices.SortFunc(rows, compareRows)
	w.line("samples %d", len(rows))
	var path []string
	for _, r := range rows {
		w.branch(path, r.stack)
		path = r.stack
		w.line("%d= %s", len(r.stack), strings.TrimSpace(valuesText(r.values)+" "+r.labels))
	}
}

// branch writes the frames of `stack` that the path before it did not share.
func (w *textWriter) branch(path, stack []string) {
	shared := 0
	for shared < len(path) && shared < len(stack) && path[shared] == stack[shared] {
		shared++
	}
	for depth := shared; depth < len(stack); depth++ {
		w.line("%d %s", depth+1, stack[depth])
	}
}

// row is one sample made comparable.
type row struct {
	stack  []string // root first
	labels string
	values []int64
}

func compareRows(a, b row) int {
	return cmp.Or(slices.Compare(a.stack, b.stack), cmp.Compare(a.labels, b.labels), slices.Compare(a.values, b.values))
}

func (w *textWriter) row(s *profile.Sample) row {
	r := row{labels: labelsText(s), values: s.Value}
	for _, l := range slices.Backward(s.Location) {
		text, ok := w.locations[l]
		if !ok {
			text = w.locationText(l)
			w.locations[l] = text
		}
		r.stack = append(r.stack, text)
	}
	return r
}

// locationText names a location: its lines from the innermost inlined call
// outward, then its address relative to its mapping.
func (w *textWriter) locationText(l *profile.Location) string {
	var parts []string
	for _, line := range l.Line {
		parts = append(parts, lineText(line))
	}
	text := strings.Join(parts, " <- ")
	switch {
	case l.Mapping != nil:
		text += fmt.Sprintf(" +%#x M%d", l.Address-l.Mapping.Start, w.mappings[l.Mapping])
	case l.Address != 0:
		text += fmt.Sprintf(" @%#x", l.Address)
	}
	if l.IsFolded {
		text += " folded"
	}
	return strings.TrimSpace(text)
}

func lineText(line profile.Line) string {
	f := line.Function
	if f == nil {
		return "??"
	}
	text := fmt.Sprintf("%s %s:%d", quote(f.Name), quote(f.Filename), line.Line)
	if line.Column != 0 {
		text += fmt.Sprintf(":%d", line.Column)
	}
	if f.StartLine != 0 {
		text += fmt.Sprintf(" start=%d", f.StartLine)
	}
	if f.SystemName != f.Name {
		text += " sys=" + quote(f.SystemName)
	}
	return text
}

func labelsText(s *profile.Sample) string {
	var parts []string
	for key, values := range s.Label {
		var quoted []string
		for _, v := range values {
			quoted = append(quoted, quote(v))
		}
		parts = append(parts, quote(key)+"="+strings.Join(quoted, ","))
	}
	for key, values := range s.NumLabel {
		parts = append(parts, quote(key)+"#"+numbersText(values, s.NumUnit[key]))
	}
	slices.Sort(parts)
	return strings.Join(parts, " ")
}

func numbersText(values []int64, units []string) string {
	var parts []string
	for i, v := range values {
		text := strconv.FormatInt(v, 10)
		if i < len(units) {
			text += "[" + quote(units[i]) + "]"
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ",")
}

func valuesText(values []int64) string {
	var parts []string
	for _, v := range values {
		parts = append(parts, strconv.FormatInt(v, 10))
	}
	return strings.Join(parts, " ")
}

func valueType(t *profile.ValueType) string {
	if t == nil {
		return "/"
	}
	return quote(t.Type) + "/" + quote(t.Unit)
}

// mappingText gives the size as Merge compares it, rounded up to 4 KiB.
func mappingText(m *profile.Mapping) string {
	size := m.Limit - m.Start + 0xfff
	text := fmt.Sprintf("size=%#x offset=%#x file=%s build_id=%s", size-size%0x1000, m.Offset, quote(m.File), quote(m.BuildID))
	for _, flag := range []struct {
		on   bool
		name string
	}{{m.HasFunctions, "functions"}, {m.HasFilenames, "filenames"}, {m.HasLineNumbers, "lines"}, {m.HasInlineFrames, "inline"}} {
		if flag.on {
			text += " " + flag.name
		}
	}
	return text
}

func sortedMappings(p *profile.Profile) []*profile.Mapping {
	return slices.SortedStableFunc(slices.Values(p.Mapping), func(a, b *profile.Mapping) int {
		return cmp.Or(cmp.Compare(mappingText(a), mappingText(b)), cmp.Compare(a.Start, b.Start))
	})
}

func numberMappings(p *profile.Profile) map[*profile.Mapping]int {
	numbers := make(map[*profile.Mapping]int, len(p.Mapping))
	for i, m := range sortedMappings(p) {
		numbers[m] = i + 1
	}
	return numbers
}

// quote leaves plain ASCII words bare and escapes everything else.
func quote(s string) string {
	plain := func(r rune) bool { return r > ' ' && r < 0x7f && r != '"' && r != '\\' }
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return strconv.QuoteToASCII(s)
}
