package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"tidegate/cmd/tidegate/internal/top"
	"tidegate/cmd/tidegate/internal/tty"
)

// showTop shows the running gateway live.
func showTop(env environment, args []string) int {
	f := newSocketFlags(env, "top")
	if code, ok := f.parse(args, 0, 0); !ok {
		return code
	}
	in, isFile := env.in.(*os.File)
	out, alsoFile := env.out.(*os.File)
	if !isFile || !alsoFile || !tty.Is(in) || !tty.Is(out) {
		return failed(env, exitUsage, errors.New("top needs a terminal; for a pipe there is tidegate status -watch"))
	}
	c, err := f.dial() // what is wrong now is said before the terminal is taken
	if err != nil {
		return failed(env, exitUsage, err)
	}
	c.Close()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := top.Run(ctx, f.dial, in, out); err != nil {
		return failed(env, exitBad, err)
	}
	return exitOK
}
