package house

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tidegate/build/lab/proc"
	"tidegate/build/lab/proxy"
)

// Cloud is two Mosquittos, each behind a door.
type Cloud struct {
	t     testing.TB
	Nodes []string // host:port behind the doors: for those who look what arrives
	doors []*proxy.Proxy
	nodes []*proc.Process
}

// NewCloud starts a cloud with open doors, until the end of the test. More are
// lines for the configuration of its nodes.
func NewCloud(t testing.TB, more ...string) *Cloud {
	t.Helper()
	ports, err := proc.Ports(2)
	if err != nil {
		t.Fatal(err)
	}
	c := &Cloud{t: t}
	for i, port := range ports {
		at := fmt.Sprintf("127.0.0.1:%d", port)
		file := filepath.Join(t.TempDir(), "mosquitto.conf")
		if err := os.WriteFile(file, fmt.Appendf(nil, "listener %d 127.0.0.1\nallow_anonymous true\nuser root\n%s\n", port, strings.Join(more, "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
		p, err := proc.Start(proc.Command{Name: fmt.Sprintf("mosquitto %d", i), Args: []string{"/usr/sbin/mosquitto", "-c", file}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Kill)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := p.Ready(ctx, func(ctx context.Context) error { return dial(ctx, at) }); err != nil {
			t.Fatal(err)
		}
		door, err := proxy.New(at)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { door.Close() })
		c.Nodes, c.doors, c.nodes = append(c.Nodes, at), append(c.doors, door), append(c.nodes, p)
	}
	return c
}

// Reload lets the nodes read their files of permissions again.
func (c *Cloud) Reload() {
	for _, p := range c.nodes {
		p.Signal(syscall.SIGHUP)
	}
}

func dial(ctx context.Context, at string) error {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", at)
	if err == nil {
		c.Close()
	}
	return err
}

// Endpoints are the doors as a list of TOML.
func (c *Cloud) Endpoints() string {
	var urls []string
	for _, d := range c.doors {
		urls = append(urls, fmt.Sprintf("%q", "mqtt://"+d.Addr()))
	}
	return "[" + strings.Join(urls, ", ") + "]"
}

// Door returns where the gateway finds a node.
func (c *Cloud) Door(node int) string { return c.doors[node].Addr() }

// Shut closes the doors of nodes and cuts who is in; without nodes, all.
func (c *Cloud) Shut(nodes ...int) {
	c.t.Helper()
	c.set(proxy.Fault{Refuse: true}, nodes)
}

// Open opens them again.
func (c *Cloud) Open(nodes ...int) {
	c.t.Helper()
	c.set(proxy.Fault{}, nodes)
}

func (c *Cloud) set(f proxy.Fault, nodes []int) {
	c.t.Helper()
	if len(nodes) == 0 {
		nodes = []int{0, 1}
	}
	for _, n := range nodes {
		if err := c.doors[n].Set(f); err != nil {
			c.t.Fatal(err)
		}
		if f.Refuse {
			c.doors[n].Cut()
		}
	}
}
