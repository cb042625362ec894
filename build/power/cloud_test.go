package power

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"testing"
)

// cloud is a broker that the gateway can reach when it is let in.
type cloud struct {
	port int
	unix string // Mosquitto's socket

	mu     sync.Mutex
	online bool
	lines  map[net.Conn]bool
}

// newCloud starts Mosquitto on a socket of its own, and a door to it that is
// closed.
func newCloud(t *testing.T) *cloud {
	t.Helper()
	dir, err := os.MkdirTemp("", "cloud-")
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	c := &cloud{port: l.Addr().(*net.TCPAddr).Port, unix: dir + "/mqtt", lines: map[net.Conn]bool{}}
	conf := fmt.Sprintf("listener 0 %s\nallow_anonymous true\nuser root\nmax_inflight_messages 0\nmax_queued_messages 0\n", c.unix)
	must(t, os.WriteFile(dir+"/conf", []byte(conf), 0o600))
	name, err := exec.LookPath("mosquitto")
	if err != nil {
		name = "/usr/sbin/mosquitto"
	}
	p := exec.Command(name, "-c", dir+"/conf")
	must(t, p.Start())
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { c.serve(ctx, l) })
	t.Cleanup(func() {
		cancel()
		l.Close()
		wg.Wait()
		p.Process.Kill()
		p.Wait()
		must(t, os.RemoveAll(dir))
	})
	eventually(t, "mosquitto listens", func() bool {
		conn, err := net.Dial("unix", c.unix)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return c
}

func (c *cloud) setOnline(online bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.online = online
	for conn := range c.lines {
		if !online {
			conn.Close()
		}
	}
}

func (c *cloud) serve(ctx context.Context, l net.Listener) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		if c.admits(in) {
			wg.Go(func() { c.pass(ctx, in) })
		}
	}
}

func (c *cloud) admits(in net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.online {
		in.Close()
		return false
	}
	c.lines[in] = true
	return true
}

func (c *cloud) pass(ctx context.Context, in net.Conn) {
	defer func() {
		in.Close()
		c.mu.Lock()
		delete(c.lines, in)
		c.mu.Unlock()
	}()
	out, err := net.Dial("unix", c.unix)
	if err != nil {
		return
	}
	defer context.AfterFunc(ctx, func() { in.Close(); out.Close() })()
	var wg sync.WaitGroup
	wg.Go(func() { io.Copy(out, in); out.Close() })
	wg.Go(func() { io.Copy(in, out); in.Close() })
	wg.Wait()
}

// dial is how a consumer comes to the cloud, which it always can.
func (c *cloud) dial(ctx context.Context, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "unix", c.unix)
}
