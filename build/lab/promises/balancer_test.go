package promises

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tidegate/build/bench/load"
	"tidegate/build/lab/balancer"
	"tidegate/build/lab/cert"
	"tidegate/build/lab/cloud"
	"tidegate/build/lab/gateway"
	"tidegate/uplink"
)

// balance puts a load balancer that ends TLS between the gateway and the
// cloud, with one way to it: the gateway has a single endpoint.
func (w *world) balance(kind, more string) (endpoints []string, config string) {
	w.t.Helper()
	authority, err := cert.NewAuthority()
	w.must(err)
	pair, err := authority.Issue("127.0.0.1", time.Now().Add(time.Hour))
	w.must(err)
	ca := filepath.Join(w.t.TempDir(), "ca.pem")
	w.must(os.WriteFile(ca, authority.PEM, 0o600))
	w.balancer, err = balancer.Start(w.soon(time.Minute), kind, w.cloud.Addrs(), balancer.Options{Cert: append(pair.Cert, pair.Key...), Proxy: w.cloud.Proxied})
	w.must(err)
	w.t.Cleanup(w.balancer.Close)
	return []string{"mqtts://" + w.way(w.balancer.TLSAddr)}, fmt.Sprintf("ca-file = %q\n", ca) + more
}

// allFlow waits until every topic has arrived after the moment.
func (w *world) allFlow(when string, topics int, after time.Time) {
	w.t.Helper()
	w.eventually("all topics arrive "+when, time.Minute, func() bool { return w.watch.flowing(topics, after) })
}

// nodesUp waits until HAProxy's checks have found all nodes.
func (w *world) nodesUp() {
	w.t.Helper()
	if w.balancer.Kind != "haproxy" {
		return
	}
	w.eventually("HAProxy has all nodes", time.Minute, func() bool {
		up, err := w.balancer.Up()
		return err == nil && len(up) == len(w.cloud.Nodes) && !slices.Contains(up, false)
	})
}

// TestBalancer runs the gateway through each load balancer, its only endpoint:
// connections cut, nodes killed, the load balancer reloaded, restarted and
// killed, and no node behind it, all under load.
func TestBalancer(t *testing.T) {
	for _, kind := range balancer.Kinds() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel() // most of the time they wait
			dir := t.TempDir()
			w := newWorld(t, options{balancer: kind, dataDir: dir})
			const devices = 10
			tr := w.publish(load.FleetConfig{Clients: devices, Rate: 200, Size: 200})
			w.allFlow("at first", devices, time.Now())
			if kind == "haproxy" {
				w.comesBack(devices)
			}
			for n := range w.cloud.Nodes {
				w.nodesUp()
				w.disturb(fmt.Sprint("node ", n, " killed"), devices, w.cloud.Nodes[n].Kill)
				w.must(w.cloud.Nodes[n].Start(w.soon(time.Minute)))
			}
			w.disturb("reloaded", devices, func() { w.must(w.balancer.Reload(w.soon(time.Minute), w.cloud.Addrs())) })
			w.disturb("restarted", devices, func() { w.must(w.balancer.Restart(w.soon(time.Minute))) })
			w.balancer.Kill()
			w.offline() // what is in front of it must refuse, too
			w.says(dir, uplink.FaultRefused)
			w.must(w.balancer.Begin(w.soon(time.Minute)))
			w.online()
			w.allFlow("with the load balancer back", devices, time.Now())
			w.cloud.Kill()
			w.says(dir, uplink.FaultNoNode)
			w.must(w.cloud.Start(w.soon(time.Minute)))
			w.allFlow("with the nodes back", devices, time.Now())
			tr.finish()
			w.settle()
		})
	}
}

// disturb breaks something and waits until every topic arrives again. What it
// reports is the longest silence of a topic.
func (w *world) disturb(what string, topics int, do func()) {
	w.t.Helper()
	w.watch.reset()
	do()
	began := time.Now()
	time.Sleep(100 * time.Millisecond)
	w.allFlow("with "+what, topics, began.Add(100*time.Millisecond))
	w.t.Logf("%s: longest silence of a topic %v", what, w.watch.silence().Round(time.Millisecond))
}

