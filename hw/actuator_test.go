package hw

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/hw/internal/line"
)

func relay(change ...func(*ActuatorConfig)) Config {
	c := ActuatorConfig{Kind: "relay", Name: "boiler", Line: "GPIO23"}
	for _, f := range change {
		f(&c)
	}
	return Config{Actuator: []ActuatorConfig{c}}
}

const set = "actuators/boiler/set"

// begin runs it until it has opened its lines.
func (w *works) begin(t *testing.T) (stop func()) {
	t.Helper()
	stop = w.start(t)
	synctest.Wait()
	return stop
}

func TestRelayDoesWhatItIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorks(t, newBench(), relay())
		stop := w.begin(t)
		defer stop()
		if !slices.Equal(w.topics, []string{set}) {
			t.Fatalf("it hears %q", w.topics)
		}
		for _, c := range []string{"ON", "ON", "TOGGLE", `{"state":"ON"}`} {
			w.send(set, c)
			synctest.Wait()
		}
		if got, want := w.said("actuators/boiler/state"), []string{
			`{"state":"OFF","cause":"start"}`, `{"state":"ON","cause":"command"}`, `{"state":"ON","cause":"command"}`,
			`{"state":"OFF","cause":"command"}`, `{"state":"ON","cause":"command"}`,
		}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		lamp := w.lamp("GPIO23")
		if want := []string{"OFF 0s", "ON 0s", "OFF 0s", "ON 0s"}; !slices.Equal(lamp.set, want) {
			t.Errorf("the line had %q, want %q", lamp.set, want)
		}
		stop()
		if lamp.now().On || lamp.open != 0 {
			t.Errorf("after the stop: %+v", lamp)
		}
		if got := w.got.on("actuators/boiler/state"); len(got) != 1 || !got[0].Retain || string(got[0].Payload) != `{"state":"OFF","cause":"stop"}` {
			t.Errorf("after the stop: got %+v", got)
		}
		if got := w.said("actuators/boiler/availability"); !slices.Equal(got, []string{"online", "offline"}) {
			t.Errorf("availability: got %q", got)
		}
		if s := w.Stats().Actuator[0]; s.Commands != 4 || s.Changes != 4 || s.Refused != 0 || s.Line != "GPIO23" {
			t.Errorf("stats: got %+v", s)
		}
	})
}

func TestBadCommandChangesNothingAndIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorks(t, newBench(), relay())
		defer w.begin(t)()
		w.said("actuators/boiler/state")
		w.message(&Message{Topic: set, Payload: []byte("MAYBE\x01"), Properties: append([]byte{0x08, 0, 3, 'a', '/', 'b'}, 0x09, 0, 2, 1, 2)})
		synctest.Wait()
		if got := w.said("actuators/boiler/state"); got != nil || len(w.lamp("GPIO23").set) != 1 {
			t.Errorf("it changed: %q", got)
		}
		if got := w.said("actuators/boiler/error"); len(got) != 1 || got[0] != `{"error":"\"MAYBE\\x01\" is none of ON, OFF and TOGGLE","command":"MAYBE\u0001"}` {
			t.Errorf("error: got %q", got)
		}
		got := w.got.on("a/b")
		if len(got) != 1 || !strings.HasPrefix(string(got[0].Payload), `{"result":"refused","error":`) || got[0].Retain || !bytes.HasSuffix(got[0].Properties, []byte{0x09, 0, 2, 1, 2}) {
			t.Errorf("answer: got %+v", got)
		}
		// Nobody is answered where he may not publish.
		w.parts[0].(*actuator).opt.MayPublish = func(client, topic string) bool { return client == "anna" && topic == "a/b" }
		for _, who := range []string{"anna", "bert", ""} { // "": from the cloud
			w.message(&Message{Topic: set, From: who, Payload: []byte("MAYBE"), Properties: []byte{0x08, 0, 3, 'a', '/', 'b'}})
		}
		synctest.Wait()
		if got := w.said("a/b"); len(got) != 3 {
			t.Errorf("got %d answers, want the first, that to anna and that to the cloud", len(got))
		}
		// The answer to one relay is no command of another, or of itself.
		w.message(&Message{Topic: set, Payload: []byte("ON"), Properties: append([]byte{0x08, 0, byte(len(set))}, set...)})
		synctest.Wait()
		if got := w.got.on(set); len(got) != 0 {
			t.Errorf("it commands itself: %+v", got[0])
		}
		if s := w.Stats().Actuator[0]; s.Refused != 4 || s.Commands != 1 {
			t.Errorf("stats: got %+v", s)
		}
	})
}

func TestEarlyCommandWaitsAndTheLastWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorks(t, newBench(), relay(func(c *ActuatorConfig) { c.MinOn, c.MinOff = every(2*time.Minute), every(time.Minute) }))
		defer w.begin(t)()
		time.Sleep(20 * time.Second)
		w.message(&Message{Topic: set, Payload: []byte("ON"), Properties: []byte{0x08, 0, 1, 'r'}})
		synctest.Wait()
		if got := w.said("r"); !slices.Equal(got, []string{`{"result":"delayed","state":"OFF","seconds":40}`}) {
			t.Errorf("answer: got %q", got)
		}
		time.Sleep(time.Minute) // 1:20; on since 1:00
		for _, c := range []string{"OFF", "ON", "OFF"} {
			w.send(set, c)
			synctest.Wait()
		}
		time.Sleep(5 * time.Minute)
		if got, want := w.lamp("GPIO23").set, []string{"OFF 0s", "ON 1m0s", "OFF 3m0s"}; !slices.Equal(got, want) {
			t.Errorf("the line had %q, want %q", got, want)
		}
		if got, want := w.said("actuators/boiler/state"), []string{
			`{"state":"OFF","cause":"start"}`, `{"state":"OFF","cause":"start","pending":"ON","seconds":40}`, `{"state":"ON","cause":"command"}`,
			`{"state":"ON","cause":"command","pending":"OFF","seconds":100}`, `{"state":"ON","cause":"command"}`,
			`{"state":"ON","cause":"command","pending":"OFF","seconds":100}`, `{"state":"OFF","cause":"command"}`,
		}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestSilentControllerLeadsToFailSafe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorks(t, newBench(), relay(func(c *ActuatorConfig) {
			c.FailSafe, c.FailSafeAfter, c.OnStop = "on", every(time.Minute), "keep"
		}))
		stop := w.begin(t)
		defer stop()
		for range 10 { // each command renews
			time.Sleep(50 * time.Second)
			w.send(set, "OFF")
		}
		time.Sleep(5 * time.Minute) // it is told once
		w.send(set, "OFF")
		synctest.Wait()
		lamp := w.lamp("GPIO23")
		if want := []string{"OFF 0s", "ON 9m20s", "OFF 13m20s"}; !slices.Equal(lamp.set, want) {
			t.Errorf("the line had %q, want %q", lamp.set, want)
		}
		if got := w.said("actuators/boiler/state"); !slices.Contains(got, `{"state":"ON","cause":"fail-safe"}`) {
			t.Errorf("got %q", got)
		}
		stop()
		if lamp.now().On || len(lamp.set) != 3 {
			t.Errorf("keep: the line had %q", lamp.set)
		}
	})
}

// A retained ON must not switch a boiler on at boot.
func TestRetainedCommands(t *testing.T) {
	for _, obey := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorks(t, newBench(), relay(func(c *ActuatorConfig) { c.ObeyRetained = obey }))
			w.retained = []*Message{{Topic: set, Payload: []byte("ON"), Retain: true, Accepted: time.Now()}}
			defer w.begin(t)()
			time.Sleep(time.Second)
			if got := w.lamp("GPIO23").now().On; got != obey {
				t.Errorf("obey-retained %v: on is %v", obey, got)
			}
			if got := w.said("actuators/boiler/error"); (len(got) == 0) != obey {
				t.Errorf("obey-retained %v: got %q", obey, got)
			}
			w.send(set, "OFF")
			time.Sleep(time.Second)
			w.message(&Message{Topic: set, Payload: []byte("ON"), Retain: true}) // live, but it says retain
			w.message(&Message{Topic: set, Retain: true})                        // taken away: no command
			synctest.Wait()
			if got := w.lamp("GPIO23").now().On; got != obey {
				t.Errorf("obey-retained %v, live: on is %v", obey, got)
			}
			if n := w.log.count("retained command is ignored"); (n == 1) == obey {
				t.Errorf("obey-retained %v: %d lines in the log", obey, n)
			}
			if s := w.Stats().Actuator[0]; obey && s.Refused != 0 || !obey && s.Refused != 2 {
				t.Errorf("obey-retained %v: stats %+v", obey, s)
			}
		})
	}
}

