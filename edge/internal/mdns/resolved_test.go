package mdns

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// resolved is a node with systemd's resolver, as other machines in a home have it.
type resolved struct {
	*node
	ctl string // resolvectl
}

// resolvedAt finds systemd's resolver: the machine's own, or the one that make
// setup has unpacked.
func resolvedAt(t *testing.T) (daemon, ctl string) {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	roots := []string{"/", filepath.Join(cache, "tidegate/systemd-resolved")}
	for _, root := range roots {
		daemon, ctl = filepath.Join(root, "lib/systemd/systemd-resolved"), filepath.Join(root, "usr/bin/resolvectl")
		if _, err := os.Stat(daemon); err == nil {
			return daemon, ctl
		}
	}
	t.Fatalf("no systemd-resolved in %q; unpack it with: make setup", roots)
	return "", ""
}

func (w *network) resolved() *resolved {
	w.t.Helper()
	daemon, ctl := resolvedAt(w.t)
	dir := w.t.TempDir()
	for name, text := range map[string]string{
		"bus.conf": `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path=/run/bus</listen><auth>EXTERNAL</auth><policy context="default"><allow user="*"/><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`,
		"passwd":        "root:x:0:0::/root:/bin/sh\nsystemd-resolve:x:65531:65531::/:/bin/false\n",
		"group":         "root:x:0:\nsystemd-resolve:x:65531:\n",
		"resolved.conf": "[Resolve]\nMulticastDNS=yes\nDNSStubListener=no\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
	// What it reads and writes beside its program is this one's alone.
	cmd := exec.Command("unshare", "-m", "sh", "-ec", `mount -t tmpfs -o mode=755 run /run
mkdir -p /run/systemd/resolve
chown 65531:65531 /run/systemd/resolve
mount --bind "$0/passwd" /etc/passwd
mount --bind "$0/group" /etc/group
mount -t tmpfs -o mode=755 etc /etc/systemd
cp "$0/resolved.conf" /etc/systemd/
dbus-daemon --config-file="$0/bus.conf" --nofork &
until [ -S /run/bus ]; do sleep 0.05; done
exec "$1"`, dir, daemon)
	cmd.Env = append(os.Environ(), "DBUS_SYSTEM_BUS_ADDRESS=unix:path=/run/bus")
	r := &resolved{node: w.launch(cmd).plug(), ctl: ctl}
	until(w.t, "systemd-resolved takes mDNS", func() bool {
		_, err := r.ask("mdns", "eth0", "yes")
		return err == nil
	})
	return r
}

// ask runs resolvectl beside it.
func (r *resolved) ask(args ...string) (string, error) {
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	defer stop()
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"-t", fmt.Sprint(r.pid), "-m", "-n", r.ctl}, args...)...)
	cmd.Env = append(os.Environ(), "DBUS_SYSTEM_BUS_ADDRESS=unix:path=/run/bus")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// finds waits until resolvectl answers with some words.
func (r *resolved) finds(args []string, words ...string) {
	r.t.Helper()
	var out string
	defer func() {
		if r.t.Failed() {
			r.t.Logf("resolvectl %q says:\n%s", args, out)
		}
	}()
	until(r.t, fmt.Sprintf("systemd-resolved finds %q", words), func() bool {
		var err error
		if out, err = r.ask(args...); err != nil {
			return false
		}
		for _, s := range words {
			if !strings.Contains(out, s) {
				return false
			}
		}
		return true
	})
}

// systemd-resolved finds the name, the broker and the page, and the name no more
// when it goes.
func TestResolved(t *testing.T) {
	w := newNetwork(t)
	r := w.resolved()
	one := w.gateway("tidegate", "Tidegate on pi").plug()
	one.says("endpoint=tidegate.local services")
	r.finds([]string{"query", "-4", "tidegate.local"}, one.addr())
	r.finds([]string{"service", "Tidegate on pi", "_mqtt._tcp", "local"}, "tidegate.local:1883", one.addr(), "gateway=x")
	r.finds([]string{"service", "Tidegate on pi", "_secure-mqtt._tcp", "local"}, "tidegate.local:8883", one.addr())
	r.finds([]string{"service", "Tidegate on pi", "_http._tcp", "local"}, "tidegate.local:8080", one.addr(), "path=/")
	one.stop()
	until(t, "the name is gone", func() bool {
		out, err := r.ask("query", "-4", "tidegate.local")
		return err != nil && strings.Contains(out, "tidegate.local") && !strings.Contains(out, one.addr())
	})
}
