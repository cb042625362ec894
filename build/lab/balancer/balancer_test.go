package balancer

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"tidegate/build/lab/cloud"
)

// TestThrough connects through each load balancer, plain and with TLS.
func TestThrough(t *testing.T) {
	nodes := open(t)
	pem, roots := identity(t)
	for _, kind := range Kinds() {
		t.Run(kind, func(t *testing.T) {
			b := begin(t, kind, nodes.Addrs(), Options{Cert: pem})
			if name := b.at(t, "plain"); name == "" {
				t.Error("the node has no name")
			}
			c := join(t, dial(t, b.TLSAddr, roots), "secret")
			if name := c.node(t); name == "" {
				t.Error("the node has no name")
			}
			c.Disconnect(&paho.Disconnect{})
		})
	}
}

// TestSpread: clients that come one by one are spread evenly.
func TestSpread(t *testing.T) {
	nodes := open(t)
	for _, kind := range Kinds() {
		t.Run(kind, func(t *testing.T) {
			b := begin(t, kind, nodes.Addrs(), Options{})
			count := map[string]int{}
			for i := range 9 {
				count[join(t, dial(t, b.Addr, nil), fmt.Sprint("client", i)).node(t)]++
			}
			for _, n := range nodes.Nodes {
				if count[n.Name] < 2 {
					t.Errorf("%s has %d of 9 clients, want about 3", n.Name, count[n.Name])
				}
			}
		})
	}
}

// TestReload: a connection lives through a reload that takes its node off the
// list; whoever comes then does not get there.
func TestReload(t *testing.T) {
	nodes := open(t)
	for _, kind := range Kinds() {
		t.Run(kind, func(t *testing.T) {
			b := begin(t, kind, nodes.Addrs()[:1], Options{})
			old := join(t, dial(t, b.Addr, nil), "old")
			if err := b.Reload(soon(t), nodes.Addrs()[1:]); err != nil {
				t.Fatal(err)
			}
			eventually(t, "new clients get to the other nodes", func() bool { return b.at(t, "new") != nodes.Nodes[0].Name })
			if got, want := old.node(t), nodes.Nodes[0].Name; got != want {
				t.Errorf("the connection from before is on %s, want %s", got, want)
			}
		})
	}
}

// TestRestart: a restart and a kill close connections; the address stays.
func TestRestart(t *testing.T) {
	nodes := open(t)
	again := []struct {
		name string
		do   func(*Balancer) error
	}{
		{"restart", func(b *Balancer) error { return b.Restart(soon(t)) }},
		{"kill", func(b *Balancer) error { b.Kill(); return b.Begin(soon(t)) }},
	}
	for _, kind := range Kinds() {
		for _, a := range again {
			t.Run(kind+"/"+a.name, func(t *testing.T) {
				b := begin(t, kind, nodes.Addrs(), Options{})
				c := join(t, dial(t, b.Addr, nil), "client")
				if err := a.do(b); err != nil {
					t.Fatal(err)
				}
				select {
				case <-c.Done():
				case <-time.After(30 * time.Second):
					t.Error("the connection from before stays open")
				}
				b.at(t, "client")
			})
		}
	}
}

// TestNodeDies: a client whose node was killed, or hangs, gets to another one.
// HAProxy tells those that are connected by closing their connections, for a
// node that hangs too; nginx leaves that to the clients.
func TestNodeDies(t *testing.T) {
	nodes := open(t)
	for _, kind := range Kinds() {
		t.Run(kind, func(t *testing.T) {
			b := begin(t, kind, nodes.Addrs(), Options{})
			c := join(t, dial(t, b.Addr, nil), "client")
			name := c.node(t)
			dead := slices.IndexFunc(nodes.Nodes, func(n *cloud.Node) bool { return n.Name == name })
			nodes.Nodes[dead].Kill()
			began := time.Now()
			select {
			case <-c.Done():
			case <-time.After(30 * time.Second):
				t.Fatal("the connection to a killed node stays open")
			}
			for i := range 6 {
				if got := b.at(t, "client"); got == name {
					t.Fatalf("try %d: got the killed node", i)
				}
			}
			t.Logf("on another node %v after the kill", time.Since(began).Round(time.Millisecond))
			if err := nodes.Nodes[dead].Start(soon(t)); err != nil {
				t.Fatal(err)
			}
			sign(t, nodes.Nodes[dead])
		})
	}
}

// TestUnprivileged: whatever started it, no process of it is root's.
func TestUnprivileged(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("not root: nothing can be root's")
	}
	for _, kind := range Kinds() {
		b := begin(t, kind, []string{"127.0.0.1:1"}, Options{})
		master := b.Process().PID()
		workers, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", master, master))
		if err != nil {
			t.Fatal(err)
		}
		if len(workers) == 0 {
			t.Errorf("%s has no worker", kind)
		}
		for _, pid := range append(strings.Fields(string(workers)), fmt.Sprint(master)) {
			status, err := os.ReadFile("/proc/" + pid + "/status")
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(status, []byte("\nUid:\t0")) {
				t.Errorf("%s: process %s is root's", kind, pid)
			}
		}
	}
}

// TestNoNode: without a node a client is turned away, not left waiting; when
// one comes it is let in.
func TestNoNode(t *testing.T) {
	nodes := open(t)
	nodes.Kill()
	for _, kind := range Kinds() {
		t.Run(kind, func(t *testing.T) {
			b := begin(t, kind, nodes.Addrs(), Options{})
			conn := dial(t, b.Addr, nil)
			conn.SetDeadline(time.Now().Add(30 * time.Second))
			io.WriteString(conn, "\x10\x0d\x00\x04MQTT\x05\x02\x00\x05\x00\x00\x00")
			if n, err := conn.Read(make([]byte, 1)); n > 0 || os.IsTimeout(err) {
				t.Errorf("got %d bytes, %v; want a closed connection", n, err)
			}
			if err := nodes.Nodes[1].Start(soon(t)); err != nil {
				t.Fatal(err)
			}
			eventually(t, "a client is let in", func() bool {
				_, err := try(t, dial(t, b.Addr, nil), "client")
				return err == nil
			})
			nodes.Kill()
		})
	}
}

func TestUnknownKind(t *testing.T) {
	if _, err := Start(t.Context(), "traefik", nil, Options{}); err == nil {
		t.Error("got no error")
	}
}
