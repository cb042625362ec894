package promises

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidegate/build/bench/load"
	"tidegate/build/lab/balancer"
	"tidegate/build/lab/cloud"
	"tidegate/build/lab/gateway"
	"tidegate/build/lab/proc"
	"tidegate/build/lab/proxy"
)

var (
	soak    = flag.Bool("soak", false, "twenty times as many rounds")
	verbose = flag.Bool("output", false, "show what the gateway prints")
	program string // the gateway's binary
)

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "tidegate-promises-")
	if err == nil {
		program = filepath.Join(dir, "tidegate")
		err = proc.Build(context.Background(), "cmd/tidegate", program)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func rounds(n int) int {
	if *soak {
		return 20 * n
	}
	return n
}

// world is a home and a cloud with the networks between them.
type world struct {
	t       *testing.T
	rng     *rand.Rand
	cloud   *cloud.Cloud
	ways    []*proxy.Proxy // from the gateway to each node
	gateway *gateway.Gateway
	ledger  *load.Ledger
	arrived *load.Consumer
	watch   *watch
	ids     *ids // of what arrived in a stand-in cloud

	balancer *balancer.Balancer // nil: the gateway has every node for an endpoint
}

// options are what tests do not have in common.
type options struct {
	cloud   string // kind; the stand-in by default
	dataDir string // t.TempDir() by default
	uplink  string // more configuration
	edge    string // the same for [edge]
	home    string // the same for [gateway]
	up      string // routes that come before the usual one
	one     bool   // the first node only: the smallest cluster, where a session is always found

	balancer string       // kind; empty for none
	on       *cloud.Cloud // runs already, and goes on running
}

// newWorld starts everything. The test ends it.
func newWorld(t *testing.T, o options) *world {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 0)), ledger: load.NewLedger(), watch: newWatch(), ids: newIDs()}
	w.arrived = w.ledger.Consumer()
	if o.cloud == "" {
		o.cloud = "standin"
	}
	if o.dataDir == "" {
		o.dataDir = t.TempDir()
	}
	w.cloud = o.on
	if w.cloud == nil {
		var err error
		w.cloud, err = cloud.Open(w.soon(5*time.Minute), o.cloud, t.TempDir(), nil)
		w.must(err)
		t.Cleanup(w.cloud.Close)
	}
	w.collect()
	cfg := gateway.Config{
		Program: program, Dir: t.TempDir(), DataDir: o.dataDir, ID: "lab",
		Cluster: w.cloud.Cluster || o.one, Gateway: o.home, Up: o.up, Uplink: o.uplink, Edge: o.edge,
	}
	if o.balancer != "" {
		cfg.Endpoints, cfg.Uplink = w.balance(o.balancer, o.uplink)
	} else {
		nodes := w.cloud.Nodes
		if o.one {
			nodes = nodes[:1]
		}
		for _, n := range nodes {
			cfg.Endpoints = append(cfg.Endpoints, w.way(n.Addr))
		}
	}
	if *verbose {
		cfg.Output = os.Stderr
	}
	var err error
	w.gateway, err = gateway.New(cfg)
	w.must(err)
	t.Cleanup(w.gateway.Kill)
	w.start()
	return w
}

