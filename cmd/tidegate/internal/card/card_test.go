package card

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// machine is the files of a Pi with an eMMC, whose kernel counts with the clock
// of a synctest bubble.
type machine struct {
	root string
	up   time.Time    // when it was switched on
	kib  int64        // written a second by all
	ours atomic.Int64 // written by the gateway
}

func pi(t *testing.T) *machine {
	m := &machine{root: t.TempDir(), kib: 2}
	for name, text := range map[string]string{
		"proc/self/mountinfo":                     "41 25 179:3 / /data rw - ext4 /dev/mmcblk0p3 rw\n",
		"sys/block/mmcblk0/dev":                   "179:0\n",
		"sys/block/mmcblk0/mmcblk0p3/dev":         "179:3\n",
		"sys/block/mmcblk0/device/life_time":      "0x02 0x03\n",
		"sys/block/mmcblk0/device/pre_eol_info":   "0x01\n",
		"data/tidegate/a-file-of-another-package": "",
	} {
		m.write(t, name, text)
	}
	m.boot(t, "a")
	return m
}

func (m *machine) write(t *testing.T, name, text string) {
	t.Helper()
	name = filepath.Join(m.root, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) boot(t *testing.T, id string) {
	m.up = time.Now()
	m.write(t, "proc/sys/kernel/random/boot_id", id+"\n")
	m.pass(t, 0)
}

// pass lets time go by; the kernel counts every ten minutes.
func (m *machine) pass(t *testing.T, d time.Duration) {
	t.Helper()
	for left := d; ; left -= look {
		s := int64(time.Since(m.up).Seconds())
		m.write(t, "proc/uptime", fmt.Sprintf("%d.00 1.00\n", s))
		m.write(t, "sys/block/mmcblk0/stat", fmt.Sprintf("1 2 3 4 5 6 %d 8 0 0 0\n", s*m.kib*2))
		synctest.Wait()
		if left <= 0 {
			return
		}
		time.Sleep(min(left, look))
	}
}

// gateway runs an account until stop is called.
type gateway struct {
	*Account
	cancel context.CancelFunc
	done   chan error
	told   []string
	log    bytes.Buffer
}

func (m *machine) gateway(t *testing.T, cfg Config) *gateway {
	g := &gateway{done: make(chan error, 1)}
	m.ours.Store(0)
	g.Account = New(cfg, Options{
		Root: m.root, Dir: "/data/tidegate", Ours: m.ours.Load,
		Publish: func(topic string, payload []byte) { g.told = append(g.told, topic+" "+string(payload)) },
		Log:     slog.New(slog.NewTextHandler(&g.log, nil)),
	})
	var ctx context.Context
	ctx, g.cancel = context.WithCancel(t.Context())
	go func() { g.done <- g.Run(ctx) }()
	synctest.Wait()
	time.Sleep(time.Second) // it never looks while pass writes
	return g
}

// stop is a clean stop.
func (g *gateway) stop(t *testing.T) {
	t.Helper()
	g.cancel()
	if err := <-g.done; err != nil {
		t.Error(err)
	}
}

func TestADayIsPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := pi(t)
		g := m.gateway(t, DefaultConfig())
		m.ours.Store(5000)
		m.pass(t, 23*time.Hour+50*time.Minute)
		if len(g.told) != 0 {
			t.Fatalf("before the end of the day: got %q", g.told)
		}
		m.pass(t, 40*time.Minute)
		if len(g.told) != 1 {
			t.Fatalf("got %q, want one message; %+v; %s", g.told, g.Stats(), g.log.String())
		}
		topic, payload, _ := strings.Cut(g.told[0], " ")
		var got Stats
		if err := json.Unmarshal([]byte(payload), &got); err != nil || topic != "gateway/card" {
			t.Fatalf("got %s, %v", g.told[0], err)
		}
		n := got.LastDay.Seconds
		if want := (Span{n, n * 2048, 5000}); n < day || n > day+2*int64(look/time.Second) || got.LastDay != want || got.Total != want || got.Days != 1 || got.Today != (Span{}) {
			t.Errorf("got %+v, want a day of %+v", got, want)
		}
		if got.Disk != "mmcblk0" || got.LifeUsed == nil || *got.LifeUsed != 30 || got.SparesLow {
			t.Errorf("got %+v", got)
		}
		m.pass(t, 25*time.Hour)
		if len(g.told) != 2 {
			t.Errorf("after the second day: got %d messages", len(g.told))
		}
		g.stop(t)
	})
}

// Restarts of the gateway and of the machine lose nothing when they are clean,
// and what the machine wrote while the gateway was away is found again.
func TestTheAccountGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := pi(t)
		m.pass(t, 100*time.Second) // before the gateway starts
		g := m.gateway(t, DefaultConfig())
		m.ours.Store(100)
		m.pass(t, time.Hour)
		g.stop(t)
		m.pass(t, 200*time.Second) // the gateway is away
		g = m.gateway(t, DefaultConfig())
		m.ours.Store(10)
		m.pass(t, time.Hour)
		g.stop(t)
		time.Sleep(1000 * time.Hour) // switched off
		m.boot(t, "b")
		m.pass(t, 300*time.Second)
		g = m.gateway(t, DefaultConfig())
		m.pass(t, time.Hour)
		const seconds = 100 + 200 + 300 + 3*3601
		if got, want := g.Stats().Total, (Span{seconds, seconds * 2048, 110}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		m.pass(t, 22*time.Hour)
		if len(g.told) != 1 {
			t.Errorf("got %d messages, want one: boots add up to a day", len(g.told))
		}
		g.stop(t)
	})
}

