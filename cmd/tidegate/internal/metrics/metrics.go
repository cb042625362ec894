package metrics

import (
	"context"
	"log/slog"
	"net/http"
	"regexp"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Options are what the answers are made of.
type Options struct {
	Read  func() Now                 // the numbers of this moment
	Alive func(context.Context) bool // a message goes through the broker and comes back
	Log   *slog.Logger
}

// Metrics answers for the gateway. Its methods may be called by any goroutine.
type Metrics struct {
	read   func() Now
	pulse  pulse
	scrape http.Handler
}

// New returns the answers; nothing runs for them until somebody asks.
func New(o Options) *Metrics {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		&collector{read: o.Read, descs: map[string]*prometheus.Desc{}},
		// Without runtime.ReadMemStats, which stops the world.
		collectors.NewGoCollector(collectors.WithGoCollectorMemStatsMetricsDisabled(),
			collectors.WithGoCollectorRuntimeMetrics(collectors.GoRuntimeMetricsRule{Matcher: memory})),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return &Metrics{
		read:  o.Read,
		pulse: pulse{alive: o.Alive, place: make(chan struct{}, 1)},
		scrape: promhttp.HandlerFor(registry, promhttp.HandlerOpts{
			ErrorHandling: promhttp.ContinueOnError, ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelWarn),
			MaxRequestsInFlight: mostScrapes, Timeout: scrapeTime, DisableCompression: true,
		}),
	}
}

const (
	mostScrapes = 2
	scrapeTime  = 10 * time.Second
)

// memory is what is told of Go's runtime besides goroutines and collections.
var memory = regexp.MustCompile(`^/(memory/classes/(total|heap/objects):bytes|gc/gomemlimit:bytes)$`)

// Scrape answers GET /metrics, in Prometheus' text format or in OpenMetrics'.
// It does not compress: a Pi's network has more to give than its CPU.
func (m *Metrics) Scrape(w http.ResponseWriter, r *http.Request) { m.scrape.ServeHTTP(w, r) }
