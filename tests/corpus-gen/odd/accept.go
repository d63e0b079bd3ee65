package main

import (
	"math"
	"strings"
)

// plain is the well-formed profile that most odd ones are a change of: two
// types, three stacks over three functions of one binary.
func plain() *draft {
	d := &draft{strings: []string{""}, rest: &msg{}}
	d.types = []*msg{d.valueType("samples", "count"), d.valueType("cpu", "nanoseconds")}
	d.mappings = []*msg{d.mapping(1, 0x400000, 0x500000, 0, "/opt/app/server", "b0b0")}
	for i, name := range []string{"main.main", "main.serve", "main.parse"} {
		id := int64(i + 1)
		d.functions = append(d.functions, d.function(id, name, "server.go", 10*id))
		d.locations = append(d.locations, location(id, 1, 0x400000+0x100*id, line(id, 10*id+5, 0)))
	}
	d.samples = []*msg{
		sample([]int64{3, 2, 1}, []int64{4, 40_000_000}),
		sample([]int64{2, 1}, []int64{2, 20_000_000}, d.strLabel("handler", "index")),
		sample([]int64{1}, []int64{1, 10_000_000}),
	}
	d.rest.num(9, 1_750_000_000_000_000_000).num(10, 1_000_000_000).sub(11, d.valueType("cpu", "nanoseconds")).num(12, 10_000_000)
	return d
}

func acceptCases() []odd {
	return []odd{
		{"plain", "the well-formed profile the others are changes of", plain().encode()},
		{"no-samples", "types and tables, no sample", change(func(d *draft) { d.samples = nil })},
		{"no-types", "no sample types, and no samples either", change(func(d *draft) { d.types, d.samples = nil, nil })},
		{"only-strings", "nothing but a string table of one empty string", new(msg).bytes(6, nil).b},
		{"no-period", "neither period type nor period, duration or time", change(func(d *draft) { d.rest = &msg{} })},
		{"negative", "values of both signs, as diffs have", change(negative)},
		{"zero-samples", "samples whose values are all zero, which Merge drops", change(zeroSamples)},
		{"extreme-values", "the largest and smallest int64", change(extremeValues)},
		{"same-stack-twice", "one stack in several samples, which Merge adds up", change(sameStackTwice)},
		{"unknown-fields", "fields of a later schema in every message", change(unknownFields)},
		{"missing-mapping", "locations naming a mapping that is not there", change(missingMapping)},
		{"no-mappings", "no mapping table at all; functions only", change(noMappings)},
		{"no-lines", "addresses without symbols", change(noLines)},
		{"inline-columns", "inlined lines and columns; two locations differ in a column only", change(inlineColumns)},
		{"folded", "is_folded tells two else equal locations apart", change(folded)},
		{"labels", "numbers with and without units, repeated keys, a key that is both, zeros", change(labels)},
		{"label-order", "the same labels in another order are the same; other values are not", change(labelOrder)},
		{"huge-names", "a name of 20 000 characters", change(hugeNames)},
		{"non-utf8", "names, files and labels that are not UTF-8, with control characters", change(nonUTF8)},
		{"markup-names", "names that try to be HTML, terminal escapes and folded stacks", change(markupNames)},
		{"duplicate-strings", "one string at two places of the table", change(duplicateStrings)},
		{"duplicate-entities", "equal functions, locations and mappings under other ids", change(duplicateEntities)},
		{"unused", "functions, locations and mappings no sample needs", change(unused)},
		{"wide-ids", "ids near 2^64, far from dense", change(wideIDs)},
		{"deep", "a recursion 3 000 frames deep", change(deep)},
		{"empty-stack", "a sample without locations", change(func(d *draft) { d.samples = append(d.samples, sample(nil, []int64{1, 1})) })},
		{"unpacked", "repeated numbers one by one instead of packed", change(unpacked)},
		{"reversed-fields", "the string table first and the samples last", reversed(plain())},
		{"long-varints", "numbers padded to ten bytes", change(longVarints)},
		{"repeated-scalars", "scalars given twice, of which the last holds", change(repeatedScalars)},
		{"headers", "comments (one twice), default type, doc url, drop and keep frames", change(headers)},
		{"kernel", "a kernel mapping with its relocation symbol", change(kernel)},
		{"aslr-a", "one binary and library, loaded somewhere …", aslr(0)},
		{"aslr-b", "… and elsewhere: merging a and b doubles the values", aslr(0x7f0000)},
		{"other-build", "the same file as plain under another build id", change(otherBuild)},
	}
}

