package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What was acknowledged goes up after a clean stop in an outage, too.
func TestAcknowledgedSurvivesTerm(t *testing.T) {
	p, cloud := startCloud(t, "")
	p.kill()
	file, dir := house(t, openHouse+towards(cloud))
	lines := numbered(200)
	g := startGateway(t, file, dir)
	publish(t, g.port(), "home/meter", lines)
	g.signal(syscall.SIGTERM)
	if code := g.exit(); code != 0 || !strings.Contains(g.out.String(), "msg=stopped") {
		t.Errorf("TERM: got exit code %d\n%s", code, g.out)
	}
	_, cloud = startCloud(t, cloud)
	up := subscribe(t, cloud, "houses/17/#")
	startGateway(t, file, dir)
	receivesAll(up, "houses/17/meter", lines)
}

// A part that ends late takes no other's time: that of the uplink is for the disk.
func TestEachPartHasTimeToStop(t *testing.T) {
	over := time.Now().Add(-time.Hour)
	stuck := make(chan struct{})
	defer close(stuck)
	for name, end := range map[string]func(ctx context.Context){
		"stuck":  func(context.Context) { <-stuck },
		"prompt": func(ctx context.Context) { <-ctx.Done() },
	} {
		p := start(name, func(ctx context.Context) error { end(ctx); return nil }, nil)
		if err := p.stop(over); (err != nil) != (name == "stuck") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// blackHole is a cloud that accepts links and acknowledges nothing.
func blackHole(t *testing.T) (port string, published <-chan struct{}) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	came := make(chan struct{}, 1)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf := make([]byte, 4096)
				if _, err := c.Read(buf); err != nil {
					return
				}
				c.Write([]byte{0x20, 3, 0, 0, 0}) // CONNACK, success
				for {
					n, err := c.Read(buf)
					if err != nil {
						return
					}
					if buf[0]>>4 == 3 && n > 0 {
						select {
						case came <- struct{}{}:
						default:
						}
					}
				}
			}()
		}
	}()
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port, came
}

// outbound is a house with routes up only.
func outbound(t *testing.T, port, drain, spill string) (file, dir string) {
	t.Helper()
	return house(t, openHouse+fmt.Sprintf("[[uplink]]\nendpoints = [\"mqtt://127.0.0.1:%s\"]\ndrain-timeout = %q\n"+
		"[[uplink.up]]\nfilter = \"home/#\"\n[uplink.spool]\nspill-after = %q\n", port, drain, spill))
}

// What is in flight to a cloud that says nothing any more is written at a stop,
// which takes no longer than it may, and goes up after the next start.
func TestStopSpoolsWhatIsInFlight(t *testing.T) {
	hole, published := blackHole(t)
	file, dir := outbound(t, hole, "500ms", "1m")
	g := startGateway(t, file, dir)
	run(t, nil, "mosquitto_pub", "-h", "127.0.0.1", "-p", g.port(), "-q", "1", "-t", "home/meter", "-m", "m0")
	<-published
	g.signal(syscall.SIGTERM)
	if code := g.exit(); code != exitOK {
		t.Errorf("got exit code %d\n%s", code, g.out)
	}
	_, cloud := startCloud(t, "")
	up := subscribe(t, cloud, "home/#")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	configure(t, file, strings.ReplaceAll(string(text), ":"+hole, ":"+cloud))
	startGateway(t, file, dir)
	receivesAll(up, "home/meter", []string{"m0"})
}

// A stop lets the acknowledgements out before it disconnects anybody: otherwise
// devices would send again what is safe already.
func TestStopAcknowledgesWhatItKeeps(t *testing.T) {
	hole, published := blackHole(t)
	file, dir := outbound(t, hole, "500ms", "500ms")
	g := startGateway(t, file, dir)
	device := run(t, nil, "mosquitto_pub", "-h", "127.0.0.1", "-p", g.port(), "-q", "1", "-t", "home/meter", "-m", "m0")
	<-published
	g.signal(syscall.SIGTERM)
	if code := device.exit(); code != 0 {
		t.Errorf("the device got no acknowledgement: %s\n%s", device.out, g.out)
	}
	if code := g.exit(); code != exitOK {
		t.Errorf("got exit code %d\n%s", code, g.out)
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	hole, published := blackHole(t)
	file, dir := outbound(t, hole, "1m", "1m")
	g := startGateway(t, file, dir)
	run(t, nil, "mosquitto_pub", "-h", "127.0.0.1", "-p", g.port(), "-q", "1", "-t", "home/meter", "-m", "m0")
	<-published
	g.signal(syscall.SIGINT)
	g.says("msg=stopping")
	for range 20 { // the first ones may be taken for the same signal
		time.Sleep(100 * time.Millisecond)
		if g.cmd.Process.Signal(syscall.SIGINT) != nil {
			break
		}
	}
	if code := g.exit(); code != exitBad || !strings.Contains(g.out.String(), "second signal") {
		t.Errorf("got exit code %d\n%s", code, g.out)
	}
}