// comesBack cuts the gateway's connections: each link must come back to the
// node that it was on, by HAProxy's table and by what the nodes write down.
func (w *world) comesBack(topics int) {
	w.t.Helper()
	at := w.watch.nodes()
	table, err := w.balancer.Table()
	w.must(err)
	for range 3 {
		for _, way := range w.ways {
			way.Cut()
		}
		w.allFlow("after a cut", topics, time.Now().Add(100*time.Millisecond))
		if now := w.watch.nodes(); !maps.Equal(now, at) {
			w.t.Errorf("after a cut topics arrive at %v, want %v", now, at)
		}
	}
	again, err := w.balancer.Table()
	w.must(err)
	links := []string{"lab-d0", "lab-u0", "lab-u1"}
	if got := slices.Sorted(maps.Keys(table)); !slices.Equal(got, links) {
		w.t.Errorf("the table has %q, want %q", got, links)
	}
	if !maps.Equal(again, table) {
		w.t.Errorf("after the cuts the table is %v, want %v", again, table)
	}
}

// says waits until the gateway's status names the fault of every up link.
func (w *world) says(dataDir string, want uplink.Fault) {
	w.t.Helper()
	var last uplink.Stats
	w.eventually(fmt.Sprintf("the gateway says %q", want), time.Minute, func() bool {
		s, err := gateway.ReadStatus(dataDir)
		last = s.Cloud()
		return err == nil && len(last.Links) > 0 && !slices.ContainsFunc(last.Links, func(l uplink.LinkStats) bool {
			return !l.Down && (l.Fault != want || l.Cause == "")
		})
	})
	w.t.Logf("%s: %s", want, last.Links[0].Cause)
}

// TestRabbitMQBalancer is the real thing: the cluster behind each load
// balancer, with TLS and the PROXY protocol, and the node under an up link
// killed. The node where the account's subscriber is stays.
func TestRabbitMQBalancer(t *testing.T) {
	ctx := t.Context()
	nodes, err := cloud.Open(ctx, "rabbitmq-proxied", t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nodes.Close)
	for _, kind := range balancer.Kinds() {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t, options{on: nodes, balancer: kind})
			const devices, account = 10, 0
			tr := w.publish(load.FleetConfig{Clients: devices, Rate: 200, Size: 200})
			w.allFlow("at first", devices, time.Now())
			w.introduced()
			node := account + 1
			if kind == "haproxy" {
				node = w.tableSays(account)
			}
			w.nodesUp()
			w.disturb(fmt.Sprint("node ", node, " killed"), devices, nodes.Nodes[node].Kill)
			w.disturb("restarted", devices, func() { w.must(w.balancer.Restart(w.soon(time.Minute))) })
			w.must(nodes.Nodes[node].Start(w.soon(2 * time.Minute)))
			w.allFlow("again", devices, time.Now())
			tr.finish()
			w.settle()
		})
	}
}

// tableSays returns the node of an up link by HAProxy's table, not the one given.
func (w *world) tableSays(not int) int {
	w.t.Helper()
	table, err := w.balancer.Table()
	w.must(err)
	for _, link := range []string{"lab-u0", "lab-u1"} {
		if node, ok := table[link]; ok && node != not {
			return node
		}
	}
	w.t.Fatalf("the table is %v, want an up link on another node than %d", table, not)
	return 0
}

// introduced connects through the load balancer and looks for its own address
// in what the nodes print: the PROXY protocol brings it there.
func (w *world) introduced() {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.balancer.Addr)
	w.must(err)
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	_, err = io.WriteString(conn, "\x10\x10\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x03who")
	connack := make([]byte, 4)
	_, err2 := io.ReadFull(conn, connack)
	w.must(errors.Join(err, err2))
	if connack[0] != 0x20 || connack[3] != 0 {
		w.t.Fatalf("got % x, want a CONNACK", connack)
	}
	w.eventually("a node names "+conn.LocalAddr().String(), 30*time.Second, func() bool {
		return slices.ContainsFunc(w.cloud.Nodes, func(n *cloud.Node) bool {
			return strings.Contains(n.Process().Output(), conn.LocalAddr().String()+" ")
		})
	})
}