func change(f func(*draft)) []byte {
	d := plain()
	f(d)
	return d.encode()
}

func negative(d *draft) {
	d.samples = append(d.samples, sample([]int64{3, 1}, []int64{-7, -70}), sample([]int64{2}, []int64{-1, 5}))
}

func zeroSamples(d *draft) {
	d.samples = append(d.samples, sample([]int64{3}, []int64{0, 0}), sample([]int64{2}, []int64{0, 1}))
	d.samples = append(d.samples, sample([]int64{3, 2}, []int64{5, -5}), sample([]int64{3, 2}, []int64{-5, 5}))
}

func extremeValues(d *draft) {
	d.samples = []*msg{sample([]int64{1}, []int64{math.MaxInt64, math.MinInt64}), sample([]int64{2}, []int64{1, -1})}
}

func sameStackTwice(d *draft) {
	d.samples = append(d.samples, d.samples...)
	d.samples = append(d.samples, sample([]int64{1}, []int64{5, 5}))
}

func unknownFields(d *draft) {
	for _, parts := range [][]*msg{d.types, d.samples, d.mappings, d.locations, d.functions, {d.rest}} {
		for _, part := range parts {
			part.unknown()
		}
	}
	d.locations[0].sub(4, line(2, 7, 0).unknown())
	d.samples[0].sub(3, d.strLabel("tenant", "acme").unknown())
}

func missingMapping(d *draft) {
	d.locations[0] = location(1, 77, 0x1234, line(1, 3, 0))
	d.locations[1] = location(2, math.MaxInt64, 0x5678, line(2, 4, 0))
}

func noMappings(d *draft) {
	d.mappings = nil
	for i := range d.locations {
		d.locations[i] = location(int64(i+1), 0, 0, line(int64(i+1), 5, 0))
	}
}

func noLines(d *draft) {
	d.functions = nil
	for i := range d.locations {
		d.locations[i] = location(int64(i+1), 1, 0x400010*int64(i+1))
	}
}

func inlineColumns(d *draft) {
	d.locations[1] = location(2, 1, 0x400200, line(3, 7, 12), line(2, 25, 3))
	d.locations = append(d.locations, location(4, 1, 0x400200, line(3, 7, 12), line(2, 25, 9)), location(5, 1, 0x400200, line(3, 7, 13), line(2, 25, 3)))
	d.samples = append(d.samples, sample([]int64{4, 1}, []int64{8, 80}), sample([]int64{5, 1}, []int64{16, 160}), sample([]int64{2, 1}, []int64{32, 320}))
}

func folded(d *draft) {
	d.locations = append(d.locations, location(4, 1, 0x400100, line(1, 15, 0)).num(5, 1))
	d.samples = append(d.samples, sample([]int64{4}, []int64{9, 90}))
}

