package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"tidegate/cmd/tidegate/internal/show"
	"tidegate/uplink/spool"
)

// systemRun is where the unit has the status socket.
const systemRun = "/run/tidegate"

// replay asks the gateway that runs on a spool, if there is one, how it drains.
func (f *spoolFlags) replay(p spoolPlace) (r spool.Replay, ok bool) {
	sockets := []string{filepath.Join(filepath.Dir(p.path), statusName)}
	if f.dir == "" {
		sockets = append(sockets, filepath.Join(systemRun, statusName))
	}
	for _, path := range sockets {
		if _, err := os.Stat(path); err != nil {
			continue
		}
		c, err := net.DialTimeout("unix", path, time.Second)
		if err != nil {
			continue // a gateway that was killed left it
		}
		defer c.Close()
		_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
		line, err := bufio.NewReader(c).ReadBytes('\n')
		var status struct {
			Uplinks map[string]struct{ Spool struct{ Replay spool.Replay } }
		}
		if err != nil || json.Unmarshal(line, &status) != nil {
			continue
		}
		u, ok := status.Uplinks[p.uplink]
		return u.Spool.Replay, ok
	}
	return r, false
}

// drains says how a backlog drains, in words.
func drains(r spool.Replay) string {
	if r.Backlog == 0 {
		return "the gateway runs and has no backlog"
	}
	text := fmt.Sprintf("the gateway runs: %d messages are its backlog, %.0f/s leave it", r.Backlog, r.Rate)
	if r.Limit > 0 {
		text += fmt.Sprintf(" (at most %.0f/s)", r.Limit)
	}
	if r.Inflow >= 1 {
		text += fmt.Sprintf(", %.0f/s come in behind", r.Inflow)
	}
	if r.Left > 0 {
		return text + ", done in about " + show.Lasting(r.Left.Seconds())
	}
	return text
}
