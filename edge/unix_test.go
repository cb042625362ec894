package edge

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func onSocket(path string) func(*Config) {
	return func(c *Config) { c.Listeners[0].Bind = unixPrefix + path }
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	b := startBroker(t, Options{}, onSocket(path), func(c *Config) { c.Listeners[0].ConnectionsPerAddr = 2 })
	s, p := connect(t, b, "s"), connect(t, b, "p")
	s.subscribe(sub{filter: "t", qos: 2})
	p.publish("t", strings.Repeat("x", 100_000), 2)
	s.message("t", strings.Repeat("x", 100_000))
	dial(t, b).ended() // the third of this user
	p.bye()
	until(t, "there is room", func() bool { return b.Stats().Connections == 1 })
	again := connect(t, b, "s")
	if got := s.ended(); got != 0x8e {
		t.Errorf("takeover: got reason %#x, want 0x8e", got)
	}
	again.ping()
}

func TestUnixSocketModeAndOwner(t *testing.T) {
	me := fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid())
	want := uint32(os.Getgid())
	if os.Getuid() == 0 {
		me, want = ":65534", 65534
	}
	for mode, bits := range map[string]fs.FileMode{"": 0o660, "0606": 0o606, "600": 0o600} {
		path := filepath.Join(t.TempDir(), "s")
		b := startBroker(t, Options{}, onSocket(path), func(c *Config) { c.Listeners[0].Mode, c.Listeners[0].Owner = mode, me })
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != bits {
			t.Errorf("mode %q: got %o, want %o", mode, got, bits)
		}
		if got := info.Sys().(*syscall.Stat_t).Gid; got != want {
			t.Errorf("owner %q: got group %d, want %d", me, got, want)
		}
		cfg := *b.config()
		cfg.Listeners = []ListenerConfig{cfg.Listeners[0]}
		cfg.Listeners[0].Mode = "0640"
		if err := b.Reload(cfg); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
			t.Errorf("after a reload: got %v, %v, want mode 0640", info, err)
		}
		connect(t, b, "p").ping()
	}
}

func TestUnixSocketThatIsThere(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: at("stale")})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false) // as kill -9 leaves it
	stale.Close()
	stop := run(t, mustListen(t, at("stale"), ""))
	mustListen(t, at("stale"), "another program listens there")
	stop()
	if _, err := os.Lstat(at("stale")); err == nil {
		t.Error("a clean stop leaves the socket")
	}
	replaceFile(t, at("file"), nil)
	mustListen(t, at("file"), "is no socket")
	mustListen(t, at("none/s"), "the folder of")
}

// mustListen makes a broker that listens on a socket, unless it says want.
func mustListen(t *testing.T, path, want string) *Broker {
	t.Helper()
	cfg := DefaultConfig()
	onSocket(path)(&cfg)
	b, err := New(cfg, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err = b.Listen(); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Fatalf("got %v, want %q", err, want)
	}
	return b
}

func TestUnixSocketOwners(t *testing.T) {
	for text, want := range map[string][2]int{"": {-1, -1}, "0": {0, -1}, "root": {0, -1}, "root:root": {0, 0}, ":root": {-1, 0}, ":42": {-1, 42}} {
		uid, gid, err := ids(text)
		if err != nil || uid != want[0] || gid != want[1] {
			t.Errorf("%q: got %d, %d, %v, want %v", text, uid, gid, err, want)
		}
	}
	for _, text := range []string{"no-such-user", ":no-such-group"} {
		if _, _, err := ids(text); err == nil || !strings.Contains(err.Error(), "no such") {
			t.Errorf("%q: got %v", text, err)
		}
	}
}
