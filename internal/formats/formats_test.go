package formats

import (
	"maps"
	"os"
	"path/filepath"
	"testing"
)

func TestSet(t *testing.T) {
	want := Set{"edge": {1, 1}, "spool": {1, 2}}
	got, err := ParseSet(want.String())
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	for _, bad := range []string{"spool", "spool=1", "spool=2-1", "spool=0-1", "=1-1", "../x=1-1", "spool=a-b"} {
		if got, err := ParseSet(bad); err == nil {
			t.Errorf("%q: got %v, want an error", bad, got)
		}
	}
	for _, c := range []struct {
		written map[string]int
		reads   bool
	}{
		{map[string]int{"edge": 1, "spool": 2}, true},
		{map[string]int{"edge": 1, "spool": 3}, false},
		{map[string]int{"other": 1}, false},
	} {
		if err := want.Reads(c.written); (err == nil) != c.reads {
			t.Errorf("%v: got %v, want it to be read: %v", c.written, err, c.reads)
		}
	}
}

var stores = []Store{{"edge", []string{"edge.db*"}}, {"spool", []string{"uplink-*"}}}

// house is a data directory through which several versions of the software go.
type house struct {
	t   *testing.T
	dir string
}

func (h house) start(ours, limit Set) map[string]int {
	h.t.Helper()
	write, moved, err := Enter(h.dir, stores, ours, limit)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, m := range moved {
		h.t.Log(m)
	}
	return write
}

func (h house) put(name, text string) {
	h.t.Helper()
	name = filepath.Join(h.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func (h house) want(name, want string) {
	h.t.Helper()
	got, err := os.ReadFile(filepath.Join(h.dir, name))
	if err != nil && want != "" || string(got) != want {
		h.t.Errorf("%s: got %q, %v, want %q", name, got, err, want)
	}
}

var (
	older = Set{"edge": {1, 1}, "spool": {1, 1}}
	newer = Set{"edge": {1, 1}, "spool": {1, 2}}
)

// New software on trial writes what the old one reads; a return finds all.
func TestTrialAndReturn(t *testing.T) {
	h := house{t, t.TempDir()}
	h.start(older, nil)
	h.put("uplink-cloud/1.spool", "old")
	if got := h.start(newer, older); got["spool"] != 1 {
		t.Errorf("on trial: got %v, want spool written as 1", got)
	}
	h.put("uplink-cloud/2.spool", "trial")
	if got := h.start(older, nil); got["spool"] != 1 {
		t.Errorf("after the return: got %v, want spool written as 1", got)
	}
	h.want("uplink-cloud/1.spool", "old")
	h.want("uplink-cloud/2.spool", "trial")
}

// After the trial the form goes up, and then only after that do rows.
func TestConfirmed(t *testing.T) {
	h := house{t, t.TempDir()}
	h.start(older, nil)
	h.start(newer, older)
	if got := h.start(newer, nil); got["spool"] != 2 {
		t.Errorf("got %v, want spool written as 2", got)
	}
	if got, err := Written(h.dir); err != nil || got["spool"] != 2 || got["edge"] != 1 {
		t.Errorf("got %v, %v, want spool 2, edge 1", got, err)
	}
	if got := h.start(newer, older); got["spool"] != 2 { // there is no way back for what is there
		t.Errorf("got %v, want spool to stay at 2", got)
	}
}

// Old software that meets a newer form leaves it alone, serves, and the new
// software finds it again.
func TestDowngrade(t *testing.T) {
	h := house{t, t.TempDir()}
	h.start(newer, nil)
	h.put("uplink-cloud/1.spool", "newer")
	h.put("edge.db", "both")
	if got := h.start(older, nil); got["spool"] != 1 {
		t.Errorf("got %v, want spool written as 1", got)
	}
	h.want("spool.format-2/uplink-cloud/1.spool", "newer")
	h.want("uplink-cloud/1.spool", "")
	h.want("edge.db", "both")
	h.put("uplink-cloud/1.spool", "older")

	h.put("edge.db", "both, later")
	if got := h.start(newer, nil); got["spool"] != 2 {
		t.Errorf("got %v, want spool written as 2", got)
	}
	h.want("uplink-cloud/1.spool", "older")
	h.want("uplink-cloud/00000002.spool", "newer")
	h.want("edge.db", "both, later")
	if left, _ := filepath.Glob(filepath.Join(h.dir, "*.format-*")); left != nil {
		t.Errorf("got %v left, want nothing", left)
	}
}

// An edge.db that waits does not take the place of a newer one.
func TestEdgeStaysAside(t *testing.T) {
	h := house{t, t.TempDir()}
	two := Set{"edge": {1, 2}, "spool": {1, 1}}
	h.start(two, nil)
	h.put("edge.db", "two")
	h.start(older, nil)
	h.want("edge.format-2/edge.db", "two")
	h.put("edge.db", "one")
	h.start(two, nil)
	h.want("edge.db", "one")
	h.want("edge.format-2/edge.db", "two")
	h.start(older, nil) // version 2 again: both wait
	h.want("edge.format-2/edge.db", "two")
	h.want("edge.format-2/edge.db.1", "one")
	h.start(two, nil)
	h.want("edge.db", "two")
}

// A power cut while files are set aside: the next start does the rest.
func TestCutWhileSettingAside(t *testing.T) {
	h := house{t, t.TempDir()}
	h.start(newer, nil)
	h.put("spool.format-2/uplink-a/1.spool", "a")
	h.put("uplink-b/1.spool", "b")
	h.start(older, nil)
	h.want("spool.format-2/uplink-a/1.spool", "a")
	h.want("spool.format-2/uplink-b/1.spool", "b")
}

func TestDamagedMarker(t *testing.T) {
	h := house{t, t.TempDir()}
	h.put("formats", "spool x\n../../etc 7\n\x00\nspool 1\n")
	if got := h.start(older, nil); got["spool"] != 1 || len(got) != 2 {
		t.Errorf("got %v", got)
	}
}
