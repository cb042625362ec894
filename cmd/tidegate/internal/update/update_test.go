package update

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tidegate/internal/formats"
	"tidegate/internal/slots"
)

// gateway is a System on a folder. RAUC is a script: `info` prints the bundle,
// which is its JSON, if it begins with a brace; `install` does what RAUC does
// with the slots.
type gateway struct {
	System
	t *testing.T
}

const stub = `#!/bin/sh
set -e
verb=$1; shift
for last; do :; done
case $verb in
info)
	case $(head -c 1 "$last") in
	"{") cat "$last" ;;
	s) echo 'rauc-Message: 01:02:28.802: Verifying bundle signature... ' >&2; echo 'signature verification failed: Verify error: self-signed certificate' >&2; exit 1 ;;
	*) echo 'Invalid bundle format: Signature size (16202513943986716577) exceeds bundle size' >&2; exit 1 ;;
	esac ;;
install)
	echo installing
	echo '  0% Installing'
	$BACKEND set-state B bad
	echo ' 40% Updating slots'
	if grep -q breaks "$last"; then echo 'LastError: No space left on device' >&2; exit 1; fi
	$BACKEND set-primary B
	echo '100% Installing done.' ;;
esac
`

// TestMain lets the stub call the test binary as RAUC calls tidegate.
func TestMain(m *testing.M) {
	if dir := os.Getenv("UPDATE_TEST_BACKEND"); dir != "" {
		s := System{Boot: filepath.Join(dir, "boot"), CommandLine: filepath.Join(dir, "cmdline")}
		if err := s.Backend(os.Stdout, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func newGateway(t *testing.T, version string) *gateway {
	t.Helper()
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	g := &gateway{t: t, System: System{
		Version: version, Compatible: Compatible, Boot: in("boot"), State: in("state"), Data: in("data"), Run: in("run"),
		Status: in("status.sock"), CommandLine: in("cmdline"),
		RAUC:   []string{"env", "BACKEND=env UPDATE_TEST_BACKEND=" + dir + " " + self, in("rauc")},
		Reboot: []string{"touch", in("rebooted")},
	}}
	for _, d := range []string{g.Boot, g.State, g.Data, g.Run} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	g.write(in("rauc"), stub, 0o755)
	g.boot("A", version)
	g.set(slots.Fresh())
	return g
}

func (g *gateway) write(name, text string, mode os.FileMode) string {
	g.t.Helper()
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		g.t.Fatal(err)
	}
	return name
}

// boot is a start of a slot with some software.
func (g *gateway) boot(slot slots.Slot, version string) {
	g.t.Helper()
	g.Version = version
	g.write(g.CommandLine, "console=ttyS1 root=PARTUUID=x rauc.slot="+string(slot)+" ro\n", 0o644)
}

// start does what U-Boot does and returns the slot it has started.
func (g *gateway) start() slots.Slot {
	g.t.Helper()
	state := g.state()
	slot := state.Next()
	g.change1(func(s *slots.State) { s.Of(slot).Left-- })
	g.boot(slot, g.Version)
	return slot
}

func (g *gateway) change1(f func(*slots.State)) {
	g.t.Helper()
	if err := slots.Change(g.Boot, f); err != nil {
		g.t.Fatal(err)
	}
}

func (g *gateway) set(s slots.State) { g.change1(func(was *slots.State) { s.Seq = was.Seq; *was = s }) }

func (g *gateway) state() slots.State {
	g.t.Helper()
	s, err := slots.Read(g.Boot)
	if err != nil {
		g.t.Fatal(err)
	}
	return s
}

func (g *gateway) record() Record {
	g.t.Helper()
	r, err := g.Read()
	if err != nil {
		g.t.Fatal(err)
	}
	return r
}

func (g *gateway) phase1(want Phase, part string) {
	g.t.Helper()
	if u := g.record().Update; u.Phase != want || !strings.Contains(u.Error, part) {
		g.t.Errorf("got %+v, want %s and %q in the error", u, want, part)
	}
}

func bundle(version, compatible, build string) string {
	return fmt.Sprintf(`{"compatible":%q,"version":%q,"build":%q,"images":[]}`, compatible, version, build)
}

func (g *gateway) bundle(text string) string {
	return g.write(filepath.Join(g.t.TempDir(), "new.raucb"), text, 0o644)
}

func (g *gateway) install(text string, p Permit) error {
	g.t.Helper()
	return g.Install(g.t.Context(), Order{Source: g.bundle(text), Permit: p}, func(int, string) {})
}

var good = bundle("v1.1.0", Compatible, formatsWord+formats.Ours().String())

func TestNotAnImage(t *testing.T) {
	g := newGateway(t, "v1.0.0")
	g.write(g.CommandLine, "root=/dev/sda1\n", 0o644)
	for name, do := range map[string]func() error{
		"install":  func() error { return g.install(good, Permit{}) },
		"status":   func() error { _, err := g.Report(); return err },
		"confirm":  g.Confirm,
		"rollback": func() error { _, err := g.Rollback(); return err },
	} {
		if err := do(); err != ErrNotImage {
			t.Errorf("%s: got %v, want %v", name, err, ErrNotImage)
		}
	}
	if limit, err := g.Limit(); limit != nil || err != nil {
		t.Errorf("got %v, %v, want no limit", limit, err)
	}
}

func TestInstall(t *testing.T) {
	g := newGateway(t, "v1.0.0")
	var said []string
	err := g.Install(t.Context(), Order{Source: g.bundle(good)}, func(percent int, what string) { said = append(said, fmt.Sprint(percent, " ", what)) })
	if err != nil {
		t.Fatal(err)
	}
	if want := "40 Updating slots"; !slices.Contains(said, want) {
		t.Errorf("got %q, want %q among it", said, want)
	}
	if got, want := g.state(), (slots.State{Seq: 2, First: "B", A: slots.Mark{Left: 3, Good: true}, B: slots.Mark{Left: 3}}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	g.phase1(Installed, "")

	if slot := g.start(); slot != "B" {
		t.Fatalf("got slot %s started, want B", slot)
	}
	g.boot("B", "v1.1.0")
	if limit, err := g.Limit(); err != nil || !maps.Equal(limit, formats.Ours()) {
		t.Errorf("got %v, %v, want the limit of the old software", limit, err)
	}
	if err := g.install(good, Permit{Downgrade: true}); err == nil || !strings.Contains(err.Error(), "on trial") {
		t.Errorf("on trial: got %v, want a refusal", err)
	}
	if err := g.Confirm(); err != nil {
		t.Fatal(err)
	}
	g.phase1(Confirmed, "")
	if limit, err := g.Limit(); limit != nil || err != nil {
		t.Errorf("got %v, %v, want no limit", limit, err)
	}
	var out bytes.Buffer
	r, err := g.Report()
	if err != nil || r.Print(&out) != nil || !strings.Contains(out.String(), "B     v1.1.0   confirmed, runs") {
		t.Errorf("got %v, %s", err, &out)
	}

	if software, err := g.Rollback(); err != nil || software.Version != "v1.0.0" {
		t.Fatalf("got %+v, %v, want v1.0.0", software, err)
	}
	// A restart of the service before the machine's takes nothing back.
	if err := g.Watch(t.Context(), DefaultPatience(), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if slot := g.start(); slot != "A" {
		t.Errorf("got slot %s started, want A", slot)
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		name, bundle string
		permit       Permit
		stored       string
		want         string
	}{
		{name: "signature", bundle: "signed by nobody", want: "not by a key that this gateway trusts"},
		{name: "truncated", bundle: "hsqs...", want: "no whole bundle"},
		{name: "compatible", bundle: bundle("v1.1.0", "toaster", "formats edge=1-1 spool=1-1"), want: `is for "toaster"`},
		{name: "older", bundle: bundle("v0.9.9", Compatible, "formats edge=1-1 spool=1-1"), want: "older than v1.0.0"},
		{name: "same", bundle: bundle("v1.0.0", Compatible, "formats edge=1-1 spool=1-1"), want: "running already"},
		{name: "a commit", bundle: bundle("0d3beca", Compatible, "formats edge=1-1 spool=1-1"), want: "nobody can say"},
		{name: "no formats", bundle: bundle("v1.1.0", Compatible, ""), want: "does not say which stored forms"},
		{name: "formats", bundle: bundle("v1.1.0", Compatible, "formats edge=1-1 spool=2-3"), want: "spool is stored in version 1"},
		{name: "downgrade below what is stored", bundle: bundle("v0.9.0", Compatible, "formats edge=1-1 spool=1-1"), permit: Permit{Downgrade: true}, stored: "spool 2\n", want: "spool is stored in version 2"},
		{name: "full", bundle: bundle("v1.1.0", Compatible, "formats edge=1-1 spool=1-1 breaks=1-1"), want: "No space left"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGateway(t, "v1.0.0")
			if c.stored != "" {
				g.write(filepath.Join(g.Data, "formats"), c.stored, 0o644)
			}
			err := g.install(c.bundle, c.permit)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
			g.phase1(Failed, c.want)
			if s := g.state(); s.Next() != "A" || s.B.Left != 0 {
				t.Errorf("got %+v, want A next and B not to be started", s)
			}
		})
	}
	g := newGateway(t, "v1.0.0")
	if err := g.install(bundle("v0.9.0", Compatible, "formats edge=1-1 spool=1-1"), Permit{Downgrade: true}); err != nil {
		t.Errorf("a downgrade that is permitted: %v", err)
	}
}

// Software that reads less than what is stored is not gone back to.
func TestRollbackThatWouldLose(t *testing.T) {
	g := newGateway(t, "v1.1.0")
	if _, err := g.Rollback(); err == nil || !strings.Contains(err.Error(), "ever found healthy") {
		t.Errorf("got %v, want a refusal: the other slot is empty", err)
	}
	g.change1(func(s *slots.State) { s.B = slots.Mark{Left: 3, Good: true} })
	if err := g.change(func(r *Record) { r.Slots["B"] = Software{"v1.0.0", "edge=1-1 spool=1-1"} }); err != nil {
		t.Fatal(err)
	}
	g.write(filepath.Join(g.Data, "formats"), "edge 1\nspool 2\n", 0o644)
	if _, err := g.Rollback(); err == nil || !strings.Contains(err.Error(), "would not find what waits here") {
		t.Errorf("got %v, want a refusal", err)
	}
	if g.state().Next() != "A" {
		t.Error("B is next")
	}
}

func TestBackend(t *testing.T) {
	g := newGateway(t, "v1.0.0")
	for _, c := range []struct{ args, want string }{
		{"get-primary", "A\n"}, {"get-current", "A\n"}, {"get-state A", "good\n"}, {"get-state B", "bad\n"},
		{"set-primary B", ""}, {"get-primary", "B\n"}, {"get-state B", "good\n"}, {"set-state B bad", ""}, {"get-primary", "A\n"},
	} {
		var out bytes.Buffer
		if err := g.Backend(&out, strings.Fields(c.args)); err != nil || out.String() != c.want {
			t.Errorf("%s: got %q, %v, want %q", c.args, out.String(), err, c.want)
		}
	}
	for _, bad := range []string{"", "get-state", "get-state C", "set-state A", "set-state A perhaps", "format"} {
		if err := g.Backend(&bytes.Buffer{}, strings.Fields(bad)); err == nil {
			t.Errorf("%q: got no error", bad)
		}
	}
}

// What a power cut leaves of the record is read, or is none.
func TestRecordThatCannotBeRead(t *testing.T) {
	g := newGateway(t, "v1.0.0")
	for _, text := range []string{"", "{", `{"form":7}`, "\x00\x00"} {
		g.write(filepath.Join(g.State, recordName), text, 0o644)
		if r := g.record(); r.Update.Phase != "" || r.Slots == nil {
			t.Errorf("%q: got %+v", text, r)
		}
		if err := g.Watch(context.Background(), DefaultPatience(), slog.New(slog.DiscardHandler)); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A damaged record makes no manifest count that came before, and one of its two
// places is enough. With both gone an update is possible all the same.
func TestSerialOutlivesTheRecord(t *testing.T) {
	public, private := keys(t)
	accept := func(g *gateway, serial uint64) error {
		m := manifest()
		m.Serial = serial
		signed, err := m.Sign(private)
		if err != nil {
			t.Fatal(err)
		}
		_, err = g.Accept(signed, public)
		return err
	}
	for _, bad := range []string{"", "{", `{"form":7}`, "\x00\x00"} {
		g := newGateway(t, "v1.0.0")
		if err := g.begin(Order{Serial: 7}, "A"); err != nil {
			t.Fatal(err)
		}
		if err := g.phase(Confirmed, nil); err != nil {
			t.Fatal(err)
		}
		damage := func(name string) { g.write(filepath.Join(g.State, name), bad, 0o644) }
		for _, name := range []string{recordName, serialName, recordName} {
			damage(name)
			for _, old := range []uint64{6, 7} {
				if err := accept(g, old); err == nil || !strings.Contains(err.Error(), "is old: one with 7 came before") {
					t.Errorf("%s is %q, serial %d: got %v, want that it is old", name, bad, old, err)
				}
			}
			if err := accept(g, 8); err != nil {
				t.Errorf("%s is %q, serial 8: %v", name, bad, err)
			}
			if err := g.Watch(t.Context(), DefaultPatience(), slog.New(slog.DiscardHandler)); err != nil { // the next start makes both whole
				t.Fatal(err)
			}
		}
		damage(recordName)
		damage(serialName)
		if err := accept(g, 1); err != nil {
			t.Errorf("both are %q: %v", bad, err)
		}
	}
}

// The power fails between the two places: the manifest may come again.
func TestSerialInOnePlace(t *testing.T) {
	g := newGateway(t, "v1.0.0")
	for _, serial := range []uint64{6, 7} {
		if err := g.begin(Order{Serial: serial}, "A"); err != nil {
			t.Fatal(err)
		}
	}
	g.write(filepath.Join(g.State, serialName), `{"form":1,"serial":6}`, 0o644)
	m := manifest()
	m.Serial = 7
	if err := g.accept(m, g.record()); err != nil {
		t.Error(err)
	}
}
