package promises

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"tidegate/build/bench/load"
	"tidegate/build/lab/gateway"
	"tidegate/build/lab/proc"
)

// commands are under way from the cloud to one device.
type commands struct {
	w    *world
	home *load.Consumer
	app  *load.Fleet
	done chan error
}

// commands starts an app that publishes so many commands a second, and their
// device. The down link has subscribed before.
func (w *world) commands(app load.Client, rate float64) *commands {
	w.t.Helper()
	w.prime(app)
	ledger := load.NewLedger()
	c := &commands{w: w, home: ledger.Consumer(), done: make(chan error, 1)}
	n := fleets.Add(1)
	w.listen(fmt.Sprintf("device%d", n), fmt.Sprintf("%d/#", n), c.home)
	app.ID, app.KeepAlive = fmt.Sprintf("app%d-", n), 5*time.Second
	c.app = load.NewFleet(load.FleetConfig{
		Client: app, Clients: 3, QoS: 1, Rate: rate, Size: 100,
		Topic: func(p, _ int) string { return fmt.Sprintf("%s%d/%d", gateway.Cmd, n, p) },
	}, ledger)
	ctx := w.t.Context()
	go func() { c.done <- c.app.Run(ctx) }()
	return c
}

// account ends the app and returns what became of its commands.
func (c *commands) account() load.Report {
	c.w.t.Helper()
	c.app.Stop()
	c.w.must(<-c.done)
	r, _ := account(c.w.t, c.home)
	return r
}

// kept fails the test unless every command arrived, in order.
func (c *commands) kept(r load.Report) {
	c.w.t.Helper()
	if r.Lost > 0 || r.Disorder > 0 || r.Foreign > 0 || r.Acked == 0 {
		c.w.t.Errorf("of %d commands: lost %d, out of order %d, foreign %d; the gateway's last output:\n%s",
			r.Acked, r.Lost, r.Disorder, r.Foreign, c.w.gateway.Process().Output())
	}
}

// once fails the test unless each arrived once, too.
func (c *commands) once(r load.Report) {
	c.w.t.Helper()
	c.kept(r)
	if r.Duplicates > 0 {
		c.w.t.Errorf("%d of %d commands arrived twice", r.Duplicates, r.Acked)
	}
}

// patient keeps a command that a busy machine holds up from being taken for one
// that its device does not answer: it would then be in a session, which a
// restart ends.
const patient = `limits.stall-after = "30s"`

func stop(g *gateway.Gateway) { g.Stop(20 * time.Second) }

// restart ends the gateway and starts it again while commands are published.
func (w *world) restart(end func(*gateway.Gateway)) {
	w.t.Helper()
	end(w.gateway)
	time.Sleep(w.between(50*time.Millisecond, 500*time.Millisecond))
	w.start()
}

// TestCommandsWhileAway restarts the gateway while commands are published:
// those sent while it was away arrive, in order, and once; its device, whose
// session went with it, is waited for.
func TestCommandsWhileAway(t *testing.T) {
	w := newWorld(t, options{cloud: "mosquitto", one: true, edge: patient})
	c := w.commands(load.Client{Addrs: w.cloud.Addrs()[:1]}, 300)
	for range rounds(3) {
		time.Sleep(w.between(100*time.Millisecond, 500*time.Millisecond))
		w.restart(stop)
	}
	c.once(c.account())
}

// TestCommandsThroughKills kills the gateway while commands are published: none
// is lost; what the device had and the cloud did not hear of comes again.
func TestCommandsThroughKills(t *testing.T) {
	w := newWorld(t, options{cloud: "mosquitto", one: true, edge: patient})
	c := w.commands(load.Client{Addrs: w.cloud.Addrs()[:1]}, 300)
	kills := rounds(3)
	for range kills {
		time.Sleep(w.between(100*time.Millisecond, 500*time.Millisecond))
		w.restart((*gateway.Gateway).Kill)
	}
	r := c.account()
	c.kept(r)
	if most := uint64(kills * 1024); r.Duplicates > most {
		t.Errorf("got %d duplicates, want at most the down link's window for each kill, %d", r.Duplicates, most)
	}
}

// TestCommandsFromSeparateBrokers kills the broker under the down link. Another
// one has no session; from the new subscription on nothing is lost.
func TestCommandsFromSeparateBrokers(t *testing.T) {
	w := newWorld(t, options{})
	before := nowhere
	for range rounds(2) {
		node := w.away(before, "d0")
		c := w.commands(load.Client{Addrs: w.cloud.Addrs()[node : node+1]}, 500)
		time.Sleep(500 * time.Millisecond)
		c.once(c.account())
		if before != nowhere {
			w.must(w.cloud.Nodes[before].Start(w.soon(time.Minute)))
		}
		w.cloud.Nodes[node].Kill()
		before = node
	}
	if out := w.gateway.Process().Output(); !strings.Contains(out, "separate brokers") {
		t.Errorf("the log does not tell of separate brokers:\n%s", out)
	}
}