func labels(d *draft) {
	d.samples = []*msg{
		sample([]int64{1}, []int64{1, 1}, d.numLabel("bytes", 512, "bytes")),
		sample([]int64{1}, []int64{2, 2}, d.numLabel("bytes", 512, "")),
		sample([]int64{1}, []int64{3, 3}, d.numLabel("bytes", 512, "kilobytes")),
		sample([]int64{1}, []int64{4, 4}, d.numLabel("bytes", 1, ""), d.numLabel("bytes", 2, "bytes"), d.numLabel("bytes", 3, "")),
		sample([]int64{1}, []int64{5, 5}, d.numLabel("lost", 0, "")),
		sample([]int64{1}, []int64{6, 6}, d.numLabel("kept", 0, "seconds")),
		sample([]int64{1}, []int64{7, 7}, d.numLabel("minus", -3, "seconds")),
		sample([]int64{1}, []int64{8, 8}, d.strLabel("tenant", "acme"), d.strLabel("tenant", "globex")),
		sample([]int64{1}, []int64{9, 9}, d.strLabel("both", "text"), d.numLabel("both", 4, "")),
		sample([]int64{1}, []int64{10, 10}, d.strLabel("both", "text").num(3, 4).num(4, d.str("bytes"))),
		sample([]int64{1}, []int64{11, 11}, d.strLabel("", "no key")),
		sample([]int64{1}, []int64{12, 12}, new(msg)),
	}
}

func labelOrder(d *draft) {
	a, b, n := d.strLabel("a", "1"), d.strLabel("b", "2"), d.numLabel("n", 3, "")
	d.samples = []*msg{
		sample([]int64{1}, []int64{1, 10}, a, b, n), sample([]int64{1}, []int64{2, 20}, n, b, a),
		sample([]int64{1}, []int64{4, 40}, a, d.strLabel("b", "1"), n), sample([]int64{1}, []int64{8, 80}, a, a, b, n),
		sample([]int64{1}, []int64{16, 160}, d.strLabel("k", "x"), d.strLabel("k", "y")), sample([]int64{1}, []int64{32, 320}, d.strLabel("k", "y"), d.strLabel("k", "x")),
	}
}

func hugeNames(d *draft) {
	d.functions[1] = d.function(2, "main."+strings.Repeat("Very", 5000), "server.go", 20)
}

func nonUTF8(d *draft) {
	d.functions[1] = d.function(2, "main.\xff\xfe\x80", "se\x00rver\xc3.go", 20)
	d.functions[2] = d.function(3, "main.\xed\xa0\x80\xf4\x90\x80\x80", "a\nb\tc", 30)
	d.samples[0].sub(3, d.strLabel("tena\xf0nt", "ac\x1b[31mme\xf0"))
	d.rest.packed(13, d.str("comment \xc0\xaf"))
}

func markupNames(d *draft) {
	d.functions[0] = d.function(1, `<script>alert("1")</script>&amp;`, "']]>--><x>", 10)
	d.functions[1] = d.function(2, "\x1b]0;title\x07main.serve;main.fake 12", "a;b c", 20)
	d.functions[2] = d.function(3, "\u202emain.esrap\u2066 {{constructor}} ${x}", "../../etc/passwd", 30)
	d.samples[0].sub(3, d.strLabel(`"><img src=x>`, "a=b,c={d}"))
}

func duplicateStrings(d *draft) {
	d.strings = append(d.strings, "main.main", "server.go", "")
	n := int64(len(d.strings))
	d.functions = append(d.functions, new(msg).num(1, 4).num(2, n-3).num(3, n-3).num(4, n-2).num(5, 10))
	d.locations = append(d.locations, location(4, 1, 0x400100, line(4, 15, 0)))
	d.samples = append(d.samples, sample([]int64{4}, []int64{5, 50}), sample([]int64{1}, []int64{6, 60}, new(msg).num(1, d.str("empty")).num(2, n-1)))
}

func duplicateEntities(d *draft) {
	d.mappings = append(d.mappings, d.mapping(2, 0x800000, 0x900000, 0, "/opt/app/server", "b0b0"))
	d.functions = append(d.functions, d.function(9, "main.main", "server.go", 10))
	d.locations = append(d.locations, location(9, 1, 0x400100, line(9, 15, 0)), location(10, 2, 0x800100, line(1, 15, 0)))
	d.samples = append(d.samples, sample([]int64{9}, []int64{2, 2}), sample([]int64{10}, []int64{4, 4}))
}

