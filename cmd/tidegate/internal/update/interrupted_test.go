package update

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidegate/internal/slots"
)

// A rollback that was asked for during a trial stays asked for, however healthy
// the new software is.
func TestRollbackOnTrial(t *testing.T) {
	g := onTrial(t)
	if _, err := g.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := g.Watch(t.Context(), quick, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if got := g.state(); got.Next() != "A" || got.B.Good {
		t.Errorf("got %+v, phase %s, want A next", got, g.record().Update.Phase)
	}
}

// An update whose process was killed keeps others off no longer than it lived,
// and may be ordered again.
func TestKilledUpdate(t *testing.T) {
	for _, serial := range []uint64{5, 6} {
		g := newGateway(t, "v1.0.0")
		if err := g.begin(Order{Serial: 5}, "A"); err != nil { // and then SIGKILL: nobody holds the lock
			t.Fatal(err)
		}
		m := manifest()
		m.Serial = serial
		if err := g.accept(m, g.record()); err != nil {
			t.Errorf("serial %d: %v", serial, err)
		}
	}
}

// A server that breaks off and always begins again is asked ever more rarely, and
// not for ever: what it sends wears the card.
func TestDownloadThatBeginsAgain(t *testing.T) {
	g := newGateway(t, "v1.0.0")
	url, requests, _ := flaky(t, content(1<<20), 40, false)
	d := g.download(url, "")
	var pauses []string
	d.say = func(_ int, what string) {
		if _, rest, ok := strings.Cut(what, "going on in "); ok {
			pauses = append(pauses, strings.Fields(rest)[0])
		}
	}
	_, err := d.run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "cannot go on where it did") || requests.Load() != mostAnew+2 {
		t.Errorf("got %v after %d requests, want an end after %d", err, requests.Load(), mostAnew+2)
	}
	if len(pauses) < 4 || pauses[0] == pauses[3] {
		t.Errorf("pauses %v, want them to grow", pauses)
	}
}

// The service that watches, started again while an update runs, leaves it alone.
func TestWatchInTheMiddle(t *testing.T) {
	g := newGateway(t, "v1.0.0")
	var seen Phase
	err := g.Install(t.Context(), Order{Source: g.bundle(good)}, func(_ int, what string) {
		if what == "checking the signature" {
			if err := g.Watch(t.Context(), quick, slog.New(slog.DiscardHandler)); err != nil {
				t.Error(err)
			}
			seen = g.record().Update.Phase
		}
	})
	if err != nil || seen != Downloading {
		t.Errorf("got %v, phase %q in the middle, want %q", err, seen, Downloading)
	}
}

// RAUC refuses before it touches the slot: the record still says what is in it,
// and a rollback is judged by that.
func TestRefusedBeforeWriting(t *testing.T) {
	g := newGateway(t, "v1.1.0")
	g.change1(func(s *slots.State) { s.B = slots.Mark{Left: 3, Good: true} })
	if err := g.change(func(r *Record) { r.Slots["B"] = Software{"v1.0.0", "edge=1-1 spool=1-1"} }); err != nil {
		t.Fatal(err)
	}
	g.rauc("\techo installing\n", "\techo 'LastError: already processing' >&2; exit 1\n")
	if err := g.install(bundle("v1.2.0", Compatible, formatsWord+"edge=1-2 spool=1-2"), Permit{}); err == nil {
		t.Fatal("got no error")
	}
	g.write(filepath.Join(g.Data, "formats"), "edge 1\nspool 2\n", 0o644)
	if software, err := g.Rollback(); err == nil {
		t.Errorf("rolled back to what is believed to be %+v; v1.0.0, which is there, does not read spool 2", software)
	}
}

// RAUC's service may go on when its client is killed, and switch in the end: the
// trial stores what the old software reads all the same, and can be confirmed.
func TestKilledClient(t *testing.T) {
	g := newGateway(t, "v1.0.0")
	g.serve(func() string { return well })
	g.rauc("\techo ' 40% Updating slots'\n", "\t(sleep 1; $BACKEND set-primary B) >/dev/null 2>&1 & echo ' 40% Updating slots'; sleep 30\n")
	ctx, cancel := context.WithCancel(t.Context())
	err := g.Install(ctx, Order{Source: g.bundle(good)}, func(p int, _ string) {
		if p == 40 {
			cancel()
		}
	})
	if err == nil {
		t.Fatal("got no error")
	}
	for end := time.Now().Add(20 * time.Second); g.state().Next() != "B" && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
	g.start()
	if limit, _ := g.Limit(); limit == nil {
		t.Errorf("%q is next, the record says %s, and on trial there is no limit to the forms that it stores", g.state().First, g.record().Update.Phase)
	}
	if err := g.Watch(t.Context(), quick, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if limit, err := g.Limit(); limit != nil || err != nil || g.record().Update.Phase != Confirmed {
		t.Errorf("confirmed: got limit %v, %v, phase %s", limit, err, g.record().Update.Phase)
	}
}

// rauc changes a line of the stub.
func (g *gateway) rauc(from, to string) {
	g.t.Helper()
	if !strings.Contains(stub, from) {
		g.t.Fatalf("the stub has no %q", from)
	}
	g.write(g.RAUC[len(g.RAUC)-1], strings.Replace(stub, from, to, 1), 0o755)
}