func TestOutputThatIsMissingComesBackAsItShouldBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.fail["GPIO23"] = errBusy
		w := newWorks(t, b, relay(func(c *ActuatorConfig) { c.FailSafeAfter = every(10 * time.Minute) }))
		defer w.begin(t)()
		time.Sleep(5 * time.Minute)
		w.send(set, "ON")
		synctest.Wait()
		if got := w.said("actuators/boiler/error"); len(got) != 1 || !strings.Contains(got[0], "the line is not there: "+errBusy.Error()+"; when it is back it will be OFF") {
			t.Errorf("got %q", got)
		}
		if got := w.said("actuators/boiler/state"); got != nil {
			t.Errorf("a state of a line that is not there: %q", got)
		}
		b.change(func() { delete(b.fail, "GPIO23") })
		time.Sleep(2 * time.Minute)
		lamp := w.lamp("GPIO23")
		if lamp.opened != 1 || lamp.now().On {
			t.Errorf("opened %d times, state %v", lamp.opened, lamp.now())
		}
		// It breaks while it is told to switch, and comes back in the state that is due then.
		b.change(func() { lamp.err = errors.New("input/output error"); b.fail["GPIO23"] = lamp.err })
		w.message(&Message{Topic: set, Payload: []byte("ON"), Properties: []byte{0x08, 0, 1, 'r'}})
		synctest.Wait()
		if got := w.said("r"); len(got) != 1 || !strings.Contains(got[0], "the line is not there: input/output error; when it is back it will be OFF") {
			t.Errorf("answer: got %q", got)
		}
		if s := w.Stats().Actuator[0]; s.State != Offline || lamp.open != 0 {
			t.Errorf("stats: got %+v, %d open", s, lamp.open)
		}
		time.Sleep(20 * time.Minute)
		b.change(func() { lamp.err = nil; delete(b.fail, "GPIO23") })
		time.Sleep(2 * time.Minute)
		if lamp.now().On || lamp.open != 1 {
			t.Errorf("back: %+v", lamp)
		}
		if got := w.said("actuators/boiler/availability"); !slices.Equal(got, []string{"offline", "online", "offline", "online"}) {
			t.Errorf("availability: got %q", got)
		}
		if got := w.said("actuators/boiler/state"); got[len(got)-1] != `{"state":"OFF","cause":"fail-safe"}` {
			t.Errorf("state: got %q", got)
		}
	})
}

// An output that nobody commands is missed too.
func TestOutputThatVanishesIsMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorks(t, newBench(), relay())
		defer w.begin(t)()
		lamp := w.lamp("GPIO23")
		time.Sleep(10 * time.Minute)
		w.change(func() { lamp.err = errors.New("no such device"); w.fail["GPIO23"] = lamp.err })
		time.Sleep(61 * time.Second)
		if s := w.Stats().Actuator[0]; s.State != Offline || s.Cause != "no such device" || lamp.open != 0 {
			t.Errorf("got %+v, %d open", s, lamp.open)
		}
		w.change(func() { lamp.err = nil; delete(w.fail, "GPIO23") })
		time.Sleep(5 * time.Minute)
		if s := w.Stats().Actuator[0]; s.State != Online || lamp.open != 1 || lamp.opened != 2 {
			t.Errorf("back: got %+v, opened %d times", s, lamp.opened)
		}
	})
}

