module github.com/flambeau-profiler/flambeau/tests/corpus-gen/go

go 1.25
