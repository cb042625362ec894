package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// testInstalled is the life of a package on a machine: the parts follow each
// other.
func testInstalled(t *testing.T, r root, o order) {
	r.t = t
	fresh := r.put(filepath.Join(o.dist, "tidegate_"+version+"_amd64.deb"))
	old := r.put(older(t, o))
	r.install(old)
	t.Run("without a service manager", func(t *testing.T) { testChroot(t, r, old) })
	m := r.boot()
	for _, part := range []struct {
		name string
		test func(*machine, *testing.T)
	}{
		{"started at boot", (*machine).started},
		{"answers", (*machine).answers},
		{"has no rights", (*machine).confined},
		{"reloads", (*machine).reloads},
		{"upgraded", func(m *machine, t *testing.T) { m.upgraded(t, fresh) }},
		{"hangs", (*machine).hangs},
		{"removed", func(m *machine, t *testing.T) { m.removed(t, fresh) }},
		{"purged", (*machine).purged},
	} {
		if !t.Run(part.name, func(t *testing.T) { part.test(m.with(t), t) }) {
			break
		}
	}
	m.off()
}

// older makes a package of an older version, with another configuration.
func older(t *testing.T, o order) string {
	t.Helper()
	words, err := o.ask()
	if err != nil {
		t.Fatal(err)
	}
	words.sample = append([]byte("# As it was in 1.1.\n"), words.sample...)
	deb := filepath.Join(t.TempDir(), "tidegate_1.1.0_amd64.deb")
	if err := o.pack(targets[0], "1.1.0", words, deb); err != nil {
		t.Fatal(err)
	}
	return deb
}

func (r root) install(deb string) {
	r.t.Helper()
	r.do("dpkg -i " + deb)
}

