package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notify tells systemd about a change of state. Without systemd it does
// nothing.
func notify(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("tell systemd", "err", err)
	}
}

// watchdog tells systemd that the gateway lives, as often as the unit's
// WatchdogSec asks for, as long as alive returns. alive goes the way of a
// message; when it hangs, systemd starts the gateway anew.
func watchdog(ctx context.Context, log *slog.Logger, alive func(context.Context) bool) {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("read the watchdog's time from systemd", "err", err)
	}
	if every == 0 {
		<-ctx.Done()
		return
	}
	tick := time.NewTicker(every / 3)
	defer tick.Stop()
	for {
		if alive(ctx) {
			notify(log, daemon.SdNotifyWatchdog)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
