package main

import (
	"encoding/json"
	"errors"
	"os"
	"runtime/debug"
	"syscall"

	"tidegate/uplink/spool"
)

// checkSpool is what the spool runs as a child process for every file that was
// not closed cleanly: bbolt meets damage with panics in goroutines of its own
// and faults in its memory map, and may take the process down. Exit code 0:
// good; 1, or any other end: damaged; 2: the file cannot be read.
func checkSpool(env environment, args []string) int {
	flags := newFlags(env, "spool check")
	if code, ok := flags.parse(args, 1, 1); !ok {
		return code
	}
	file := flags.Arg(0)
	f, err := os.Open(file)
	if err != nil {
		return failed(env, exitUsage, err)
	}
	f.Close()
	stepBack()
	debug.SetPanicOnFault(true)
	report, err := spool.Check(file)
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

// stepBack lets everybody else go first, at the processor and at the card: a
// backlog of a million messages is twenty files to check while devices come
// in. What the kernel does not allow is no reason to check nothing.
func stepBack() {
	const (
		nice      = 10
		processes = 1         // IOPRIO_WHO_PROCESS, ioprio_set(2)
		last      = 2<<13 | 7 // IOPRIO_CLASS_BE, level 7 of 0 to 7
	)
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, nice)
	_, _, _ = syscall.Syscall(syscall.SYS_IOPRIO_SET, processes, 0, last)
}
