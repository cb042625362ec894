package metrics

import (
	"fmt"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// collector reads the numbers when they are asked for.
type collector struct {
	read func() Now

	mu    sync.Mutex // guards descs
	descs map[string]*prometheus.Desc
}

// Describe says nothing: which series there are depends on the configuration.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.read()
	w := &writer{descs: c.descs, out: out}
	w.gateway(now)
	w.card(now.Card)
	w.edge(now.Edge)
	for _, u := range now.Uplinks {
		w.uplink(u)
	}
	w.hw(now.HW)
}

// writer gives the samples of one scrape. Names are without the prefix that all
// have. Labels alternate: a name, its value.
type writer struct {
	descs map[string]*prometheus.Desc
	out   chan<- prometheus.Metric
}

const prefix = "tidegate_"

type number interface {
	~int | ~int64 | ~uint64 | ~float64
}

func gauge[N number](w *writer, name, help string, v N, labels ...string) {
	w.sample(prometheus.GaugeValue, name, help, float64(v), labels)
}

func counter[N number](w *writer, name, help string, v N, labels ...string) {
	w.sample(prometheus.CounterValue, name, help, float64(v), labels)
}

// flag is 1 for true.
func flag(w *writer, name, help string, v bool, labels ...string) {
	n := 0
	if v {
		n = 1
	}
	gauge(w, name, help, n, labels...)
}

// info carries text as labels of a sample that is always 1.
func info(w *writer, name, help string, labels ...string) {
	gauge(w, name, help, 1, labels...)
}

// oneOf has a sample for each thing that may be the case, 1 for the one that is.
func oneOf(w *writer, name, help, label, is string, all []string, labels ...string) {
	for _, one := range all {
		flag(w, name, help, one == is, append(labels[:len(labels):len(labels)], label, one)...)
	}
}

func (w *writer) sample(kind prometheus.ValueType, name, help string, v float64, labels []string) {
	desc := w.descs[name]
	if desc == nil {
		desc = describe(name, help, labels)
		w.descs[name] = desc
	}
	values := make([]string, len(labels)/2)
	for i := range values {
		values[i] = strings.ToValidUTF8(labels[2*i+1], "?")
	}
	m, err := prometheus.NewConstMetric(desc, kind, v, values...)
	if err != nil {
		m = prometheus.NewInvalidMetric(desc, fmt.Errorf("metric %s: %w", name, err))
	}
	w.out <- m
}

func describe(name, help string, labels []string) *prometheus.Desc {
	names := make([]string, len(labels)/2)
	for i := range names {
		names[i] = labels[2*i]
	}
	return prometheus.NewDesc(prefix+name, help, names, nil)
}
