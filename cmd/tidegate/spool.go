package main

import (
	"encoding/json"
	"errors"
	"os"
	"runtime/debug"

	"tidegate/uplink/spool"
)

// checkSpool is what the spool runs as a child process for every file that was
// not closed cleanly: bbolt meets damage with panics in goroutines of its own
// and faults in its memory map, and may take the process down. Exit code 0:
// good; 1, or any other end: damaged; 2: the file cannot be read.
func checkSpool(env environment, args []string) int {
	if len(args) != 1 {
		return misused(env, "spool check takes one file")
	}
	f, err := os.Open(args[0])
	if err != nil {
		return failed(env, exitUsage, err)
	}
	f.Close()
	debug.SetPanicOnFault(true)
	report, err := spool.Check(args[0])
	if werr := json.NewEncoder(env.out).Encode(report); werr != nil {
		return failed(env, exitUsage, werr)
	}
	switch {
	case errors.Is(err, spool.ErrDamaged):
		return failed(env, exitBad, err)
	case err != nil:
		return failed(env, exitUsage, err)
	}
	return exitOK
}
