package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"tidegate/build/bench/load"
)

var outageColumns = []column{
	{name: "lost", count: true}, {name: "out of order", count: true}, {name: "duplicates", count: true},
	{name: "silence s", decimal: 2}, {name: "drain s", decimal: 2}, {name: "accepted/s while away", up: true}, {name: "CPU s/100k", decimal: 2},
}

// cloud is one Mosquitto behind a gate, with a subscriber of its own.
type cloud struct {
	process *process
	gate    *gate
}

func (c *cloud) stop() error {
	c.gate.close()
	return c.process.kill()
}

// startClouds starts n separate brokers; together they feed one consumer.
func (r *run) startClouds(ctx context.Context, n int) (consumer *load.Consumer, err error) {
	consumer = r.ledger.Consumer()
	for i := range n {
		dir := filepath.Join(r.dir, fmt.Sprint("cloud", i))
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, err
		}
		p, err := mosquitto(mosquittoPath).start(ctx, dir, remote{})
		if err != nil {
			return nil, err
		}
		g, err := newGate(p.addr)
		if err != nil {
			return nil, errors.Join(err, p.kill())
		}
		r.clouds = append(r.clouds, &cloud{p, g})
		if err := r.subscribe(p.addr, 1, 1, consumer); err != nil {
			return nil, err
		}
	}
	return consumer, nil
}

// withUplink starts n clouds and the broker in front of them, calls measure as
// soon as messages get through, and stops the clouds.
func withUplink(ctx context.Context, b broker, r *run, n int, durable bool, measure func(c *load.Consumer) ([]float64, error)) (values []float64, err error) {
	consumer, err := r.startClouds(ctx, n)
	defer func() {
		for _, c := range r.clouds {
			err = errors.Join(err, c.stop())
		}
	}()
	if err != nil {
		return nil, err
	}
	up := remote{durable: durable}
	for _, c := range r.clouds {
		up.endpoints = append(up.endpoints, c.gate.addr)
	}
	if r.broker, err = b.start(ctx, r.dir, up); err != nil {
		return nil, err
	}
	if err := r.through(consumer); err != nil {
		return nil, err
	}
	return measure(consumer)
}

// through sends a few messages until one gets to the cloud.
func (r *run) through(consumer *load.Consumer) error {
	probe := load.NewFleet(load.FleetConfig{
		Client: load.Client{Addrs: []string{r.broker.addr}, ID: "bench-probe-"}, QoS: 1, Rate: 50,
		Topic: func(int, int) string { return "bench/probe" },
	}, r.ledger)
	done := make(chan error, 1)
	go func() { done <- probe.Run(r.ctx) }()
	end := time.Now().Add(30 * time.Second)
	var err error
	for consumer.Received() == 0 && err == nil {
		if time.Now().After(end) {
			err = errors.New("nothing came through the uplink in 30 s")
			r.cancel()
		}
		err = errors.Join(err, r.sleep(10*time.Millisecond))
	}
	probe.Stop()
	return errors.Join(err, <-done)
}

func uplink(ctx context.Context, b broker, r *run) ([]float64, error) {
	return withUplink(ctx, b, r, 1, false, func(*load.Consumer) ([]float64, error) {
		m, report, err := r.all(load.FleetConfig{Clients: 50, QoS: 1, Window: 20, Count: r.scaled(40_000), Size: payload})
		return []float64{m.perSecond, m.cpu, float64(report.Lost), float64(report.Disorder)}, err
	})
}

// outage cuts the network to the cloud for half of the time, and with crash
// kills the broker in the middle of that and starts it again.
func outage(crash bool) func(context.Context, broker, *run) ([]float64, error) {
	return func(ctx context.Context, b broker, r *run) ([]float64, error) {
		return withUplink(ctx, b, r, 1, true, func(consumer *load.Consumer) ([]float64, error) {
			away := 20 * time.Second
			if r.short {
				away = 3 * time.Second
			}
			fleet := load.NewFleet(load.FleetConfig{
				Client:  load.Client{Addrs: []string{r.broker.addr}, KeepAlive: 10 * time.Second, Persistent: true, Retry: 20 * time.Millisecond},
				Clients: 10, QoS: 1, Window: 20, Rate: outageRate, Count: int(outageRate * 2 * away.Seconds()), Size: payload, CatchUp: -1,
			}, r.ledger)
			done := make(chan error, 1)
			go func() { done <- fleet.Run(r.ctx) }()
			a, err := r.disturb(ctx, r.clouds[0].gate, away, crash)
			if err != nil {
				r.cancel()
				return nil, errors.Join(err, <-done)
			}
			if err := <-done; err != nil {
				return nil, err
			}
			published := r.ledger.Now()
			if err := r.drained(90 * time.Second); err != nil {
				return nil, err
			}
			used, err := cpu(r.broker.cmd.Process.Pid)
			report := consumer.Report()
			drain := max(report.Last-published, 0)
			return []float64{
				float64(report.Lost), float64(report.Disorder), float64(report.Duplicates), report.Silence.Seconds(), drain.Seconds(),
				a.accepted, (a.cpu + used).Seconds() / float64(report.Received) * 1e5,
			}, err
		})
	}
}

const outageRate = 2000 // messages a second

// absence is what was seen while the cloud was away.
type absence struct {
	accepted float64       // acknowledgements per second
	cpu      time.Duration // of the process that was killed
}

func (r *run) disturb(ctx context.Context, g *gate, away time.Duration, crash bool) (a absence, err error) {
	if err := r.sleep(away / 2); err != nil {
		return a, err
	}
	before, begin := r.ledger.Acked(), time.Now()
	g.close()
	if err := r.sleep(away / 2); err != nil {
		return a, err
	}
	if crash {
		if a.cpu, err = cpu(r.broker.cmd.Process.Pid); err != nil {
			return a, err
		}
		again := r.broker.restart
		if err := r.broker.kill(); err != nil {
			return a, err
		}
		if r.broker, err = again(ctx); err != nil {
			return a, err
		}
	}
	if err := r.sleep(away - time.Since(begin)); err != nil {
		return a, err
	}
	a.accepted = float64(r.ledger.Acked()-before) / time.Since(begin).Seconds()
	return a, g.open()
}

// failover kills the node that most of the traffic goes through. The longest
// way of a message is the silence of its topic; other topics may go through the
// other node and never fall silent.
func failover(ctx context.Context, b broker, r *run) ([]float64, error) {
	return withUplink(ctx, b, r, 2, false, func(consumer *load.Consumer) ([]float64, error) {
		fleet := load.NewFleet(load.FleetConfig{
			Client: load.Client{Addrs: []string{r.broker.addr}}, Clients: 10, Topics: 4, QoS: 1, Window: 200, Rate: outageRate, Size: payload, CatchUp: -1,
		}, r.ledger)
		done := make(chan error, 1)
		go func() { done <- fleet.Run(r.ctx) }()
		err := r.sleep(time.Second)
		dead := 0 // the node with most of the traffic
		if r.subs[1].Received() > r.subs[0].Received() {
			dead = 1
		}
		r.clouds[dead].gate.close()
		if !r.short {
			err = errors.Join(err, r.sleep(7*time.Second))
		}
		err = errors.Join(err, r.sleep(3*time.Second))
		fleet.Stop()
		if err = errors.Join(err, <-done); err != nil {
			return nil, err
		}
		if err := r.drained(60 * time.Second); err != nil {
			return nil, err
		}
		report := consumer.Report()
		return []float64{milli(report.Latency.Max()), float64(report.Lost), float64(report.Disorder)}, nil
	})
}
