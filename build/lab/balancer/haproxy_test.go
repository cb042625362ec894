package balancer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidegate/build/lab/cloud"
)

// TestSticky: a client comes back to its node, by its client id alone, also
// after a reload; a restart forgets.
func TestSticky(t *testing.T) {
	t.Parallel() // settled takes ten seconds
	nodes := open(t)
	b := begin(t, "haproxy", nodes.Addrs(), Options{})
	first := map[string]string{}
	for i := range 6 {
		id := fmt.Sprint("gateway-u", i)
		first[id] = join(t, dial(t, b.Addr, nil), id).node(t)
	}
	same := func() {
		t.Helper()
		table, err := b.Table()
		if err != nil {
			t.Fatal(err)
		}
		for id, want := range first {
			if got := b.at(t, id); got != want {
				t.Errorf("%s: got %s, want %s", id, got, want)
			}
			if node, ok := table[id]; !ok || nodes.Nodes[node].Name != want {
				t.Errorf("%s: the table says %d (%v), want %s", id, node, ok, want)
			}
		}
	}
	same()
	settled(t, b)
	if err := b.Reload(soon(t), nodes.Addrs()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new worker has the table", func() bool {
		table, err := b.Table()
		return err == nil && len(table) >= len(first)
	})
	same()
	if err := b.Restart(soon(t)); err != nil {
		t.Fatal(err)
	}
	if table, err := b.Table(); err != nil || len(table) > 0 {
		t.Errorf("after a restart: got %v, %v; want an empty table", table, err)
	}
}

// settled waits until HAProxy has learned from its peers, or given up: in the
// ten seconds before that it hands no table on at a reload.
func settled(t *testing.T, b *Balancer) {
	t.Helper()
	flags := regexp.MustCompile(`flags=0x([0-9a-f]+) resync`)
	eventually(t, "HAProxy has looked for a table", func() bool {
		text, err := b.ask("show peers")
		found := flags.FindStringSubmatch(text)
		if err != nil || found == nil {
			return false
		}
		n, err := strconv.ParseUint(found[1], 16, 32)
		const local, remote = 1, 2
		return err == nil && n&(local|remote) == local|remote
	})
}

// TestNodeHangs: the health check finds a node that accepts connections and
// answers nothing, and closes those that are on it; when it answers again it is
// used again.
func TestNodeHangs(t *testing.T) {
	nodes := open(t)
	b := begin(t, "haproxy", nodes.Addrs(), Options{})
	c := join(t, dial(t, b.Addr, nil), "client")
	name := c.node(t)
	dead := slices.IndexFunc(nodes.Nodes, func(n *cloud.Node) bool { return n.Name == name })
	nodes.Nodes[dead].Pause()
	began := time.Now()
	select {
	case <-c.Done():
	case <-time.After(30 * time.Second):
		t.Fatal("the connection to a hanging node stays open")
	}
	t.Logf("closed %v after the node hung", time.Since(began).Round(time.Millisecond))
	if got := b.at(t, "client"); got == name {
		t.Errorf("got the hanging node again")
	}
	nodes.Nodes[dead].Resume()
	eventually(t, "the node is up again", func() bool {
		up, err := b.Up()
		return err == nil && !slices.Contains(up, false)
	})
}

// TestNotMQTT: what does not begin with a CONNECT never reaches a node.
func TestNotMQTT(t *testing.T) {
	nodes := open(t)
	b := begin(t, "haproxy", nodes.Addrs(), Options{})
	for name, hello := range map[string]string{
		"HTTP":      "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"a ping":    "\xc0\x00",
		"a PUBLISH": "\x30\x04\x00\x01ab",
	} {
		conn := dial(t, b.Addr, nil)
		conn.SetDeadline(time.Now().Add(30 * time.Second))
		io.WriteString(conn, hello)
		if n, err := conn.Read(make([]byte, 1)); n > 0 || os.IsTimeout(err) {
			t.Errorf("%s: got %d bytes, %v; want a closed connection", name, n, err)
		}
	}
	if table, err := b.Table(); err != nil || len(table) > 0 {
		t.Errorf("got table %v, %v; want an empty one", table, err)
	}
}

// TestProduction lets HAProxy check the configuration that is not run here.
func TestProduction(t *testing.T) {
	text, err := os.ReadFile("emqx/haproxy.cfg")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	pem, _ := identity(t)
	cert, config := filepath.Join(dir, "mqtt.pem"), filepath.Join(dir, "haproxy.cfg")
	replaced := strings.NewReplacer("/etc/haproxy/mqtt.pem", cert, "user haproxy", "", "group haproxy", "").Replace(string(text))
	if err := errors.Join(os.WriteFile(cert, pem, 0o600), os.WriteFile(config, []byte(replaced), 0o600)); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(soon(t), "/usr/sbin/haproxy", "-c", "-f", config).CombinedOutput()
	if err != nil || bytes.Contains(out, []byte("WARNING")) {
		t.Errorf("got %v:\n%s", err, out)
	}
}
