package main

import (
	"context"
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

// flatColumns are those of a figure that goes flat out; a peak is of everything
// from the start of the process on.
var flatColumns = []column{{name: "delivered/s", up: true}, {name: "CPU s/100k", decimal: 2}, {name: "lost", count: true}, {name: "peak MB", decimal: 1}}

var figures = []figure{
	{
		name: "qos1", about: "50 publishers (QoS 1, window 20) to 1 subscriber, flat out", null: true, flat: true,
		columns: flatColumns,
		run:     local(func(r *run) ([]float64, error) { return r.fanIn(1) }),
	},
	{
		name: "qos2", about: "the same at QoS 2 (the null sink hands on at QoS 1)", null: true, flat: true,
		columns: flatColumns,
		run:     local(func(r *run) ([]float64, error) { return r.fanIn(2) }),
	},
	{
		name: "qos0", about: "50 publishers (QoS 0) to 1 subscriber, flat out until all is there", null: true, flat: true,
		columns: flatColumns,
		run:     local((*run).flood),
	},
	{
		name: "fanout", about: "1 publisher (QoS 1, window 20) to 200 subscribers (QoS 0), flat out", null: true, flat: true,
		columns: flatColumns,
		run:     local(func(r *run) ([]float64, error) { return r.fanOut(0) }),
	},
	{
		name: "fanout1", about: "the same to 200 subscribers at QoS 1", null: true, flat: true,
		columns: flatColumns,
		run:     local(func(r *run) ([]float64, error) { return r.fanOut(1) }),
	},
	{
		name: "rate", about: "50 publishers (QoS 1) to 1 subscriber, 5000/s", null: true,
		columns: []column{{name: "delivered/s", up: true}, {name: "CPU s/100k", decimal: 2}, {name: "lost", count: true}},
		run:     local((*run).paced),
	},
	{
		name: "latency", about: "1 publisher to 1 subscriber, QoS 1, 1000/s", null: true,
		columns: []column{{name: "p50 µs"}, {name: "p99 µs"}, {name: "CPU s/100k", decimal: 2}, {name: "lost", count: true}},
		run:     local((*run).oneToOne),
	},
	{
		name: "idle", about: "start, and memory with and without 1000 idle clients",
		columns: []column{{name: "start ms", decimal: 1}, {name: "idle MB", decimal: 1}, {name: "KB per client", decimal: 1}},
		run:     local(func(r *run) ([]float64, error) { return r.crowd(1000) }),
	},
	{
		name: "crowd", about: "the same with 10,000 idle clients",
		columns: []column{{name: "start ms", decimal: 1}, {name: "idle MB", decimal: 1}, {name: "KB per client", decimal: 1}},
		run:     local(func(r *run) ([]float64, error) { return r.crowd(10_000) }),
	},
	{
		name: "retained", about: "50,000 retained messages to a new subscriber to all of them (QoS 0), until all are there",
		columns: flatColumns,
		run:     local((*run).retained),
	},
	{
		name: "subs", about: "CPU s per 100k deliveries as exact subscriptions grow, and wildcard ones with them to a tenth; a message goes to one of each",
		columns: []column{{name: "at 100", decimal: 2}, {name: "at 1000", decimal: 2}, {name: "at 10,000", decimal: 2}, {name: "at 100,000", decimal: 2}, {name: "lost", count: true}},
		run:     local((*run).growing),
	},
	{
		name: "storm", about: "1 publisher to 200 subscribers, QoS 0, 200/s, while 10 clients subscribe and unsubscribe flat out",
		columns: []column{{name: "p50 µs"}, {name: "p99 µs"}, {name: "longest µs"}, {name: "changes/s", up: true}, {name: "lost", count: true}},
		run:     local((*run).storm),
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
