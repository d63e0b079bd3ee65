module github.com/flambeau-profiler/flambeau/tests/corpus-gen/odd

go 1.25
