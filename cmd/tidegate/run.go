package main

import (
	"cmp"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

func runCommand(env environment, args []string) int {
	f := newFlags(env, "run")
	if code, ok := f.parse(args, 0, 1); !ok {
		return code
	}
	file := cmp.Or(f.Arg(0), defaultConfig)
	begin := time.Now()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	cfg, problems, err := load(file, Config.checkStart)
	if err != nil {
		return failed(env, exitUsage, err)
	}
	if len(problems) > 0 {
		fmt.Fprint(env.err, report(file, problems))
		return exitBad
	}
	log, level := newLog(cfg.Gateway, env.err)
	limitMemory()
	g, err := newGateway(cfg, file, log, level)
	if err == nil {
		err = g.start()
	}
	if err != nil {
		return failed(env, exitBad, err)
	}
	g.log.Info("ready", "version", version, "gateway", cfg.Gateway.id(), "epoch", g.dir.Epoch,
		"addresses", fmt.Sprint(g.broker.Addrs()), "after", time.Since(begin))
	notify(log, daemon.SdNotifyReady)
	code := g.serve(signals)
	return max(code, g.end(signals))
}

// serve handles signals until one, or a part that broke, ends the gateway.
func (g *gateway) serve(signals <-chan os.Signal) int {
	for {
		select {
		case s := <-signals:
			if s != syscall.SIGHUP {
				g.log.Info("stopping", "signal", s.String())
				return exitOK
			}
			notify(g.log, daemon.SdNotifyReloading)
			g.reload()
			notify(g.log, daemon.SdNotifyReady)
		case p := <-g.ended:
			g.log.Error("stopping, because a part of the gateway ended", "component", p.name, "err", p.err)
			return exitBad
		}
	}
}

// bounce is how soon after the first a signal is taken for the same one: a
// supervisor that signals the process and then its group (timeout(1), make)
// means it once.
const bounce = 300 * time.Millisecond

// end stops everything in bounded time; a second signal ends it at once. What
// is not on disk then was never acknowledged.
func (g *gateway) end(signals <-chan os.Signal) int {
	notify(g.log, daemon.SdNotifyStopping)
	begin := time.Now()
	done := make(chan error, 1)
	go func() { done <- g.stop() }()
	for {
		select {
		case err := <-done:
			if err != nil {
				g.log.Error("stopped", "after", time.Since(begin), "err", err)
				return exitBad
			}
			g.log.Info("stopped", "after", time.Since(begin), slog.Int64("written", g.written()))
			return exitOK
		case s := <-signals:
			if s != syscall.SIGHUP && time.Since(begin) > bounce {
				g.log.Error("stopped at once by a second signal", "signal", s.String())
				return exitBad
			}
		}
	}
}

// written returns the bytes that the card was given.
func (g *gateway) written() int64 {
	bytes, _ := g.budget.Written()
	return bytes
}
