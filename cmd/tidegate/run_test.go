package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
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

func TestReloadAppliesWhatChanged(t *testing.T) {
	file, dir := house(t, openHouse)
	g := startGateway(t, file, dir)
	home := subscribe(t, g.port(), "#")
	good := func(more string) string {
		return fmt.Sprintf("[gateway]\nid = \"house\"\ndata-dir = %q\n%s%s", dir, more, openHouse)
	}
	configure(t, file, good("")+"[[hw.sensor]]\nkind = \"simulated\"\nname = \"attic\"\nevery = \"20ms\"\n")
	g.signal(syscall.SIGHUP)
	g.says(`msg=reloaded`)
	home.says(`got simulated/attic {"value":0,"unit":"°C","simulated":true}`) // and still connected

	configure(t, file, good("log-level = \"loud\"\ncolour = 1\n"))
	g.signal(syscall.SIGHUP)
	g.says(`line=4 problem=.*log-level`)
	g.says(`line=5 problem=.*colour`)
	g.says(`nothing changed`)

	configure(t, file, good("log-format = \"json\"\n"))
	g.signal(syscall.SIGHUP)
	g.says(`take effect at the next start`)
	publish(t, g.port(), "a", []string{"still here"})
	home.says(`got a still here`)
}

// A reload moves the links to another cloud while the home stays connected.
func TestReloadMovesTheUplink(t *testing.T) {
	_, old := startCloud(t, "")
	_, next := startCloud(t, "")
	file, dir := house(t, openHouse+towards(old))
	g := startGateway(t, file, dir)
	up := subscribe(t, old, "houses/17/#")
	publish(t, g.port(), "home/a", []string{"before"})
	receivesAll(up, "houses/17/a", []string{"before"})

	up = subscribe(t, next, "houses/17/#")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	configure(t, file, strings.ReplaceAll(string(text), ":"+old, ":"+next))
	g.signal(syscall.SIGHUP)
	g.says(`msg=reloaded`)
	eventually(t, func() bool { // links roll one by one
		publish(t, g.port(), "home/a", []string{"after"})
		return strings.Contains(up.out.String(), "got houses/17/a after")
	}, func() string { return "the links did not move:\n" + g.out.String() })
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

func TestReloadReadsTheUsersFileAgain(t *testing.T) {
	users := filepath.Join(t.TempDir(), "users.toml")
	hash := strings.TrimSpace(printed(t, "secret\n", "passwd"))
	configure(t, users, "")
	file, dir := house(t, fmt.Sprintf("[edge.access]\nusers-file = %q\n[[edge.listener]]\nbind = \"127.0.0.1:0\"\n", users))
	g := startGateway(t, file, dir)
	configure(t, users, fmt.Sprintf("[[user]]\nname = \"anna\"\npassword = %q\npublish = [\"#\"]\n", hash))
	g.signal(syscall.SIGHUP)
	g.says(`msg=reloaded`)
	publish(t, g.port(), "a", []string{"x"}, "-u", "anna", "-P", "secret")
}

// Everything that stands in the way of a start says what to do.
func TestStartErrorsSayWhatToDo(t *testing.T) {
	occupied, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer occupied.Close()
	address := occupied.Addr().String()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("hunter2"), 0o000); err != nil {
		t.Fatal(err)
	}
	in := func(dir, more string) string {
		return fmt.Sprintf("[gateway]\ndata-dir = %q\n", dir) + more
	}
	withSecret := func(file string) string {
		return fmt.Sprintf("[[uplink]]\nendpoints = [\"mqtt://a\"]\nuser = \"x\"\npassword-file = %q\n[[uplink.up]]\nfilter = \"x\"\n", file)
	}
	full := mount(t, "tmpfs", "tmpfs", 0, "size=64k")
	fill(t, full)
	for _, c := range []struct {
		name, config string
		code         int
		want         []string
	}{
		{"occupied port", in(t.TempDir(), fmt.Sprintf("[[edge.listener]]\nbind = %q\n", address)), 1,
			[]string{address, "another program has this port; stop it", "choose another bind"}},
		{"missing certificate", in(t.TempDir(), "[[edge.listener]]\nbind = \"127.0.0.1:0\"\ncert = \"/nonexistent/cert.pem\"\nkey = \"/nonexistent/key.pem\"\n"), 1,
			[]string{"/nonexistent/cert.pem", "no such file", "correct the path"}},
		{"missing secret", in(t.TempDir(), withSecret("/nonexistent/secret")), 1,
			[]string{`tidegate.toml:6: uplink[0].password-file = "/nonexistent/secret": must be a file that the gateway can read`, "no such file"}},
		{"unreadable secret", in(t.TempDir(), withSecret(secret)), 1,
			[]string{"tidegate.toml:6: uplink[0].password-file", "permission denied for user 0", "chown tidegate"}},
		{"missing data directory", in("/nonexistent/data", openHouse), 1,
			[]string{"/nonexistent/data", "install -d -m 0700"}},
		{"read-only data directory", in(mount(t, "tmpfs", "tmpfs", syscall.MS_RDONLY, "size=64k"), openHouse), 1,
			[]string{"read-only", "mount -o remount,rw", "gateway.data-dir", "dmesg"}},
		{"full data directory", in(full, openHouse), 1,
			[]string{full, "no space left", "df -h", "gateway.data-dir"}},
		{"no file", "", 2, []string{"tidegate sample >"}},
		{"bad configuration", in(t.TempDir(), "[edge]\ncolour = 1\nsync-interval = \"soon\"\n"), 1,
			[]string{"tidegate.toml:4: edge.colour", "tidegate.toml:5: edge.sync-interval"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "tidegate.toml")
			if c.config != "" {
				configure(t, file, c.config)
			}
			// Without these capabilities root may read no more than others.
			p := run(t, nil, "setpriv", "--bounding-set=-dac_override,-dac_read_search", program, "run", file)
			if code := p.exit(); code != c.code {
				t.Errorf("got exit code %d, want %d", code, c.code)
			}
			t.Logf("%s", p.out)
			for _, want := range c.want {
				if !strings.Contains(p.out.String(), want) {
					t.Errorf("got %s\nwant it to say %q", p.out, want)
				}
			}
			if strings.Contains(p.out.String(), "hunter2") {
				t.Errorf("it printed the secret")
			}
		})
	}
}

