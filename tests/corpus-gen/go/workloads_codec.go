package main

import (
	"bytes"
	"compress/flate"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"html/template"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"math/rand/v2"
	"strings"
)

// order is the record that the codec workloads write and read back.
type order struct {
	ID       int               `json:"id" xml:"id,attr"`
	Customer string            `json:"customer" xml:"customer"`
	Lines    []orderLine       `json:"lines" xml:"line"`
	Notes    map[string]string `json:"notes" xml:"-"`
	Parent   *order            `json:"parent,omitempty" xml:"parent"`
}

type orderLine struct {
	SKU   string  `json:"sku" xml:"sku,attr"`
	Count int     `json:"count" xml:"count"`
	Price float64 `json:"price" xml:"price"`
}

func newOrder(r *rand.Rand, depth int) *order {
	o := &order{ID: r.IntN(1 << 30), Customer: randomWords(r, 3), Notes: map[string]string{}}
	for range 4 + r.IntN(12) {
		o.Lines = append(o.Lines, orderLine{SKU: randomWords(r, 1), Count: r.IntN(100), Price: r.Float64() * 100})
	}
	for range r.IntN(4) {
		o.Notes[randomWords(r, 1)] = randomWords(r, 6)
	}
	if depth > 0 {
		o.Parent = newOrder(r, depth-1)
	}
	return o
}

var words = strings.Fields("amber birch cedar delta ember fjord grove heron inlet jade knoll larch maple north otter pine quartz ridge slate thorn umber vale willow yarrow zephyr")

func randomWords(r *rand.Rand, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(words[r.IntN(len(words))])
	}
	return b.String()
}

func jsonWork(r *rand.Rand) {
	text, err := json.MarshalIndent(newOrder(r, r.IntN(6)), "", " ")
	must(err)
	var back order
	must(json.Unmarshal(text, &back))
	var loose map[string]any
	must(json.Unmarshal(text, &loose))
	sink(len(loose))
}

func xmlWork(r *rand.Rand) {
	text, err := xml.MarshalIndent(newOrder(r, r.IntN(4)), "", " ")
	must(err)
	var back order
	must(xml.Unmarshal(text, &back))
	sink(back.ID)
}

func gobWork(r *rand.Rand) {
	var buf bytes.Buffer
	must(gob.NewEncoder(&buf).Encode(newOrder(r, r.IntN(4))))
	var back order
	must(gob.NewDecoder(&buf).Decode(&back))
	sink(back.ID)
}

func flateWork(r *rand.Rand) {
	var buf bytes.Buffer
	w, err := flate.NewWriter(&buf, 1+r.IntN(9))
	must(err)
	_, err = io.WriteString(w, randomWords(r, 3000))
	must(err)
	must(w.Close())
	n, err := io.Copy(io.Discard, flate.NewReader(&buf))
	must(err)
	sink(int(n))
}

var page = template.Must(template.New("page").Parse(`<html><body>
{{define "order"}}<h2 class="{{.Customer}}">{{.ID}}</h2><ul>
{{range .Lines}}<li onclick="buy({{.SKU}}, {{.Count}})"><a href="/sku?q={{.SKU}}">{{printf "%.2f" .Price}}</a></li>{{end}}</ul>
{{range $k, $v := .Notes}}<p title="{{$k}}">{{$v}}</p>{{end}}
{{with .Parent}}{{template "order" .}}{{end}}{{end}}
{{template "order" .}}</body></html>`))

func templateWork(r *rand.Rand) {
	must(page.Execute(io.Discard, newOrder(r, r.IntN(5))))
}

func imageWork(r *rand.Rand) {
	side := 32 + r.IntN(64)
	img := image.NewPaletted(image.Rect(0, 0, side, side), palette(r))
	for i := range img.Pix {
		img.Pix[i] = uint8((i/side)*(i%side)>>4) & 63
	}
	var buf bytes.Buffer
	switch r.IntN(3) {
	case 0:
		must(png.Encode(&buf, img))
	case 1:
		must(jpeg.Encode(&buf, img, &jpeg.Options{Quality: 60 + r.IntN(40)}))
	default:
		must(gif.Encode(&buf, img, nil))
	}
	_, _, err := image.Decode(&buf)
	must(err)
}

func palette(r *rand.Rand) color.Palette {
	p := make(color.Palette, 64)
	for i := range p {
		p[i] = color.RGBA{uint8(r.IntN(256)), uint8(i * 4), uint8(255 - i*4), 255}
	}
	return p
}

func must(err error) {
	if err != nil {
		panic(fmt.Sprintf("workload failed: %v", err))
	}
}
