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
