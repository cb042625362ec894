package hw

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/hw/internal/chip"
	"tidegate/hw/internal/discovery"
	"tidegate/hw/internal/discovery/schema"
	"tidegate/internal/conf"
)

// assistant is a Home Assistant that hears what a gateway announces.
type assistant struct {
	submitted
	log   bytes.Buffer
	dir   string
	birth chan *Message // what it says on its birth topic
	root  string        // of the board
}

// runs runs a gateway with some sensors for a while, and returns what it
// announced meanwhile.
func (a *assistant) runs(t *testing.T, c HomeAssistantConfig, for_ time.Duration, sensors ...SensorConfig) []*Message {
	t.Helper()
	b := &board{chips: map[uint16]*fakeChip{0x76: {}, 0x77: {}}}
	find := func(name string) (chip.Kind, bool) {
		if name == "pi" {
			return chip.Find(name)
		}
		return b.find(name)
	}
	open := func(c SensorConfig, k chip.Kind) (chip.Wiring, io.Closer, error) {
		w, wire, err := b.opener(c, k)
		w.Root = a.root
		return w, wire, err
	}
	h, err := build(Config{Sensor: sensors, HomeAssistant: c}, Options{
		Gateway: "gw", Version: "1", Log: slog.New(slog.NewTextHandler(&a.log, nil)), Dir: a.dir, Submit: a.take,
		Clock: func() (time.Time, bool) { return time.Time{}, false },
		Watch: a.watch,
	}, find, open)
	if err != nil {
		t.Fatal(err)
	}
	a.mu.Lock()
	begin := len(a.all)
	a.mu.Unlock()
	ctx, stop := context.WithTimeout(t.Context(), for_)
	defer stop()
	if err := h.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if b.open != 0 {
		t.Errorf("%d handles stay open", b.open)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(a.all[begin:]), func(m *Message) bool { return !strings.HasSuffix(m.Topic, "/config") })
}

func (a *assistant) watch(ctx context.Context, filters []string, f func(*Message)) {
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-a.birth:
			if slices.Contains(filters, m.Topic) {
				f(m)
			}
		}
	}
}

// said is what was announced, in order: "NAME" for one, "-NAME" for one taken
// back.
func said(all []*Message) string {
	var words []string
	for _, m := range all {
		name := filepath.Base(filepath.Dir(m.Topic))
		if len(m.Payload) == 0 {
			name = "-" + name
		}
		words = append(words, name)
	}
	return strings.Join(words, " ")
}

var (
	on    = defaultHomeAssistant()
	off   = HomeAssistantConfig{Prefix: "homeassistant"}
	attic = SensorConfig{Kind: "weather", Name: "attic", Address: 0x76}
	floor = SensorConfig{Kind: "thermo", Name: "floor", Address: 0x77, Payload: "plain"}
)

func TestSensorsAppearInHomeAssistant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &assistant{dir: t.TempDir()}
		all := a.runs(t, on, time.Second, attic, floor)
		if got := said(all); got != "attic floor" {
			t.Fatalf("got %q, want both", got)
		}
		for _, m := range all {
			if !m.Retain || m.QoS != 1 {
				t.Errorf("%s: retain %v, QoS %d, want true, 1", m.Topic, m.Retain, m.QoS)
			}
			if err := schema.Check(m.Topic, m.Payload); err != nil {
				t.Errorf("%s: %v", m.Topic, err)
			}
		}
		for _, want := range []string{
			`"state_topic":"sensors/attic"`, `"value_template":"{{ value_json['pressure'] }}"`,
			`"availability":[{"topic":"tidegate/availability"},{"topic":"sensors/attic/availability"}],"availability_mode":"all"`,
			`"expire_after":60`, `"suggested_display_precision":2`, `"model":"Test weather"`,
		} {
			if !bytes.Contains(all[0].Payload, []byte(want)) {
				t.Errorf("no %s in %s", want, all[0].Payload)
			}
		}
		if p := string(all[1].Payload); !strings.Contains(p, `"state_topic":"sensors/floor/temperature"`) || strings.Contains(p, "value_template") {
			t.Errorf("plain: got %s", p)
		}
	})
}