// What an image builder does.
func testChroot(t *testing.T, r root, old string) {
	r.t = t
	if got, want := r.do("id -Gn tidegate"), "tidegate gpio i2c spi"; got != want {
		t.Errorf("groups of the user: got %s, want %s", got, want)
	}
	if got, want := r.do("stat -c '%U:%G %a' /var/lib/tidegate /etc/tidegate /etc/tidegate/tidegate.toml | paste -sd ' '"), "tidegate:tidegate 700 root:root 755 root:root 644"; got != want {
		t.Errorf("folders: got %s, want %s", got, want)
	}
	if got, want := r.do("runuser -u tidegate -- tidegate check"), "/etc/tidegate/tidegate.toml: good"; got != want {
		t.Errorf("check: got %s, want %s", got, want)
	}
	if got, want := r.do("getent passwd tidegate | cut -d: -f7"), "/usr/sbin/nologin"; got != want {
		t.Errorf("shell: got %s, want %s", got, want)
	}
	r.do("dpkg --verify tidegate")
	r.do("udevadm verify --no-summary /usr/lib/udev/rules.d/60-tidegate.rules")
	enabled := func(want string) {
		t.Helper()
		if got, _ := r.try("systemctl is-enabled tidegate.service"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	enabled("enabled")
	r.do("systemctl disable tidegate.service")
	r.install(old)
	enabled("disabled") // who has disabled it meant it
	r.do("systemctl enable tidegate.service")
	testShells(t, r)
}

// zsh and fish read the completions; bash is tested beside the program.
func testShells(t *testing.T, r root) {
	if got := r.do(`HOME=/tmp fish -c "complete -C 'tidegate spool dead re'"`); !strings.HasPrefix(got, "retry\t") {
		t.Errorf("fish: got %q, want retry and what it does", got)
	}
	script := `autoload -U compinit; compinit -u -D
		_describe() { print -l -- "$1" ${(P)2}; }; _files() { print files; }
		words=(tidegate spool dead re); CURRENT=4; autoload +X _tidegate; _tidegate
		words=(tidegate check x); CURRENT=3; _tidegate; print -- $_comps[tidegate]`
	got := r.do("HOME=/tmp zsh -c '" + script + "'")
	for _, want := range []string{"command\nlist:", "\nretry:", "\nfiles\n_tidegate"} {
		if !strings.Contains(got, want) {
			t.Errorf("zsh: got %q, want %q in it", got, want)
		}
	}
}

func (m *machine) started(t *testing.T) {
	for name, want := range map[string]string{"ActiveState": "active", "Type": "notify", "User": "tidegate", "WatchdogUSec": "30s", "DynamicUser": "no", "NRestarts": "0"} {
		if got := m.property(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	if !strings.Contains(m.log(), "nobody is let in") {
		t.Errorf("the default configuration lets somebody in: %s", m.log())
	}
	if out, err := m.client("mosquitto_pub", "-t", "home/x", "-m", "1"); err == nil || !strings.Contains(out, "not authorised") {
		t.Errorf("publish with the default configuration: got %v: %s, want a refusal", err, out)
	}
}

// own is the administrator's configuration.
const own = "[gateway]\nid = \"house\"\n[[edge.listener]]\nbind = \"127.0.0.1:1883\"\nanonymous = true\n"

// kept is a retained message, to be found again after whatever comes.
func (m *machine) kept() {
	m.t.Helper()
	out, err := m.client("mosquitto_sub", "-t", "home/kept", "-C", "1", "-W", "100", "-q", "1")
	if err != nil || out != "precious" {
		m.t.Errorf("the retained message: got %q, %v", out, err)
	}
}

func (m *machine) answers(*testing.T) {
	m.write("/etc/tidegate/tidegate.toml", own)
	m.do("systemctl restart tidegate")
	if out, err := m.client("mosquitto_pub", "-q", "1", "-r", "-t", "home/kept", "-m", "precious"); err != nil {
		m.t.Fatalf("publish: %v: %s\n%s", err, out, m.log())
	}
	m.kept()
}

func (m *machine) confined(t *testing.T) {
	status := m.do("cat /proc/" + m.property("MainPID") + "/status")
	for _, want := range []string{"CapInh:\t0000000000000000\n", "CapPrm:\t0000000000000000\n", "CapEff:\t0000000000000000\n", "CapBnd:\t0000000000000000\n", "CapAmb:\t0000000000000000\n",
		"NoNewPrivs:\t1\n", "Seccomp:\t2\n"} {
		if !strings.Contains(status, want) {
			t.Errorf("want %q in\n%s", want, status)
		}
	}
	// Groups count though it has a user namespace of its own, where they have no
	// name.
	m.write("/etc/tidegate/gpio", "")
	m.do("chgrp gpio /etc/tidegate/gpio; chmod 040 /etc/tidegate/gpio")
	m.write("/etc/systemd/system/tidegate.service.d/groups.conf", "[Service]\nExecStartPre=cat /etc/tidegate/gpio\n")
	m.do("systemctl daemon-reload; systemctl restart tidegate")
}

func (m *machine) reloads(t *testing.T) {
	before := m.property("MainPID")
	m.write("/etc/tidegate/tidegate.toml", strings.Replace(own, "[[edge", "log-level = \"debug\"\n[[edge", 1))
	m.do("systemctl reload tidegate")
	if got := m.property("MainPID"); got != before {
		t.Errorf("process: got %s, want %s: it was restarted", got, before)
	}
	m.eventually("the reload is told", func() error {
		if !strings.Contains(m.log(), "msg=reloaded") {
			return fmt.Errorf("not yet")
		}
		return nil
	})
	if got := m.property("ActiveState"); got != "active" {
		t.Errorf("got %s, want active", got)
	}
}

// An upgrade keeps the configuration that was changed, and the state.
func (m *machine) upgraded(t *testing.T, deb string) {
	before, config := m.property("MainPID"), m.read("/etc/tidegate/tidegate.toml")
	m.do("dpkg --force-confdef -i " + deb)
	if got := m.read("/etc/tidegate/tidegate.toml"); got != config {
		t.Errorf("configuration: got %q, want %q", got, config)
	}
	if !m.has("/etc/tidegate/tidegate.toml.dpkg-dist") {
		t.Error("the new configuration is not laid beside the old one")
	}
	if got := m.property("MainPID"); got == before || got == "0" {
		t.Errorf("process: got %s, and %s before: it was not restarted", got, before)
	}
	if got, want := m.do("dpkg-query -W -f '${Version} ${db:Status-Abbrev}' tidegate"), version+" ii"; strings.TrimSpace(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
	m.kept()
}

// The watchdog ends a gateway that hangs, and another one starts.
func (m *machine) hangs(t *testing.T) {
	m.write("/etc/systemd/system/tidegate.service.d/watchdog.conf", "[Service]\nWatchdogSec=5\n")
	m.do("systemctl daemon-reload; systemctl restart tidegate")
	before := m.property("MainPID")
	m.do("kill -STOP " + before)
	m.eventually("the watchdog fires", func() error {
		if got, restarts := m.property("MainPID"), m.property("NRestarts"); got == before || got == "0" || restarts == "0" {
			return fmt.Errorf("process %s, before %s, %s restarts", got, before, restarts)
		}
		if got := m.property("ActiveState"); got != "active" {
			return fmt.Errorf("%s", got)
		}
		return nil
	})
	if log := m.log(); !strings.Contains(log, "Watchdog timeout") {
		t.Errorf("it was not the watchdog: %s", log)
	}
	m.kept()
}

// Removed, the gateway is gone and its state is not.
func (m *machine) removed(t *testing.T, deb string) {
	m.do("dpkg -r tidegate")
	if out, err := m.client("mosquitto_pub", "-t", "home/x", "-m", "1"); err == nil || !strings.Contains(out, "refused") {
		t.Errorf("publish: got %v: %s, want that nobody listens", err, out)
	}
	for _, name := range []string{"/etc/tidegate/tidegate.toml", "/var/lib/tidegate/edge.db"} {
		if !m.has(name) {
			t.Errorf("%s is gone", name)
		}
	}
	m.do("dpkg -i " + deb)
	m.kept()
}

// Purged, nothing is left but the user.
func (m *machine) purged(t *testing.T) {
	m.write("/etc/tidegate/cloud-password", "secret")
	m.do("dpkg -P tidegate")
	for _, name := range []string{"/etc/tidegate", "/var/lib/tidegate", "/run/tidegate", "/usr/bin/tidegate", "/usr/share/doc/tidegate",
		"/etc/systemd/system/multi-user.target.wants/tidegate.service", "/etc/systemd/system/tidegate.service"} {
		if m.has(name) {
			t.Errorf("%s is there", name)
		}
	}
	m.do("getent passwd tidegate")
	if out := m.do("systemctl daemon-reload; systemctl list-unit-files 'tidegate*' --no-legend || true"); out != "" {
		t.Errorf("units: %s", out)
	}
	if out := m.do("find /var/lib/systemd -name 'tidegate*'"); out != "" {
		t.Errorf("deb-systemd-helper still knows %s", out)
	}
}