func unused(d *draft) {
	d.mappings = append(d.mappings, d.mapping(2, 0x7f0000, 0x7f8000, 0, "libunused.so", ""))
	d.functions = append(d.functions, d.function(4, "main.unused", "server.go", 99))
	d.locations = append(d.locations, location(4, 2, 0x7f0001, line(4, 100, 0)))
}

func wideIDs(d *draft) {
	const wide = -5 // 2^64 - 5 as an unsigned varint
	d.mappings = append(d.mappings, d.mapping(wide, 0x600000, 0x700000, 0x1000, "libwide.so", ""))
	d.functions = append(d.functions, d.function(wide, "wide", "wide.c", 1))
	d.locations = append(d.locations, location(wide, wide, 0x600010, line(wide, 2, 0)), location(1<<40, wide, 0x600020, line(wide, 3, 0)))
	d.samples = append(d.samples, sample([]int64{wide, 1 << 40, 1}, []int64{3, 30}))
}

func deep(d *draft) {
	stack := make([]int64, 3000)
	for i := range stack {
		stack[i] = int64(2 + i%2)
	}
	d.samples = append(d.samples, sample(append(stack, 1), []int64{1, 10}))
}

func unpacked(d *draft) {
	d.samples[0] = new(msg).num(1, 3).num(1, 2).num(1, 1).num(2, 4).num(2, 40_000_000)
	d.samples[1] = new(msg).num(1, 2).packed(1, 1).packed(2, 2).num(2, 20_000_000)
	d.rest.num(13, d.str("one")).num(13, d.str("two"))
}

// reversed writes the parts from the last field to the first.
func reversed(d *draft) []byte {
	m := new(msg).raw(d.rest.b...)
	for _, s := range d.strings {
		m.bytes(6, []byte(s))
	}
	parts := [][]*msg{d.types, d.samples, d.mappings, d.locations, d.functions}
	for i := len(parts) - 1; i >= 0; i-- {
		for _, part := range parts[i] {
			m.sub(i+1, part)
		}
	}
	return m.b
}

func longVarints(d *draft) {
	d.samples[2] = new(msg).packed(1, 1).tag(2, 0).raw(0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00)
	d.samples[2].tag(2, 0).raw(0x85, 0x80, 0x00)
}

func repeatedScalars(d *draft) {
	d.functions[0].num(5, 77)
	d.rest.num(12, 5).num(12, 20_000_000).sub(11, d.valueType("wall", "nanoseconds"))
}

func headers(d *draft) {
	d.rest.packed(13, d.str("built with love"), d.str("second"), d.str("built with love"))
	d.rest.num(14, d.str("cpu")).num(15, d.str("https://example.org/doc")).num(7, d.str("main\\.par.*")).num(8, d.str("main\\.parse"))
}

func kernel(d *draft) {
	d.mappings = append(d.mappings, d.mapping(2, -0x80000000, -0x1000, 0, "[kernel.kallsyms]_text", ""))
	d.functions = append(d.functions, d.function(4, "do_syscall_64", "", 0))
	d.locations = append(d.locations, location(4, 2, -0x7fff0000, line(4, 0, 0)))
	d.samples = append(d.samples, sample([]int64{4, 1}, []int64{3, 30}))
}

func aslr(shift int64) []byte {
	return change(func(d *draft) {
		lib := 0x7f0000000000 + shift<<12
		d.mappings = append(d.mappings, d.mapping(2, lib, lib+0x21000-shift%7, 0x2000, "/lib/libm.so", "feed"))
		d.locations = append(d.locations, location(4, 2, lib+0x30), location(5, 2, lib+0x40))
		d.samples = append(d.samples, sample([]int64{4, 1}, []int64{1, 10}), sample([]int64{5, 2, 1}, []int64{2, 20}))
	})
}

func otherBuild(d *draft) {
	d.mappings[0] = d.mapping(1, 0x400000, 0x500000, 0, "/opt/app/server", "cafe")
	d.rest.packed(13, d.str("build cafe"))
}
