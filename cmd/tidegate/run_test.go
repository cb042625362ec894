package main

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestMessagesGoUpAndComeDown(t *testing.T) {
	_, cloud := startCloud(t, "")
	g := newHouse(t, openHouse+towards(cloud))
	for _, version := range []string{"311", "5"} {
		t.Run(version, func(t *testing.T) {
			lines := numbered(50)
			topic := "attic-" + version
			up := subscribe(t, cloud, "houses/17/#")
			home := subscribe(t, g.port(), "home/#", "-V", version)
			publish(t, g.port(), "home/"+topic, lines, "-V", version)
			receivesAll(home, "home/"+topic, lines)
			receivesAll(up, "houses/17/"+topic, lines)

			eventually(t, func() bool { // the down link may only now have connected
				publish(t, cloud, "houses/17/commands/light", []string{"on-" + version})
				return strings.Contains(home.out.String(), "got home/commands/light on-"+version)
			}, func() string { return "no command arrived:\n" + home.out.String() + g.out.String() })
		})
	}
	g.signal(syscall.SIGTERM)
	if code := g.exit(); code != 0 {
		t.Errorf("TERM: got exit code %d\n%s", code, g.out)
	}
}

func TestSeveralClouds(t *testing.T) {
	_, a := startCloud(t, "")
	_, b := startCloud(t, "")
	g := newHouse(t, openHouse+strings.Replace(towards(a), "[[uplink]]\n", "[[uplink]]\nname = \"a\"\n", 1)+
		strings.Replace(towards(b), "[[uplink]]\n", "[[uplink]]\nname = \"b\"\n", 1))
	lines := numbered(100)
	inA, inB := subscribe(t, a, "houses/#"), subscribe(t, b, "houses/#")
	publish(t, g.port(), "home/meter", lines)
	receivesAll(inA, "houses/17/meter", lines)
	receivesAll(inB, "houses/17/meter", lines)
}

// What was acknowledged while the cloud was away arrives after a kill -9.
func TestAcknowledgedSurvivesKill(t *testing.T) {
	p, cloud := startCloud(t, "")
	p.kill()
	file, dir := house(t, openHouse+towards(cloud))
	lines := numbered(300)
	for round := range 3 {
		g := startGateway(t, file, dir)
		publish(t, g.port(), "home/meter", lines[round*100:(round+1)*100])
		g.kill()
	}
	_, cloud = startCloud(t, cloud)
	up := subscribe(t, cloud, "houses/17/#")
	startGateway(t, file, dir)
	receivesAll(up, "houses/17/meter", lines)
}

// A disk that is full later does not take the home down.
func TestFullDiskKeepsTheHomeUp(t *testing.T) {
	dir := mount(t, "tmpfs", "tmpfs", 0, "size=2m")
	file := filepath.Join(t.TempDir(), "tidegate.toml")
	configure(t, file, fmt.Sprintf("[gateway]\ndata-dir = %q\n%s%s", dir, openHouse, towards("1")+noPage))
	g := startGateway(t, file, dir)
	fill(t, dir)
	for range 2 {
		home := subscribe(t, g.port(), "#")
		publish(t, g.port(), "kitchen", numbered(20))
		publish(t, g.port(), "kitchen/kept", []string{"x"}, "-r")
		receivesAll(home, "kitchen", numbered(20))
		// What goes up cannot be kept, so it is not acknowledged; the home has
		// it all the same.
		run(t, nil, "mosquitto_pub", "-h", "127.0.0.1", "-p", g.port(), "-q", "1", "-t", "home/meter", "-m", "m0")
		home.says(`got home/meter m0`)
		g.signal(syscall.SIGTERM)
		g.exit()
		g = startGateway(t, file, dir)
	}
}

func TestSystemdIsTold(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	hear := func(want string) {
		t.Helper()
		l.SetReadDeadline(time.Now().Add(patience))
		buf := make([]byte, 512)
		for { // a watchdog's sign of life may come between
			n, err := l.Read(buf)
			if err != nil {
				t.Fatalf("waiting for %s: %v", want, err)
			}
			if got := string(buf[:n]); got == want {
				return
			} else if got != "WATCHDOG=1" {
				t.Fatalf("got %s, want %s", got, want)
			}
		}
	}
	file, dir := house(t, openHouse)
	g := startGateway(t, file, dir, "NOTIFY_SOCKET="+socket, "WATCHDOG_USEC=150000")
	hear("READY=1")
	hear("WATCHDOG=1")
	hear("WATCHDOG=1")
	g.signal(syscall.SIGHUP)
	hear("RELOADING=1")
	hear("READY=1")
	g.signal(syscall.SIGTERM)
	hear("STOPPING=1")
	if code := g.exit(); code != 0 {
		t.Errorf("got exit code %d", code)
	}
}

func TestStatusSocket(t *testing.T) {
	file, dir := house(t, openHouse)
	g := startGateway(t, file, dir)
	first := g.stats()
	if first.Gateway != "house" || first.Epoch == 0 || first.RSS == 0 {
		t.Errorf("got %+v", first)
	}
	g.kill() // and leave the socket behind
	if second := startGateway(t, file, dir).stats(); second.Epoch != first.Epoch+1 {
		t.Errorf("after a restart: got epoch %d, want %d", second.Epoch, first.Epoch+1)
	}
}
