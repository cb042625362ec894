package promises

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"tidegate/build/bench/load"
	"tidegate/build/lab/cloud"
	"tidegate/build/lab/gateway"
	"tidegate/build/lab/proxy"
)

// second is a cloud of its own that the gateway has another [[uplink]] to.
// home/# goes there too; commands/# goes there only.
type second struct {
	cloud *cloud.Cloud
	ways  []*proxy.Proxy

	mu       sync.Mutex // guards what follows
	home     func(m cloud.Accepted)
	commands map[string]int // by topic
}

func newSecond(t *testing.T) *second {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := cloud.Open(ctx, "standin", t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	s := &second{cloud: c, home: func(cloud.Accepted) {}, commands: map[string]int{}}
	for _, n := range c.Nodes {
		p, err := proxy.New(n.Addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		s.ways = append(s.ways, p)
	}
	follow, end := context.WithCancel(context.Background())
	var work sync.WaitGroup
	t.Cleanup(func() { end(); work.Wait() })
	work.Go(func() {
		if err := cloud.Follow(follow, c.Record, s.arrival); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *second) arrival(m cloud.Accepted) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case strings.HasPrefix(m.Topic, gateway.Sent):
		s.home(m)
	case strings.HasPrefix(m.Topic, gateway.Cmd):
		s.commands[m.Topic]++
	}
}

// enter makes c the account of what arrives here.
func (s *second) enter(ledger *load.Ledger, c *load.Consumer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.home = func(m cloud.Accepted) { c.Receive(m.Payload, ledger.Now()-time.Since(m.At)) }
}

func (s *second) count(topic string) (of, all int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.commands[topic], len(s.commands)
}

// toml is its part of the configuration.
func (s *second) toml() string {
	var urls []string
	for _, p := range s.ways {
		urls = append(urls, fmt.Sprintf("%q", "mqtt://"+p.Addr()))
	}
	return fmt.Sprintf(`
[[uplink]]
name = "second"
endpoints = [%s]
cluster = false
up = [{filter = "home/#", add = "cloud/"}, {filter = "commands/#", add = "cloud/"}]
`, strings.Join(urls, ", "))
}

func (s *second) network(w *world, up bool) {
	w.t.Helper()
	for _, p := range s.ways {
		w.must(p.Set(proxy.Fault{Refuse: !up}))
		if !up {
			p.Cut()
		}
	}
}

// TestTwoClouds takes one of two clouds away under load: devices are
// acknowledged as soon as the other has their message and the disk has it for
// this one; the other gets everything meanwhile; in the end both have all.
func TestTwoClouds(t *testing.T) {
	s := newSecond(t)
	w := newWorld(t, options{uplink: s.toml()})
	there := w.ledger.Consumer()
	s.enter(w.ledger, there)
	const devices = 5
	tr := w.publish(load.FleetConfig{Clients: devices, Rate: 500, Size: 200})
	w.eventually("both clouds get messages", time.Minute, func() bool { return w.arrived.Received() > 500 && there.Received() > 500 })
	for range rounds(1) {
		s.network(w, false)
		w.watch.reset()
		acked, here, gone := w.ledger.Acked(), w.arrived.Received(), there.Received()
		w.eventually("devices are acknowledged, and the other cloud gets everything", time.Minute, func() bool {
			return w.ledger.Acked() > acked+1000 && w.arrived.Received() > here+1000
		})
		t.Logf("one cloud away: longest silence of a topic in the other %v; %d arrived late in this one",
			w.watch.silence().Round(time.Millisecond), there.Received()-gone)
		s.network(w, true)
		w.eventually("this cloud gets messages again", time.Minute, func() bool { return there.Received() > gone+1000 })
	}
	w.gateway.Kill()
	w.start()
	time.Sleep(300 * time.Millisecond)
	tr.finish()
	w.settle()
	if _, err := account(t, there); err != nil {
		t.Errorf("second cloud: %v; the gateway's last output:\n%s", err, w.gateway.Process().Output())
	}
}

// TestCommandsStayAtHome sends commands down from one cloud whose local topics
// match a route up to the other: they do not go there. What devices publish to
// the same topics does.
func TestCommandsStayAtHome(t *testing.T) {
	s := newSecond(t)
	w := newWorld(t, options{uplink: s.toml()})
	node := w.away(nowhere, "d0")
	c := w.commands(load.Client{Addrs: w.cloud.Addrs()[node : node+1]}, 200)
	w.eventually("commands arrive", time.Minute, func() bool { return c.home.Received() > 100 })
	c.once(c.account())
	ledger := load.NewLedger()
	device := load.NewFleet(load.FleetConfig{
		Client: load.Client{Addrs: []string{w.gateway.Addr}, ID: "marker"}, QoS: 1, Count: 1,
		Topic: func(int, int) string { return gateway.Down + "marker" },
	}, ledger)
	w.must(device.Run(w.soon(time.Minute)))
	w.eventually("the marker arrives", time.Minute, func() bool { of, _ := s.count(gateway.Cmd + "marker"); return of > 0 })
	if _, all := s.count(""); all != 1 {
		t.Errorf("the second cloud got %d topics of commands, want the marker only", all)
	}
}