// TestOneClientID has one link for both directions and kills the broker under
// it under load: nothing is lost upwards and order holds; commands come from
// the next broker, each once.
func TestOneClientID(t *testing.T) {
	w := newWorld(t, options{uplink: `links = 1
single-client = true
client-id = "lab-one"`})
	const devices = 5
	tr := w.publish(load.FleetConfig{Clients: devices, Rate: 500, Size: 200})
	for range rounds(2) {
		node := w.away(nowhere, "one")
		c := w.commands(load.Client{Addrs: w.cloud.Addrs()[node : node+1]}, 300)
		time.Sleep(500 * time.Millisecond)
		c.once(c.account())
		began := time.Now()
		w.cloud.Nodes[node].Kill()
		w.away(node, "one")
		w.eventually("all topics arrive elsewhere", time.Minute, func() bool { return w.watch.flowing(devices, began) })
		w.must(w.cloud.Nodes[node].Start(w.soon(time.Minute)))
	}
	tr.finish()
	w.settle()
}

// TestThousandCommands sends 1000 commands a second to ten devices, one of which
// takes its first and acknowledges nothing. The others get all theirs
// meanwhile; that one gets its own when it goes on.
func TestThousandCommands(t *testing.T) {
	w := newWorld(t, options{cloud: "mosquitto", one: true})
	w.thousand(rounds(3000))
}

// TestRabbitMQThousandCommands is the same against a cluster that hands out as
// many commands at once as a gateway with a thousand of them a second needs.
// With the default of 10 RabbitMQ manages some hundred a second (seen without a
// gateway), and a device that does not answer holds all others up once, for the
// stall time.
func TestRabbitMQThousandCommands(t *testing.T) {
	w := newWorld(t, options{cloud: "rabbitmq-prefetch"})
	w.thousand(rounds(3000))
}

func (w *world) thousand(count int) {
	w.t.Helper()
	const devices = 10
	app := load.Client{Addrs: w.cloud.Addrs()[:len(w.ways)]}
	w.prime(app)
	ledger := load.NewLedger()
	home := ledger.Consumer()
	goOn := make(chan struct{})
	release := sync.OnceFunc(func() { close(goOn) })
	defer release()
	for i := range devices {
		wait := func() {}
		if i == 0 {
			wait = func() { <-goOn }
		}
		w.device(load.SubscriberConfig{
			Client:    load.Client{ID: fmt.Sprintf("light%d", i), ReceiveMax: 20},
			Filters:   []load.Filter{{Topic: fmt.Sprintf("%slight/%d", gateway.Down, i), QoS: 1}},
			Consumer:  home,
			OnMessage: func(*load.Message) { wait() },
		})
	}
	app.ID, app.KeepAlive = "switch", 5*time.Second
	fleet := load.NewFleet(load.FleetConfig{
		Client: app, Clients: devices, QoS: 1, Rate: 1000, Size: 100, Count: count, CatchUp: -1,
		Topic: func(p, _ int) string { return fmt.Sprintf("%slight/%d", gateway.Cmd, p) },
	}, ledger)
	began := time.Now()
	w.must(fleet.Run(w.soon(2 * time.Minute)))
	sent := time.Since(began)
	others := uint64(count * (devices - 1) / devices)
	w.eventually("all other devices have their commands", time.Minute, func() bool { return home.Received() >= others })
	r := home.Report()
	took := r.Last - r.First
	w.t.Logf("%d commands sent in %v; %d arrived in %v, %.0f a second; latency p50 %v, p99 %v, max %v; %d kB of anonymous memory", count, sent.Round(time.Millisecond),
		r.Received, took.Round(time.Millisecond), float64(r.Received)/took.Seconds(), r.Latency.Quantile(0.5), r.Latency.Quantile(0.99), r.Latency.Max(), w.anonymous())
	release()
	if _, err := account(w.t, home); err != nil {
		w.t.Errorf("%v; the gateway's last output:\n%s", err, w.gateway.Process().Output())
	}
}

// anonymous returns the gateway's anonymous memory in kB.
func (w *world) anonymous() int64 {
	w.t.Helper()
	u, err := proc.Read(w.gateway.Process().PID())
	w.must(err)
	return u.Anon >> 10
}

// device starts a subscriber at the gateway, until the test ends, and waits for
// its subscriptions.
func (w *world) device(cfg load.SubscriberConfig) {
	w.t.Helper()
	cfg.Addrs = []string{w.gateway.Addr}
	device := load.NewSubscriber(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	w.t.Cleanup(func() { cancel(); work.Wait() })
	work.Go(func() {
		if err := device.Run(ctx); err != nil {
			w.t.Error(err)
		}
	})
	select {
	case <-device.Ready():
	case <-w.soon(time.Minute).Done():
		w.t.Fatal("the device is not ready")
	}
}