// A power cut takes at most six hours, and never adds any.
func TestAPowerCutCostsHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := pi(t)
		g := m.gateway(t, DefaultConfig())
		m.pass(t, 20*time.Hour)
		stored, err := os.ReadFile(g.file.name)
		if err != nil {
			t.Fatal(err)
		}
		g.stop(t)
		if err := os.WriteFile(g.file.name, stored, 0o600); err != nil { // as it was when the power failed
			t.Fatal(err)
		}
		m.boot(t, "b")
		g = m.gateway(t, DefaultConfig())
		got := g.Stats().Total.Seconds
		if got < 14*3600 || got > 20*3600 {
			t.Errorf("got %d hours, want 14 to 20", got/3600)
		}
		g.stop(t)
	})
}

// The account is four writes of a page a day.
func TestTheAccountItselfWritesLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := pi(t)
		g := m.gateway(t, DefaultConfig())
		m.pass(t, 3*24*time.Hour)
		if got := g.file.seq; got < 9 || got > 15 {
			t.Errorf("got %d writes in three days, want four a day", got)
		}
		if info, err := os.Stat(g.file.name); err != nil || info.Size() != 2*page {
			t.Errorf("got %v, %v, want two pages", info, err)
		}
		g.stop(t)
	})
}

func TestMuchIsWarnedOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := pi(t)
		m.kib = 100
		m.write(t, "sys/block/mmcblk0/device/pre_eol_info", "0x02\n")
		g := m.gateway(t, Config{WarnPerDay: 1 << 30})
		m.pass(t, 25*time.Hour)
		g.stop(t)
		if log := g.log.String(); !strings.Contains(log, "wears out early") || !strings.Contains(log, "replace it") || len(g.told) != 0 {
			t.Errorf("got %s and the messages %q, want two warnings and no message", log, g.told)
		}
	})
}

// A machine that tells nothing has an account of seconds and our own bytes; one
// that tells nonsense has none.
func TestWhatTheKernelDoesNotSay(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  Span
	}{
		"no statistics": {map[string]string{"sys/block/mmcblk0/stat": ""}, Span{Seconds: 600, Ours: 7}},
		"no uptime":     {map[string]string{"proc/uptime": "soon"}, Span{}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := pi(t)
				m.pass(t, 10*time.Minute)
				for file, text := range c.files {
					m.write(t, file, text)
				}
				m.ours.Store(0)
				a := New(Config{}, Options{Root: m.root, Dir: "/data/tidegate", Ours: func() int64 { return 7 }, Log: slog.New(slog.DiscardHandler)})
				if got := a.Stats().Total; got != c.want {
					t.Errorf("got %+v, want %+v", got, c.want)
				}
			})
		})
	}
}

// A page that was torn leaves the other; without any the account begins anew.
func TestTornPages(t *testing.T) {
	dir := t.TempDir()
	f := file{name: filepath.Join(dir, fileName)}
	for i := range 3 {
		if err := f.store(state{Boot: "b", Days: int64(i)}); err != nil {
			t.Fatal(err)
		}
	}
	whole, err := os.ReadFile(f.name)
	if err != nil {
		t.Fatal(err)
	}
	for _, torn := range []int{0, 1, 5, 7, 60} {
		bad := bytes.Clone(whole)
		copy(bad[page+torn:2*page], bytes.Repeat([]byte{0xff}, page)) // the third store
		if err := os.WriteFile(f.name, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		again := file{name: f.name}
		if s, err := again.load(); err != nil || s.Days != 1 {
			t.Errorf("torn at %d: got %+v, %v, want the second store", torn, s, err)
		}
	}
	for _, bad := range [][]byte{nil, []byte("x"), make([]byte, 2*page), whole[:100]} {
		if err := os.WriteFile(f.name, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		again := file{name: f.name}
		if s, err := again.load(); err == nil || s != (state{}) {
			t.Errorf("%d bytes: got %+v, %v", len(bad), s, err)
		}
		if err := again.store(state{Days: 9}); err != nil {
			t.Error(err)
		}
		if s, err := again.load(); err != nil || s.Days != 9 {
			t.Errorf("anew: got %+v, %v", s, err)
		}
	}
}

// A full disk or one that is read-only is said, and counting goes on.
func TestAnAccountThatCannotBeStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := pi(t)
		if err := os.Mkdir(filepath.Join(m.root, "data/tidegate", fileName), 0o755); err != nil {
			t.Fatal(err)
		}
		g := m.gateway(t, DefaultConfig())
		m.pass(t, 7*time.Hour)
		if s := g.Stats(); s.Err == "" || s.Total.Seconds < 7*3600 {
			t.Errorf("got %+v, want an error and seven hours", s)
		}
		g.stop(t)
	})
}

func FuzzDecode(f *testing.F) {
	f.Add(state{Boot: "b", Days: 1, Seq: 3}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		whole := make([]byte, page)
		copy(whole, b)
		if s, ok := decode(whole); ok && !bytes.Equal(s.encode()[:1], whole[:1]) {
			t.Errorf("took %+v", s)
		}
	})
}

func TestConfig(t *testing.T) {
	for topic, good := range map[string]bool{"": true, "gateway/card": true, "a/+": false, "#": false, "$SYS/x": false, strings.Repeat("x", 257): false} {
		if got := len(Config{Topic: topic}.Check()) == 0; got != good {
			t.Errorf("%q: got %v, want %v", topic, got, good)
		}
	}
}