func TestDimmerAndValveSpeakTheirLanguage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorks(t, newBench(), Config{Actuator: []ActuatorConfig{
			{Kind: "dimmer", Name: "shelf", PWM: "pwmchip0:0", Initial: "on"},
			{Kind: "dimmer", Name: "plain", PWM: "pwmchip0:1", Payload: "plain", Topic: "home/{name}"},
			{Kind: "valve", Name: "garden", Line: "GPIO5"},
		}})
		stop := w.begin(t)
		defer stop()
		w.send("actuators/shelf/set", `{"state":"ON","brightness":12}`)
		w.send("actuators/shelf/set", "OFF")
		w.send("actuators/shelf/set", "ON")
		w.send("home/plain/set", "20")
		w.send("actuators/garden/set", "OPEN")
		synctest.Wait()
		for topic, want := range map[string][]string{
			"actuators/shelf/state": {
				`{"state":"ON","brightness":255,"cause":"start"}`, `{"state":"ON","brightness":12,"cause":"command"}`,
				`{"state":"OFF","cause":"command"}`, `{"state":"ON","brightness":12,"cause":"command"}`,
			},
			"home/plain/state":       {"0", "20"},
			"actuators/garden/state": {`{"state":"CLOSED","cause":"start"}`, `{"state":"OPEN","cause":"command"}`},
		} {
			if got := w.said(topic); !slices.Equal(got, want) {
				t.Errorf("%s: got %q, want %q", topic, got, want)
			}
		}
		stop()
		if got := w.lamp("pwmchip0:0").now(); got != (line.State{}) {
			t.Errorf("after the stop: got %v", got)
		}
	})
}

// A reload leaves alone what it does not change: the line is not even opened
// again, and a retained command that was overtaken is not done twice.
func TestActuatorOutlivesAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		cfg := relay(func(c *ActuatorConfig) { c.ObeyRetained = true; c.MinOn = every(time.Hour) })
		cfg.Actuator = append(cfg.Actuator, ActuatorConfig{Kind: "relay", Name: "other", Line: "GPIO24"})
		old := newWorks(t, b, cfg)
		stop := old.begin(t)
		retained := &Message{Topic: set, Payload: []byte("OFF"), Retain: true}
		old.message(retained)
		time.Sleep(time.Second)
		old.send(set, "ON")
		old.send("actuators/other/set", "ON")
		synctest.Wait()

		next := cfg
		next.Actuator = slices.Clone(cfg.Actuator)
		next.Actuator[1].MinOn = every(time.Second)
		w := newWorks(t, b, next)
		w.commander.retained = []*Message{retained}
		w.Follow(old.Hardware)
		stop()
		stop = w.begin(t)
		defer stop()
		lamp := w.lamp("GPIO23")
		if want := []string{"OFF 0s", "ON 1s"}; !slices.Equal(lamp.set, want) || lamp.opened != 1 || lamp.open != 1 {
			t.Errorf("the line had %q and was opened %d times, want %q and once", lamp.set, lamp.opened, want)
		}
		if got, want := b.lamp("GPIO24").set, []string{"OFF 0s", "ON 1s", "OFF 1s", "OFF 1s"}; !slices.Equal(got, want) {
			t.Errorf("the one that was changed had %q, want %q", got, want)
		}
		w.send(set, "OFF")
		synctest.Wait()
		if got := w.said("actuators/boiler/state"); got[len(got)-1] != `{"state":"ON","cause":"command","pending":"OFF","seconds":3600}` {
			t.Errorf("min-on began anew or was forgotten: %q", got)
		}
	})
}

// Commands that come faster than the line takes them are refused, not piled up;
// the last one is done.
func TestFloodOfCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorks(t, newBench(), relay())
		defer w.begin(t)()
		w.change(func() { // the lamp's lock is held: the line hangs
			for range 99 {
				w.send(set, "ON")
			}
			w.send(set, "OFF")
		})
		synctest.Wait()
		s := w.Stats().Actuator[0]
		if s.Commands+s.Refused != 100 || s.Commands < mostCommands || s.Commands > mostCommands+1 {
			t.Errorf("got %+v", s)
		}
		if got := w.said("actuators/boiler/error"); int64(len(got)) != s.Refused || !strings.Contains(got[0], "overtaken by 16 newer commands") {
			t.Errorf("got %d errors, first %q", len(got), got[0])
		}
		if w.lamp("GPIO23").now().On {
			t.Error("the last command is not done")
		}
	})
}
