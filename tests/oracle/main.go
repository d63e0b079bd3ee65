// Command oracle is the independent judge: it answers questions about pprof
// profiles by running google/pprof itself. README.md has the protocol.
package main

import (
	"fmt"
	"os"
)

const usage = `usage:
  oracle serve                                       answer JSON lines on stdin
  oracle merge-files [-procs N] [-limit N] DIR OUT   merge as pprof would, say what it cost
  oracle text FILE...                                verdict and canonical text
  oracle bless DIR                                   write X.txt beside every profile
  oracle verify DIR                                  check those texts`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "oracle:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("no command\n%s", usage)
	}
	switch command, rest := args[0], args[1:]; {
	case command == "serve" && len(rest) == 0:
		return serve(os.Stdin, os.Stdout)
	case command == "merge-files":
		return mergeFilesCommand(rest)
	case command == "text" && len(rest) > 0:
		return textCommand(rest)
	case command == "bless" && len(rest) == 1:
		return bless(rest[0])
	case command == "verify" && len(rest) == 1:
		return verify(rest[0])
	default:
		return fmt.Errorf("cannot do %q\n%s", args, usage)
	}
}