func TestWhatLeavesTheConfigurationLeavesHomeAssistant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &assistant{dir: t.TempDir()}
		cellar := attic
		cellar.Name = "cellar"
		less := attic
		less.Kind = "climate"
		other := on
		other.Prefix = "ha"
		for _, c := range []struct {
			name    string
			config  HomeAssistantConfig
			sensors []SensorConfig
			want    string
		}{
			{"start", on, []SensorConfig{attic, floor}, "attic floor"},
			{"start again", on, []SensorConfig{attic, floor}, "attic floor"},
			{"one less", on, []SensorConfig{attic}, "-floor attic"},
			{"and again", on, []SensorConfig{attic}, "-floor attic"},
			{"renamed", on, []SensorConfig{cellar}, "cellar -attic"},
			{"another chip", on, []SensorConfig{attic}, "attic -cellar"},
			{"fewer quantities", on, []SensorConfig{less}, "attic attic"},
			{"another prefix", other, []SensorConfig{attic}, "attic -attic"},
			{"switched off", off, []SensorConfig{attic}, "-attic"},
			{"no sensors", on, nil, "-attic"},
			{"back", on, []SensorConfig{floor}, "floor"},
		} {
			if got := said(a.runs(t, c.config, time.Second, c.sensors...)); got != c.want {
				t.Errorf("%s: got %q, want %q", c.name, got, c.want)
			}
		}
		if strings.Contains(a.log.String(), "Home Assistant") {
			t.Errorf("warned: %s", &a.log)
		}
	})
}

func TestHomeAssistantHearsAllAfterItsBirth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &assistant{dir: t.TempDir(), birth: make(chan *Message)}
		go func() {
			time.Sleep(time.Minute)
			a.birth <- &Message{Topic: "homeassistant/status", Payload: []byte("offline")}
			time.Sleep(time.Minute)
			a.birth <- &Message{Topic: "homeassistant/status", Payload: []byte("online")}
		}()
		if got := said(a.runs(t, on, time.Hour, attic, floor)); got != "attic floor attic floor" {
			t.Errorf("got %q, want both twice", got)
		}
	})
}

func TestWithoutDiscoveryNothingIsAnnounced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &assistant{dir: t.TempDir()}
		if got := said(a.runs(t, off, time.Minute, attic)); got != "" {
			t.Errorf("got %q", got)
		}
		if left, err := os.ReadDir(a.dir); len(left) > 0 || err != nil {
			t.Errorf("left in the state folder: %v, %v", left, err)
		}
	})
}

func TestMemoryThatCannotBeReadIsNone(t *testing.T) {
	for _, content := range []string{"", "{", `{"version":2}`, `{"version":1}`, `{"version":1,"announced":{"homeassistant/device/gw/attic/config":"rubbish"}}`} {
		synctest.Test(t, func(t *testing.T) {
			a := &assistant{dir: t.TempDir()}
			path := filepath.Join(a.dir, memoryFile)
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := said(a.runs(t, on, time.Second, attic)); got != "attic" {
				t.Errorf("%q: got %q, want the attic", content, got)
			}
			if got := said(a.runs(t, on, time.Second)); got != "-attic" {
				t.Errorf("after %q: got %q, want the attic taken back", content, got)
			}
		})
	}
}

func TestMemoryThatCannotBeWrittenIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &assistant{dir: filepath.Join(t.TempDir(), "none")}
		if got := said(a.runs(t, on, time.Hour, attic)); got != "attic" {
			t.Errorf("got %q, want the attic all the same", got)
		}
		if n := strings.Count(a.log.String(), "what Home Assistant was told is not kept"); n != 1 {
			t.Errorf("said %d times, want once: %s", n, &a.log)
		}
	})
}

