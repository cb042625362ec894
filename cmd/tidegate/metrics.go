package main

import (
	"net/http"
	"time"

	"tidegate/cmd/tidegate/internal/metrics"
)

// newMetrics answers /metrics, /healthz and /readyz on the console's listener.
func (g *gateway) newMetrics() *metrics.Metrics {
	return metrics.New(metrics.Options{Read: g.numbers, Alive: g.alive, Log: g.log.With("component", "metrics")})
}

// open is what the console answers without log-in.
func open(m *metrics.Metrics) map[string]http.Handler {
	return map[string]http.Handler{
		"GET /healthz": http.HandlerFunc(m.Healthy),
		"GET /readyz":  http.HandlerFunc(m.Ready),
	}
}

// numbers are those of this moment.
func (g *gateway) numbers() metrics.Now {
	g.mu.Lock()
	sensors, cfg := g.sensors, g.cfg
	g.mu.Unlock()
	now := metrics.Now{
		Version: version, Gateway: cfg.Gateway.id(), Epoch: g.dir.Epoch, Uptime: time.Since(g.started),
		Listeners: len(g.broker.Addrs()), Card: g.card.Stats(), Edge: g.broker.Stats(), HW: sensors.Stats(),
	}
	now.Wear.Written, now.Wear.Commits = g.budget.Written()
	now.Wear.Left = g.budget.Left()
	for i, u := range g.uplinks {
		one := metrics.Uplink{Stats: u.Stats()}
		if i < len(cfg.Uplink) {
			one.MaxDisk = int64(cfg.Uplink[i].Spool.MaxDisk)
		}
		now.Uplinks = append(now.Uplinks, one)
	}
	return now
}
