package main

import (
	"context"
	"fmt"
	"time"

	"tidegate/build/bench/load"
)

// column is one number that a figure yields.
type column struct {
	name    string
	up      bool // more is better
	decimal int  // places after the point
	count   bool // of mishaps: the worst round is shown, and no ratio
}

// figure is one thing that is measured of each broker.
type figure struct {
	name    string
	about   string
	columns []column
	uplink  bool // needs a broker with an uplink: not the null sink
	once    bool // measured in the first round only, with -short
	asked   bool // only when it is named with -figures
	null    bool // measured against the null sink too
	flat    bool // flat out: the null sink shows how far the generator goes
	run     func(ctx context.Context, b broker, r *run) ([]float64, error)
}

var uplinkColumns = []column{
	{name: "forwarded/s", up: true}, {name: "CPU s/100k", decimal: 2}, {name: "remote's", decimal: 2}, {name: "generator's", decimal: 2},
	{name: "lost", count: true}, {name: "out of order", count: true},
}

var figures = []figure{
	{
		name: "qos1", about: "50 publishers (QoS 1, window 20) to 1 subscriber, flat out", null: true, flat: true,
		columns: []column{{name: "delivered/s", up: true}, {name: "CPU s/100k", decimal: 2}, {name: "lost", count: true}},
		run:     local(func(r *run) ([]float64, error) { return r.fanIn(1, 0) }),
	},
	{
		name: "qos0", about: "50 publishers (QoS 0) to 1 subscriber, flat out until all is there", null: true, flat: true,
		columns: []column{{name: "delivered/s", up: true}, {name: "CPU s/100k", decimal: 2}, {name: "lost", count: true}},
		run:     local((*run).flood),
	},
	{
		name: "rate", about: "50 publishers (QoS 1) to 1 subscriber, 5000/s", null: true,
		columns: []column{{name: "delivered/s", up: true}, {name: "CPU s/100k", decimal: 2}, {name: "lost", count: true}},
		run:     local(func(r *run) ([]float64, error) { return r.fanIn(1, 5000) }),
	},
	{
		name: "fanout", about: "1 publisher (QoS 1, window 20) to 200 subscribers (QoS 0), flat out", null: true, flat: true,
		columns: []column{{name: "delivered/s", up: true}, {name: "CPU s/100k", decimal: 2}, {name: "lost", count: true}},
		run:     local((*run).fanOut),
	},
	{
		name: "latency", about: "1 publisher to 1 subscriber, QoS 1, 1000/s", null: true,
		columns: []column{{name: "p50 µs"}, {name: "p99 µs"}, {name: "CPU s/100k", decimal: 2}, {name: "lost", count: true}},
		run:     local((*run).oneToOne),
	},
	{
		name: "idle", about: "start, and memory with and without 1000 idle clients",
		columns: []column{{name: "start ms", decimal: 1}, {name: "idle MB", decimal: 1}, {name: "1000 clients MB", decimal: 1}},
		run:     local((*run).memory),
	},
	{
		name: "uplink", about: "10 publishers (QoS 1, window 200, 256 bytes) through the uplink or bridge to a Mosquitto, flat out until all is there; a consumer of every 20th topic", uplink: true,
		columns: uplinkColumns,
		run:     uplink,
	},
	{
		name: "consumed", about: "the same, and a consumer of everything, which costs the Mosquitto more than taking it", uplink: true,
		columns: uplinkColumns,
		run:     consumed,
	},
	{
		name: "outage", about: "10 publishers at 2000/s through the uplink, cloud away for 20 s (3 s with -short; -outage)", uplink: true, once: true,
		columns: outageColumns, run: outage(false),
	},
	{
		name: "crash", about: "the same outage, and kill -9 in the middle of it", uplink: true, once: true,
		columns: outageColumns, run: outage(true),
	},
	{
		name: "failover", about: "2000/s through the uplink to one of two nodes, which dies", uplink: true, once: true,
		columns: []column{{name: "longest way ms"}, {name: "lost", count: true}, {name: "out of order", count: true}},
		run:     failover,
	},
	{
		name: "balanced", about: "300/s through the uplink, HAProxy and a cluster of three RabbitMQ nodes, of which the one under a link dies (as root; a minute each)", uplink: true, once: true, asked: true,
		columns: []column{{name: "longest way ms"}, {name: "before the kill ms"}, {name: "lost", count: true}, {name: "out of order", count: true}, {name: "duplicates", count: true}},
		run:     balanced,
	},
}

// local wraps a figure of the broker alone.
func local(measure func(r *run) ([]float64, error)) func(context.Context, broker, *run) ([]float64, error) {
	return func(ctx context.Context, b broker, r *run) ([]float64, error) {
		var err error
		if r.broker == nil {
			if r.broker, err = b.start(ctx, r.dir, remote{}); err != nil {
				return nil, err
			}
		}
		return measure(r)
	}
}

func (r *run) fanIn(qos byte, rate float64) ([]float64, error) {
	if err := r.subscribe(r.broker.addr, 1, qos, nil); err != nil {
		return nil, err
	}
	m, report, err := r.steady(load.FleetConfig{Clients: 50, QoS: qos, Window: 20, Rate: rate, Size: payload})
	return []float64{m.perSecond, m.cpu, gone(report)}, err
}

// payload is the size of all payloads in bytes.
const payload = 64

// gone is what did not arrive although it should: at QoS 0 everything sent.
func gone(r load.Report) float64 { return float64(r.Lost + r.Missing) }

func (r *run) flood() ([]float64, error) {
	if err := r.subscribe(r.broker.addr, 1, 0, nil); err != nil {
		return nil, err
	}
	m, report, err := r.all(load.FleetConfig{Clients: 50, QoS: 0, Count: r.scaled(100_000), Size: payload})
	return []float64{m.perSecond, m.cpu, gone(report)}, err
}

func (r *run) fanOut() ([]float64, error) {
	if err := r.subscribe(r.broker.addr, 200, 0, nil); err != nil {
		return nil, err
	}
	m, report, err := r.steady(load.FleetConfig{QoS: 1, Window: 20, Size: payload})
	return []float64{m.perSecond, m.cpu, gone(report)}, err
}

func (r *run) oneToOne() ([]float64, error) {
	if err := r.subscribe(r.broker.addr, 1, 1, nil); err != nil {
		return nil, err
	}
	m, report, err := r.steady(load.FleetConfig{QoS: 1, Rate: 1000, Size: payload})
	return []float64{micro(report.Latency.Quantile(0.5)), micro(report.Latency.Quantile(0.99)), m.cpu, gone(report)}, err
}

func micro(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func milli(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// memory lets the broker rest for a second each time, so that what it needed
// for a moment only can go.
func (r *run) memory() ([]float64, error) {
	if err := r.sleep(time.Second); err != nil {
		return nil, err
	}
	empty, err := resident(r.broker.cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	if err := r.idle(r.broker.addr, 1000); err != nil {
		return nil, fmt.Errorf("1000 clients: %w", err)
	}
	if err := r.sleep(time.Second); err != nil {
		return nil, err
	}
	full, err := resident(r.broker.cmd.Process.Pid)
	return []float64{milli(r.broker.ready), empty, full}, err
}
