package main

func rejectCases() []odd {
	return []odd{
		{"empty", "no bytes at all", nil},
		{"truncated", "cut in the middle of a message", plain().encode()[:150]},
		{"garbage", "text that is no profile", []byte("this is not a profile, it is a sentence\n")},
		{"no-string-table", "no string table", change(func(d *draft) { d.strings = nil })},
		{"string0", "the first string is not empty", change(func(d *draft) { d.strings[0] = "zero" })},
		{"string-out-of-range", "a name past the end of the string table", change(func(d *draft) { d.functions[0] = new(msg).num(1, 1).num(2, 999) })},
		{"string-negative", "a name before the start of the string table", change(func(d *draft) { d.functions[0] = new(msg).num(1, 1).num(2, -1) })},
		{"label-out-of-range", "a label past the end of the string table", change(func(d *draft) { d.samples[0].sub(3, new(msg).num(1, 998).num(2, 1)) })},
		{"comment-out-of-range", "a comment past the end of the string table", change(func(d *draft) { d.rest.packed(13, 997) })},
		{"missing-types", "samples but no sample types", change(func(d *draft) { d.types = nil })},
		{"too-few-values", "one value for two types", change(func(d *draft) { d.samples[1] = sample([]int64{1}, []int64{5}) })},
		{"too-many-values", "three values for two types", change(func(d *draft) { d.samples[1] = sample([]int64{1}, []int64{5, 5, 5}) })},
		{"dangling-location", "a sample naming a location that is not there", change(func(d *draft) { d.samples[0] = sample([]int64{1, 99}, []int64{1, 1}) })},
		{"sample-location-0", "a sample naming location 0", change(func(d *draft) { d.samples[0] = new(msg).raw(0x0a, 2, 1, 0).packed(2, 1, 1) })},
		{"dangling-function", "a line naming a function that is not there", change(func(d *draft) { d.locations[0] = location(1, 1, 5, line(99, 1, 0)) })},
		{"line-without-function", "a line of no function", change(func(d *draft) { d.locations[0] = location(1, 1, 5, line(0, 1, 0)) })},
		{"location-id-0", "a location with the reserved id 0", change(func(d *draft) { d.locations = append(d.locations, location(0, 1, 5, line(1, 1, 0))) })},
		{"function-id-0", "a function with the reserved id 0, as one .NET tool writes", change(func(d *draft) { d.functions = append(d.functions, d.function(0, "zero", "", 0)) })},
		{"mapping-id-0", "a mapping with the reserved id 0", change(func(d *draft) { d.mappings = append(d.mappings, d.mapping(0, 1, 2, 0, "zero", "")) })},
		{"duplicate-location", "two locations with one id", change(func(d *draft) { d.locations = append(d.locations, location(2, 1, 9, line(1, 9, 0))) })},
		{"duplicate-function", "two functions with one id", change(func(d *draft) { d.functions = append(d.functions, d.function(2, "again", "", 0)) })},
		{"duplicate-mapping", "two mappings with one id", change(func(d *draft) { d.mappings = append(d.mappings, d.mapping(1, 1, 2, 0, "again", "")) })},
		{"concatenated", "two profiles after one another", append(plain().encode(), plain().encode()...)},
		{"wrong-wire-type", "a message where the schema has a number", change(func(d *draft) { d.rest.bytes(12, []byte("x")) })},
		{"group", "the group wire type, which proto3 does not have", change(func(d *draft) { d.rest.tag(1000, 3).tag(1000, 4) })},
		{"overlong-varint", "a number of eleven bytes", change(func(d *draft) {
			d.rest.tag(12, 0).raw(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1)
		})},
		{"length-past-end", "a length far past the end of the file", change(func(d *draft) { d.rest.tag(2, 2).raw(0xff, 0xff, 0xff, 0xff, 0x0f) })},
	}
}
