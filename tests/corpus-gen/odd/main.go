// Command odd writes the odd profiles of the corpus by hand: valid but rare
// ones, invalid ones, and strange gzip around them.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
)

// odd is one file: its name, why it is there, and its protobuf bytes.
type odd struct {
	name, why string
	data      []byte
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "odd:", err)
		os.Exit(1)
	}
}

func run() error {
	out := flag.String("out", "", "folder to write the odd profiles into")
	list := flag.Bool("list", false, "print name and reason of each as rows of a table")
	bomb := flag.String("bomb", "", "write a decompression bomb to this file instead")
	mib := flag.Int64("mib", 4096, "what the bomb inflates to, in MiB")
	flag.Parse()
	if *bomb != "" {
		return writeBomb(*bomb, *mib<<20)
	}
	if *out == "" && !*list {
		return fmt.Errorf("need -out DIR, -list or -bomb FILE")
	}
	for _, file := range allFiles() {
		if *list {
			fmt.Printf("| `%s` | %s |\n", file.name, file.why)
		} else if err := os.WriteFile(filepath.Join(*out, file.name), file.data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// allFiles gives every file under its full name. Protobuf oddities are stored
// raw, so that a hex viewer shows them; gzip oddities are about the wrapping.
func allFiles() []odd {
	var files []odd
	for _, c := range acceptCases() {
		files = append(files, odd{"odd-" + c.name + ".pb", c.why, c.data})
	}
	for _, c := range rejectCases() {
		files = append(files, odd{"bad-" + c.name + ".pb", c.why, c.data})
	}
	return append(files, gzipCases()...)
}

func gzipCases() []odd {
	body := plain().encode()
	zipped := deflated(body)
	badSum := bytes.Clone(zipped)
	badSum[len(badSum)-6] ^= 0x55
	badSize := bytes.Clone(zipped)
	badSize[len(badSize)-1] ^= 0x70
	return []odd{
		{"odd-gzip-members.pb.gz", "one profile over three gzip members", append(append(deflated(body[:40]), deflated(nil)...), deflated(body[40:])...)},
		{"odd-gzip-named.pb.gz", "a gzip header with name, comment and extra field", named(body)},
		{"odd-gzip-header-sum.pb.gz", "a gzip header with a checksum of its own", withHeaderSum(zipped)},
		{"odd-gzip-stored.pb.gz", "gzip around stored, uncompressed blocks", deflatedAt(body, gzip.NoCompression)},
		{"bad-gzip-truncated.pb.gz", "gzip cut in the middle", zipped[:len(zipped)/2]},
		{"bad-gzip-no-trailer.pb.gz", "gzip without its last four bytes", zipped[:len(zipped)-4]},
		{"bad-gzip-checksum.pb.gz", "gzip with a wrong CRC-32", badSum},
		{"bad-gzip-size.pb.gz", "gzip whose trailer claims another size", badSize},
		{"bad-gzip-trailing.pb.gz", "bytes after the gzip stream", append(bytes.Clone(zipped), "trailing"...)},
		{"bad-gzip-zeros.pb.gz", "zero padding after the gzip stream", append(bytes.Clone(zipped), make([]byte, 16)...)},
		{"bad-gzip-empty.pb.gz", "gzip of nothing", deflated(nil)},
		{"bad-gzip-header.pb.gz", "two bytes of a gzip header", zipped[:2]},
		{"bad-gzip-twice.pb.gz", "gzip inside gzip", deflated(zipped)},
		{"bad-gzip-concatenated.pb.gz", "two gzipped profiles after one another", append(bytes.Clone(zipped), zipped...)},
	}
}

func deflated(data []byte) []byte { return deflatedAt(data, gzip.BestCompression) }

func deflatedAt(data []byte, level int) []byte {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, level)
	must(err)
	_, err = w.Write(data)
	must(err)
	must(w.Close())
	return b.Bytes()
}

func named(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Name, w.Comment, w.Extra = "profile.pb", "a comment", []byte("extra")
	_, err := w.Write(data)
	must(err)
	must(w.Close())
	return b.Bytes()
}

// withHeaderSum sets the flag FHCRC and adds the sum (RFC 1952, 2.3.1).
func withHeaderSum(zipped []byte) []byte {
	head := bytes.Clone(zipped[:10])
	head[3] |= 2
	head = binary.LittleEndian.AppendUint16(head, uint16(crc32.ChecksumIEEE(head)))
	return append(head, zipped[10:]...)
}

// writeBomb wraps a well-formed profile with one unknown field of `size` zero
// bytes: a small file, all of which a careless reader would inflate.
func writeBomb(path string, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	if err != nil {
		return err
	}
	head := new(msg).raw(plain().encode()...).tag(1000, 2)
	if err := writeAll(w, uvarint(head.b, size), size); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return f.Close()
}

func uvarint(b []byte, v int64) []byte {
	for ; v >= 0x80; v >>= 7 {
		b = append(b, byte(v)|0x80)
	}
	return append(b, byte(v))
}

func writeAll(w io.Writer, head []byte, zeros int64) error {
	if _, err := w.Write(head); err != nil {
		return err
	}
	chunk := make([]byte, 1<<20)
	for zeros > 0 {
		n := min(zeros, int64(len(chunk)))
		if _, err := w.Write(chunk[:n]); err != nil {
			return err
		}
		zeros -= n
	}
	return nil
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