// way puts a network that can be broken in front of an address.
func (w *world) way(to string) (addr string) {
	w.t.Helper()
	p, err := proxy.New(to)
	w.must(err)
	w.t.Cleanup(func() { w.must(p.Close()) })
	w.ways = append(w.ways, p)
	return p.Addr()
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// soon is a context for what has to happen within d.
func (w *world) soon(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(w.t.Context(), d)
	w.t.Cleanup(cancel)
	return ctx
}

func (w *world) start() {
	w.t.Helper()
	w.must(w.gateway.Start(w.soon(time.Minute)))
}

// collect enters what arrives in the cloud.
func (w *world) collect() {
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	w.t.Cleanup(func() { cancel(); work.Wait() })
	if w.cloud.Record != "" {
		work.Go(func() {
			err := cloud.Follow(ctx, w.cloud.Record, func(m cloud.Accepted) {
				if strings.HasPrefix(m.Topic, gateway.Sent) {
					w.arrived.Receive(m.Payload, w.ledger.Now()-time.Since(m.At))
					w.watch.arrivalAt(m.Topic, m.Node, m.At)
					w.ids.arrival(m.Topic, m.Payload, m.Properties)
				}
			})
			if err != nil {
				w.t.Error(err)
			}
		})
		return
	}
	sub := load.NewSubscriber(load.SubscriberConfig{
		Client:    load.Client{Addrs: w.cloud.Addrs(), ID: "account", Persistent: true, KeepAlive: 5 * time.Second, Dial: w.cloud.Dial},
		Filters:   []load.Filter{{Topic: gateway.Sent + "#", QoS: 1}},
		Consumer:  w.arrived,
		OnMessage: func(m *load.Message) { w.watch.arrival(string(m.Topic), time.Now()) },
	})
	work.Go(func() {
		if err := sub.Run(ctx); err != nil {
			w.t.Error(err)
		}
	})
	select {
	case <-sub.Ready():
	case <-w.soon(time.Minute).Done():
		w.t.Fatal("the account's subscriber is not ready")
	}
}

// offline takes the whole cloud away, online gives it back.
func (w *world) offline() {
	w.t.Helper()
	for _, p := range w.ways {
		w.must(p.Set(proxy.Fault{Refuse: true}))
		p.Cut()
	}
}

func (w *world) online() {
	w.t.Helper()
	for _, p := range w.ways {
		w.must(p.Set(proxy.Fault{}))
	}
}

// traffic is a fleet of devices at work.
type traffic struct {
	*load.Fleet
	w    *world
	done chan error
}

var fleets atomic.Int64 // for topics of their own

// publish starts devices that publish to home/ until settle.
func (w *world) publish(cfg load.FleetConfig) *traffic {
	n := fleets.Add(1)
	cfg.Addrs = []string{w.gateway.Addr}
	cfg.ID = fmt.Sprintf("device%d-", n)
	cfg.KeepAlive = 10 * time.Second
	cfg.Topic = func(publisher, topic int) string {
		return fmt.Sprintf("%s%d/%d/%d", gateway.Up, n, publisher, topic)
	}
	if cfg.QoS == 0 {
		cfg.QoS = 1
	}
	tr := &traffic{Fleet: load.NewFleet(cfg, w.ledger), w: w, done: make(chan error, 1)}
	ctx := w.t.Context()
	go func() { tr.done <- tr.Run(ctx) }()
	return tr
}

// finish stops publishing and returns when everything sent is acknowledged.
func (tr *traffic) finish() {
	tr.w.t.Helper()
	tr.Stop()
	select {
	case err := <-tr.done:
		tr.w.must(err)
	case <-time.After(2 * time.Minute):
		tr.w.t.Fatalf("%d messages are not acknowledged; the gateway's last output:\n%s", tr.InFlight(), tr.w.gateway.Process().Output())
	}
}

// settle waits until all that was acknowledged has arrived, or nothing more
// comes, and fails the test when something is lost or out of order.
func (w *world) settle() load.Report {
	w.t.Helper()
	r, err := account(w.t, w.arrived)
	if err != nil {
		w.t.Errorf("%v; the gateway's last output:\n%s", err, w.gateway.Process().Output())
	}
	known, wrong := w.ids.state()
	if known > 0 {
		w.t.Logf("different ids: %d", known)
	}
	if len(wrong) > 0 {
		w.t.Errorf("ids:\n%s", strings.Join(wrong, "\n"))
	}
	return r
}

// account is the end of a test for one consumer: its report, and an error
// unless everything acknowledged arrived in order.
func account(t *testing.T, c *load.Consumer) (load.Report, error) {
	t.Helper()
	received := c.Received()
	for quiet := 0; quiet < 15; quiet++ {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		err := c.Wait(ctx, time.Second)
		cancel()
		if err == nil {
			break
		}
		if n := c.Received(); n != received {
			received, quiet = n, 0
		}
	}
	r := c.Report()
	t.Logf("%v", r)
	if r.Lost > 0 || r.Disorder > 0 || r.Foreign > 0 || r.Acked == 0 {
		return r, fmt.Errorf("lost %d, out of order %d, foreign %d of %d acknowledged; want 0, 0, 0 of some", r.Lost, r.Disorder, r.Foreign, r.Acked)
	}
	return r, nil
}

// between returns a random duration.
func (w *world) between(least, most time.Duration) time.Duration {
	return least + time.Duration(w.rng.Int64N(int64(most-least)))
}

// eventually polls cond.
func (w *world) eventually(what string, within time.Duration, cond func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(within); !cond(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("not within %v: %s; the gateway's last output:\n%s", within, what, w.gateway.Process().Output())
		}
	}
}
