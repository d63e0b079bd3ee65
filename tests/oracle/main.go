// Command oracle is the independent judge: it answers questions about pprof
// profiles by running google/pprof itself. README.md has the protocol.
package main

import (
	"fmt"
	"os"
)

const usage = "usage: oracle serve | merge-files [-procs N] [-limit N] DIR OUT | text FILE..."

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "oracle:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("%s", usage)
	}
	switch args[0] {
	case "merge-files":
		return mergeFilesCommand(args[1:])
	default:
		return fmt.Errorf("unknown command %q; %s", args[0], usage)
	}
}