func TestTheBoardIsAnnouncedWithWhatItTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &assistant{dir: t.TempDir(), root: t.TempDir()}
		pi := SensorConfig{Kind: "pi", Name: "pi"}
		write := func(path, content string) {
			path = filepath.Join(a.root, path)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o600)); err != nil {
				t.Error(err)
			}
		}
		keys := func(m *Message) string {
			if err := schema.Check(m.Topic, m.Payload); err != nil {
				t.Error(err)
			}
			var all []string
			for key := range discovery.Keys(m.Payload) {
				all = append(all, key)
			}
			slices.Sort(all)
			return strings.Join(all, " ")
		}
		write("proc/loadavg", "0.5 0.5 0.5 1/1 1\n")
		write("proc/uptime", "1 1\n")
		go func() {
			time.Sleep(90 * time.Second)
			write("proc/net/wireless", "wlan0: 0000 55. -55. -256\n")
		}()
		all := a.runs(t, on, 10*time.Minute, pi)
		if len(all) != 2 || keys(all[0]) != "disk_free load uptime" || keys(all[1]) != "disk_free load uptime wifi_signal" {
			t.Fatalf("got %d messages", len(all))
		}
		if !bytes.Contains(all[0].Payload, []byte(`"entity_category":"diagnostic"`)) {
			t.Errorf("not for diagnosis: %s", all[0].Payload)
		}
		// At the next start Wi-Fi is not up yet; it is not taken back for that.
		write("proc/net/wireless", "\n")
		all = a.runs(t, on, 10*time.Minute, pi)
		if len(all) != 1 || keys(all[0]) != "disk_free load uptime wifi_signal" {
			t.Errorf("again: got %d messages", len(all))
		}
	})
}

func TestEveryKindIsAnnouncedInEveryUnit(t *testing.T) {
	a := &announcer{config: on, opt: Options{Gateway: "gw", Version: "1"}}
	check := func(c SensorConfig, k chip.Kind) {
		t.Helper()
		m := discovery.Announce(on.Prefix, discovery.Origin{Name: "Tidegate"}, a.device(announced{config: c, kind: k}))
		if err := schema.Check(m.Topic, m.Payload); err != nil {
			t.Errorf("%s: %v", k.Name, err)
		}
	}
	kinds := chip.Kinds()
	for _, unit := range []string{"°C", "%", "hPa"} {
		c := SensorConfig{Kind: simulatedKind, Name: "s", Unit: unit}.withDefaults()
		k, _ := c.kind(chip.Find)
		check(c, k)
	}
	for _, k := range kinds {
		for _, payload := range []string{"json", "plain"} {
			c := SensorConfig{Kind: k.Name, Name: k.Name, Payload: payload}.withDefaults().timed(k)
			check(c, k)
			for _, q := range k.Quantities {
				for _, u := range unitChanges {
					if u.from == q.Unit {
						c.Quantity = []QuantityConfig{{Name: q.Name, Unit: u.to}}
						check(c, k)
					}
				}
			}
		}
	}
}

func TestAValueIsStaleAfterThriceTheUsualSilence(t *testing.T) {
	for _, c := range []struct {
		every, atLeast time.Duration
		change         float64
		want           int
	}{
		{10 * time.Second, 10 * time.Minute, 0, 60},
		{time.Minute, 10 * time.Minute, 0, 180},
		{time.Second, 10 * time.Minute, 0.5, 1800},
		{time.Hour, 10 * time.Minute, 0.5, 3 * 3600},
	} {
		s := SensorConfig{Every: conf.Duration(c.every), AtLeast: conf.Duration(c.atLeast), Quantity: []QuantityConfig{{Change: c.change}}}
		if got := s.stale(); got != c.want {
			t.Errorf("%+v: got %d, want %d", c, got, c.want)
		}
	}
}

func TestHomeAssistantConfig(t *testing.T) {
	for prefix, want := range map[string]int{
		"homeassistant": 0, "a/b": 0, "": 1, "a/": 1, "a/+": 1, "#": 1, "$SYS": 1,
	} {
		if got := (HomeAssistantConfig{Enabled: true, Prefix: prefix}).check(); len(got) != want {
			t.Errorf("%q: got %v, want %d problems", prefix, got, want)
		}
	}
}
