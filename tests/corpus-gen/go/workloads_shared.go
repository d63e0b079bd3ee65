package main

import (
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// workload is one kind of work under one value of the label `handler`.
type workload struct {
	name string
	run  func(*rand.Rand)
}

// turn is how long a worker stays with one workload, so that quick ones get
// as many samples as slow ones.
const turn = 4 * time.Millisecond

func (w workload) runFor(d time.Duration, r *rand.Rand) {
	for start := time.Now(); time.Since(start) < d; {
		w.run(r)
	}
}

var workloads = []workload{
	{"json", jsonWork}, {"xml", xmlWork}, {"gob", gobWork}, {"regexp", regexpWork},
	{"flate", flateWork}, {"sort", sortWork}, {"sha256", shaWork}, {"maps", mapWork},
	{"template", templateWork}, {"ecdsa", ecdsaWork}, {"bigint", bigWork}, {"image", imageWork},
	{"gotypes", goWork}, {"http", httpWork}, {"cache", cacheWork}, {"eval", evalWork},
}

var tenants = []string{"acme", "globex", "initech", "umbrella", "hooli", "soylent"}

// server answers httpWork on a loopback port of its own.
var server = sync.OnceValue(func() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	go http.Serve(l, http.HandlerFunc(serveOrder))
	return "http://" + l.Addr().String()
})

func serveOrder(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	json.NewEncoder(w).Encode(map[string]any{"path": req.URL.Path, "words": strings.Fields(string(body))})
}

func httpWork(r *rand.Rand) {
	for range 4 {
		resp, err := http.Post(server()+"/"+words[r.IntN(len(words))], "text/plain", strings.NewReader(randomWords(r, 50)))
		must(err)
		n, err := io.Copy(io.Discard, resp.Body)
		must(err)
		must(resp.Body.Close())
		sink(int(n))
	}
}

var cache = struct {
	sync.RWMutex
	m map[string][]byte
}{m: map[string][]byte{}}

func cacheWork(r *rand.Rand) {
	for range 2000 {
		key := randomWords(r, 2)
		cache.RLock()
		hit := cache.m[key]
		cache.RUnlock()
		if hit == nil {
			fillCache(r, key)
		}
		sink(len(hit))
	}
}

func fillCache(r *rand.Rand, key string) {
	cache.Lock()
	defer cache.Unlock()
	if len(cache.m) > 400 {
		clear(cache.m)
	}
	cache.m[key] = make([]byte, 64+r.IntN(4096))
}

// crew runs random workloads on a few goroutines until stopped; pause holds
// them between two pieces of work.
type crew struct {
	gate sync.RWMutex
	done atomic.Bool
	wg   sync.WaitGroup
}

func startCrew(seed uint64, workers int, set []workload) *crew {
	c := &crew{}
	for w := range workers {
		c.wg.Add(1)
		go c.work(rand.New(rand.NewPCG(seed, uint64(w))), set)
	}
	return c
}

func (c *crew) work(r *rand.Rand, set []workload) {
	defer c.wg.Done()
	for !c.done.Load() {
		job := set[r.IntN(len(set))]
		labels := pprof.Labels("handler", job.name, "tenant", tenants[r.IntN(len(tenants))])
		c.gate.RLock()
		pprof.Do(context.Background(), labels, func(context.Context) { job.runFor(turn, r) })
		c.gate.RUnlock()
	}
}

func (c *crew) pause()  { c.gate.Lock() }
func (c *crew) resume() { c.gate.Unlock() }

func (c *crew) stop() {
	c.done.Store(true)
	c.wg.Wait()
}

// warmUp gives the program a past: some work before anything is recorded.
func warmUp(d time.Duration, seed uint64) {
	c := startCrew(seed, 2, workloads)
	time.Sleep(d)
	c.stop()
}
