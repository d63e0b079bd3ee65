package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/sha256"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"math/big"
	"math/rand/v2"
	"regexp"
	"sort"
	"strings"
	"sync/atomic"
)

var sunk atomic.Int64

// sink keeps a result alive, so that no workload is optimised away.
func sink(n int) { sunk.Add(int64(n)) }

var patterns = []*regexp.Regexp{
	regexp.MustCompile(`(\w+) (\w+) x?`),
	regexp.MustCompile(`(?i)(amber|birch|cedar)+\s+[a-z]{3,8}`),
	regexp.MustCompile(`^(.*?)(thorn|vale)(.*)$`),
	regexp.MustCompile(`[aeiou][^aeiou]{2}(r|n)`),
}

func regexpWork(r *rand.Rand) {
	text := randomWords(r, 400)
	re := patterns[r.IntN(len(patterns))]
	sink(len(re.FindAllStringIndex(text, -1)))
	sink(len(re.ReplaceAllString(text, "-$1-")))
}

func sortWork(r *rand.Rand) {
	n := 500 + r.IntN(3000)
	keys := make([]string, n)
	for i := range keys {
		keys[i] = randomWords(r, 2)
	}
	if r.IntN(2) == 0 {
		sort.Strings(keys)
	} else {
		sort.SliceStable(keys, func(i, j int) bool { return reversed(keys[i]) < reversed(keys[j]) })
	}
	sink(len(keys[0]))
}

func reversed(s string) string {
	b := []byte(s)
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return string(b)
}

func shaWork(r *rand.Rand) {
	sum := sha256.Sum256([]byte(randomWords(r, 50)))
	for range 2000 {
		sum = sha256.Sum256(sum[:])
	}
	sink(int(sum[0]))
}

func mapWork(r *rand.Rand) {
	counts := map[string]int{}
	for range 4000 {
		counts[randomWords(r, 2)]++
	}
	byLength := map[int][]string{}
	for k := range counts {
		byLength[len(k)] = append(byLength[len(k)], k)
	}
	sink(len(byLength))
}

func ecdsaWork(r *rand.Rand) {
	key, err := ecdsa.GenerateKey([]elliptic.Curve{elliptic.P256(), elliptic.P384()}[r.IntN(2)], crand.Reader)
	must(err)
	sum := sha256.Sum256([]byte(randomWords(r, 10)))
	sig, err := ecdsa.SignASN1(crand.Reader, key, sum[:])
	must(err)
	if ecdsa.VerifyASN1(&key.PublicKey, sum[:], sig) {
		sink(len(sig))
	}
}

func bigWork(r *rand.Rand) {
	a, b := big.NewInt(1), big.NewInt(1)
	for i := range 200 + r.IntN(300) {
		a.Mul(a, big.NewInt(int64(i+1)))
		b.Add(b, a)
	}
	sink(len(a.String()) + int(new(big.Int).Exp(b, big.NewInt(65537), a).Sign()))
}

func goWork(r *rand.Rand) {
	src := program(r)
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "p.go", src, parser.ParseComments)
	must(err)
	conf := types.Config{Importer: importer.Default(), Error: func(error) {}}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Defs: map[*ast.Ident]types.Object{}}
	pkg, _ := conf.Check("p", fset, []*ast.File{file}, info)
	sink(len(info.Types) + len(pkg.Scope().Names()))
}

// program writes a random, well-formed Go source of nested expressions.
func program(r *rand.Rand) string {
	var b strings.Builder
	b.WriteString("package p\ntype T[P any] struct{ v P; next *T[P] }\n")
	for i := range 6 + r.IntN(10) {
		fmt.Fprintf(&b, "func f%d(a, b int) int { x := &T[int]{v: a}; for i := range b { if i > a { x = &T[int]{v: %s, next: x} } }; return x.v }\n",
			i, expression(r, 2+r.IntN(6)))
	}
	return b.String()
}

func expression(r *rand.Rand, depth int) string {
	if depth == 0 {
		return []string{"a", "b", "1", "2", "7", "i"}[r.IntN(6)]
	}
	op := []string{"+", "-", "*", "|", "&"}[r.IntN(5)]
	return "(" + expression(r, depth-1) + op + expression(r, depth-1) + ")"
}

// node is an arithmetic tree; evaluating it gives deep, branching stacks.
type node struct {
	op          byte
	left, right *node
	value       int
}

func evalWork(r *rand.Rand) {
	tree := grow(r, 8+r.IntN(6))
	for range 40 {
		sink(evaluate(tree))
	}
}

func grow(r *rand.Rand, depth int) *node {
	if depth == 0 || r.IntN(9) == 0 {
		return &node{op: 'n', value: r.IntN(100)}
	}
	return &node{op: "+-*m"[r.IntN(4)], left: grow(r, depth-1), right: grow(r, depth-1)}
}

func evaluate(n *node) int {
	switch n.op {
	case '+':
		return add(n)
	case '-':
		return subtract(n)
	case '*':
		return multiply(n)
	case 'm':
		return maximum(n)
	default:
		return n.value
	}
}

//go:noinline
func add(n *node) int { return evaluate(n.left) + evaluate(n.right) }

//go:noinline
func subtract(n *node) int { return evaluate(n.left) - evaluate(n.right) }

//go:noinline
func multiply(n *node) int { return evaluate(n.left) * (evaluate(n.right) % 1000) }

//go:noinline
func maximum(n *node) int { return max(evaluate(n.left), evaluate(n.right)) }