// A disk that is full later does not take the home down.
func TestFullDiskKeepsTheHomeUp(t *testing.T) {
	dir := mount(t, "tmpfs", "tmpfs", 0, "size=2m")
	file := filepath.Join(t.TempDir(), "tidegate.toml")
	configure(t, file, fmt.Sprintf("[gateway]\ndata-dir = %q\n%s%s", dir, openHouse, towards("1")))
	g := startGateway(t, file, dir)
	fill(t, dir)
	for range 2 {
		home := subscribe(t, g.port(), "#")
		publish(t, g.port(), "kitchen", numbered(20))
		publish(t, g.port(), "kitchen/kept", []string{"x"}, "-r")
		receivesAll(home, "kitchen", numbered(20))
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

// Prints how long a device waits after a start and what the gateway holds in
// RAM when nothing happens. The limits: 150 ms, 25 MB; the test allows the time
// a busy machine needs.
func TestStartTimeAndIdleMemory(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	_, cloud := startCloud(t, "")
	file, dir := house(t, fmt.Sprintf("[[edge.listener]]\nbind = %q\nanonymous = true\n", address)+towards(cloud))
	best := time.Hour
	var g *process
	for range 5 {
		begin := time.Now()
		g = run(t, nil, program, "run", file)
		for !connects(address) {
			if time.Since(begin) > patience {
				t.Fatalf("no CONNECT accepted\n%s", g.out)
			}
			time.Sleep(time.Millisecond)
		}
		best = min(best, time.Since(begin))
		if begin.IsZero() || len(g.out.String()) == 0 {
			g.says("msg=ready")
		}
		g.signal(syscall.SIGTERM)
		g.exit()
	}
	idle := startGateway(t, file, dir)
	time.Sleep(2 * time.Second) // idle is what it is measured at
	rss := resident(t, idle.cmd.Process.Pid)
	t.Logf("start to first accepted CONNECT: %v (best of 5); idle resident: %.1f MB", best, float64(rss)/1e6)
	if best > 2*time.Second {
		t.Errorf("start to first CONNECT: %v", best)
	}
	if rss > 25e6 {
		t.Errorf("idle: %d bytes resident, want less than 25 MB", rss)
	}
}

func resident(t *testing.T, pid int) int64 {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(data))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// printed runs a subcommand in this process and returns what it prints.
func printed(t *testing.T, in string, args ...string) string {
	t.Helper()
	out := &output{}
	if code := dispatch(environment{in: strings.NewReader(in), out: out, err: out}, args); code != exitOK {
		t.Fatalf("%v: exit code %d: %s", args, code, out)
	}
	return out.String()
}
