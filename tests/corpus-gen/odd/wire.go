package main

import (
	"encoding/binary"
	"slices"
)

// msg is a protobuf message being written by hand, so that it can also be
// written wrongly.
type msg struct{ b []byte }

func (m *msg) tag(field, wireType int) *msg {
	m.b = binary.AppendUvarint(m.b, uint64(field)<<3|uint64(wireType))
	return m
}

// num writes a varint field; like protobuf itself it writes zeros only if told
// to by numAlways.
func (m *msg) num(field int, v int64) *msg {
	if v == 0 {
		return m
	}
	return m.numAlways(field, v)
}

func (m *msg) numAlways(field int, v int64) *msg {
	m.tag(field, 0)
	m.b = binary.AppendUvarint(m.b, uint64(v))
	return m
}

func (m *msg) bytes(field int, b []byte) *msg {
	m.tag(field, 2)
	m.b = binary.AppendUvarint(m.b, uint64(len(b)))
	m.b = append(m.b, b...)
	return m
}

func (m *msg) sub(field int, s *msg) *msg { return m.bytes(field, s.b) }

func (m *msg) packed(field int, vs ...int64) *msg {
	if len(vs) == 0 {
		return m
	}
	var b []byte
	for _, v := range vs {
		b = binary.AppendUvarint(b, uint64(v))
	}
	return m.bytes(field, b)
}

// unknown adds one field of every wire type with numbers no schema has.
func (m *msg) unknown() *msg {
	m.num(1000, 5).bytes(1001, []byte("from a later version"))
	m.tag(1002, 1)
	m.b = binary.LittleEndian.AppendUint64(m.b, 42)
	m.tag(1003, 5)
	m.b = binary.LittleEndian.AppendUint32(m.b, 42)
	return m
}

func (m *msg) raw(b ...byte) *msg {
	m.b = append(m.b, b...)
	return m
}

// draft is a profile by parts. Each part is written as it stands; nothing
// checks that they fit together.
type draft struct {
	strings   []string
	types     []*msg
	samples   []*msg
	mappings  []*msg
	locations []*msg
	functions []*msg
	rest      *msg
}

// encode writes the parts in the order of their field numbers.
func (d *draft) encode() []byte {
	m := &msg{}
	for field, parts := range [][]*msg{d.types, d.samples, d.mappings, d.locations, d.functions} {
		for _, part := range parts {
			m.sub(field+1, part)
		}
	}
	for _, s := range d.strings {
		m.bytes(6, []byte(s))
	}
	return append(m.b, d.rest.b...)
}

// str gives a string's place in the table, adding it if need be.
func (d *draft) str(s string) int64 {
	if i := slices.Index(d.strings, s); i >= 0 {
		return int64(i)
	}
	d.strings = append(d.strings, s)
	return int64(len(d.strings) - 1)
}

func (d *draft) valueType(kind, unit string) *msg {
	return new(msg).num(1, d.str(kind)).num(2, d.str(unit))
}

func (d *draft) function(id int64, name, file string, start int64) *msg {
	return new(msg).num(1, id).num(2, d.str(name)).num(3, d.str(name)).num(4, d.str(file)).num(5, start)
}

func (d *draft) mapping(id, start, limit, offset int64, file, buildID string) *msg {
	return new(msg).num(1, id).num(2, start).num(3, limit).num(4, offset).num(5, d.str(file)).num(6, d.str(buildID)).num(7, 1)
}

func location(id, mapping, address int64, lines ...*msg) *msg {
	m := new(msg).num(1, id).num(2, mapping).num(3, address)
	for _, l := range lines {
		m.sub(4, l)
	}
	return m
}

func line(function, number, column int64) *msg {
	return new(msg).num(1, function).num(2, number).num(3, column)
}

func sample(locations, values []int64, labels ...*msg) *msg {
	m := new(msg).packed(1, locations...).packed(2, values...)
	for _, l := range labels {
		m.sub(3, l)
	}
	return m
}

func (d *draft) strLabel(key, value string) *msg {
	return new(msg).num(1, d.str(key)).num(2, d.str(value))
}

func (d *draft) numLabel(key string, value int64, unit string) *msg {
	return new(msg).num(1, d.str(key)).num(3, value).num(4, d.str(unit))
}
