package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"tidegate/build/bench/load"
)

var outageColumns = []column{
	{name: "lost", count: true}, {name: "out of order", count: true}, {name: "duplicates", count: true},
	{name: "flows again after s", decimal: 2}, {name: "silence s", decimal: 2}, {name: "drain s", decimal: 2}, {name: "accepted/s while away", up: true}, {name: "CPU s/100k", decimal: 2},
}

// cloud is one Mosquitto with a subscriber of its own.
type cloud struct {
	process *process
	gate    *gate // in front of it; nil for none
}

func (c *cloud) stop() error {
	if c.gate != nil {
		c.gate.close()
	}
	return c.process.kill()
}

// addr is where the broker under test finds it.
func (c *cloud) addr() string {
	if c.gate != nil {
		return c.gate.addr
	}
	return c.process.addr
}

// path is what lies between the broker under test and its consumer.
type path struct {
	clouds  int  // separate brokers; together they feed one consumer
	gates   bool // a network in front of each, that can be cut
	qos     byte // of the consumer's subscription
	sample  bool // the consumer takes one topic of each publisher; the remote counts the messages itself
	durable bool // what waits must survive a crash
}

// sampled says whether a sample's consumer takes the topic.
func sampled(topic string) bool { return strings.HasSuffix(topic, "/0") }

// startClouds starts what is at the other end.
func (r *run) startClouds(ctx context.Context, way path) (consumer *load.Consumer, err error) {
	filter, kind := "bench/#", mosquitto(mosquittoPath)
	if way.sample {
		consumer = r.ledger.Sample(sampled)
		filter, kind = "bench/+/0", mosquittoWith(mosquittoPath, "sys_interval 1\n")
	} else {
		consumer = r.ledger.Consumer()
	}
	for i := range way.clouds {
		dir := filepath.Join(r.dir, fmt.Sprint("cloud", i))
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, err
		}
		p, err := kind.start(ctx, dir, remote{})
		if err != nil {
			return nil, err
		}
		c := &cloud{process: p}
		r.clouds = append(r.clouds, c)
		if way.gates {
			if c.gate, err = newGate(p.addr); err != nil {
				return nil, err
			}
		}
		if err := r.subscribeTo(filter, p.addr, 1, way.qos, consumer); err != nil {
			return nil, err
		}
	}
	return consumer, nil
}

// withUplink starts clouds and the broker in front of them, calls measure as
// soon as messages get through, and stops the clouds.
func withUplink(ctx context.Context, b broker, r *run, way path, measure func(c *load.Consumer) ([]float64, error)) (values []float64, err error) {
	consumer, err := r.startClouds(ctx, way)
	defer func() {
		for _, c := range r.clouds {
			err = errors.Join(err, c.stop())
		}
	}()
	if err != nil {
		return nil, err
	}
	up := remote{durable: way.durable}
	for _, c := range r.clouds {
		up.endpoints = append(up.endpoints, c.addr())
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
		Topic: func(int, int) string { return "bench/probe/0" },
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

// uplink measures what an uplink can do, so nothing else must be the limit: few
// publishers with large windows, nothing in between, and a consumer that takes
// one topic in twenty, for a Mosquitto that passes everything on spends more on
// that than on taking it. What all of it adds up to the remote counts itself.
// What the other processes cost is shown beside it: with all CPUs busy the rate
// is their number divided by the sum of the costs.
func uplink(ctx context.Context, b broker, r *run) ([]float64, error) {
	return withUplink(ctx, b, r, path{clouds: 1, sample: true}, func(*load.Consumer) ([]float64, error) {
		cfg := uplinkFleet(r.scaled(80_000))
		m, report, err := r.all(cfg)
		if err != nil {
			return nil, err
		}
		counted, err := r.counted(r.clouds[0].process.addr, r.ledger.Published())
		missing := float64(r.ledger.Published()) - float64(counted)
		return []float64{m.perSecond, m.cpu, m.clouds, m.own, max(missing, gone(report)), float64(report.Disorder)}, err
	})
}

// consumed is the same with a consumer that takes everything.
func consumed(ctx context.Context, b broker, r *run) ([]float64, error) {
	return withUplink(ctx, b, r, path{clouds: 1}, func(*load.Consumer) ([]float64, error) {
		m, report, err := r.all(uplinkFleet(r.scaled(40_000)))
		return []float64{m.perSecond, m.cpu, m.clouds, m.own, gone(report), float64(report.Disorder)}, err
	})
}

func uplinkFleet(count int) load.FleetConfig {
	return load.FleetConfig{Clients: 10, Topics: 20, QoS: 1, Window: 200, Count: count, Size: payload}
}

// counted waits until a Mosquitto says that it took at least want messages, or
// says the same twice, and returns what it says.
func (r *run) counted(addr string, want uint64) (n uint64, err error) {
	said := make(chan uint64, 100)
	sub := load.NewSubscriber(load.SubscriberConfig{
		Client:  load.Client{Addrs: []string{addr}, ID: "bench-count"},
		Filters: []load.Filter{{Topic: "$SYS/broker/publish/messages/received"}},
		OnMessage: func(m *load.Message) {
			if n, err := strconv.ParseUint(string(m.Payload), 10, 64); err == nil {
				select {
				case said <- n:
				default:
				}
			}
		},
	})
	r.goes(sub.Run)
	limit := time.After(3 * time.Second) // it says it each second, when it has changed
	for {
		select {
		case n = <-said:
			if n >= want {
				return n, nil
			}
		case <-limit:
			return n, nil
		case <-r.ctx.Done():
			return n, r.ctx.Err()
		}
	}
}

// outage cuts the network to the cloud for a while, and with crash kills the
// broker in the middle of that and starts it again. Messages flow before it and
// after it for as long, but for no more than ten seconds.
func outage(crash bool) func(context.Context, broker, *run) ([]float64, error) {
	return func(ctx context.Context, b broker, r *run) ([]float64, error) {
		return withUplink(ctx, b, r, path{clouds: 1, gates: true, qos: 1, durable: true}, func(consumer *load.Consumer) ([]float64, error) {
			around := min(r.away/2, 10*time.Second)
			fleet := load.NewFleet(load.FleetConfig{
				Client:  load.Client{Addrs: []string{r.broker.addr}, KeepAlive: 10 * time.Second, Persistent: true, Retry: 20 * time.Millisecond},
				Clients: 10, QoS: 1, Window: 20, Rate: outageRate, Count: int(outageRate * (r.away + 2*around).Seconds()), Size: small, CatchUp: -1,
			}, r.ledger)
			done := make(chan error, 1)
			go func() { done <- fleet.Run(r.ctx) }()
			err := r.sleep(around)
			a, err2 := r.disturb(ctx, consumer, r.clouds[0].gate, crash)
			if err = errors.Join(err, err2); err != nil {
				r.cancel()
				return nil, errors.Join(err, <-done)
			}
			if err := <-done; err != nil {
				return nil, err
			}
			published := r.ledger.Now()
			if err := r.drained(90*time.Second + r.away/2); err != nil {
				return nil, err
			}
			used, err := cpu(r.broker.cmd.Process.Pid)
			report := consumer.Report()
			drain := max(report.Last-published, 0)
			return []float64{
				float64(report.Lost), float64(report.Disorder), float64(report.Duplicates), a.again.Seconds(), report.Silence.Seconds(), drain.Seconds(),
				a.accepted, (a.cpu + used).Seconds() / float64(report.Received) * 1e5,
			}, err
		})
	}
}

const outageRate = 2000 // messages a second

// small is the size of the payloads of an outage in bytes.
const small = 64

// absence is what was seen while the cloud was away.
type absence struct {
	accepted float64       // acknowledgements per second
	again    time.Duration // from its return to the first message that arrives
	cpu      time.Duration // of the process that was killed
}

func (r *run) disturb(ctx context.Context, consumer *load.Consumer, g *gate, crash bool) (a absence, err error) {
	before, begin := r.ledger.Acked(), time.Now()
	g.close()
	if err := r.sleep(r.away / 2); err != nil {
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
	if err := r.sleep(r.away - time.Since(begin)); err != nil {
		return a, err
	}
	a.accepted = float64(r.ledger.Acked()-before) / time.Since(begin).Seconds()
	arrived, opened := consumer.Received(), time.Now()
	if err := g.open(); err != nil {
		return a, err
	}
	for consumer.Received() == arrived && time.Since(opened) < 2*time.Minute {
		if err := r.sleep(time.Millisecond); err != nil {
			return a, err
		}
	}
	a.again = time.Since(opened)
	return a, nil
}

// failover kills the node that most of the traffic goes through. The longest
// way of a message is the silence of its topic; other topics may go through the
// other node and never fall silent.
func failover(ctx context.Context, b broker, r *run) ([]float64, error) {
	return withUplink(ctx, b, r, path{clouds: 2, gates: true, qos: 1}, func(consumer *load.Consumer) ([]float64, error) {
		fleet := load.NewFleet(load.FleetConfig{
			Client: load.Client{Addrs: []string{r.broker.addr}}, Clients: 10, Topics: 4, QoS: 1, Window: 200, Rate: outageRate, Size: small, CatchUp: -1,
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
