package hw

import (
	"bytes"
	"strings"
	"testing"

	"tidegate/hw/internal/line"
)

func TestCommands(t *testing.T) {
	off, on, dim := line.State{}, line.State{On: true}, line.State{On: true, Brightness: 40}
	bright := func(b uint8) line.State { return line.State{On: true, Brightness: b} }
	for _, c := range []struct {
		kind, text string
		now        line.State
		want       line.State
		err        string
	}{
		{"relay", "ON", off, on, ""},
		{"relay", " off\n", on, off, ""},
		{"relay", "Toggle", on, off, ""},
		{"relay", "TOGGLE", off, on, ""},
		{"relay", `{"state":"ON"}`, off, on, ""},
		{"relay", ` {"state":"toggle"} `, off, on, ""},
		{"relay", "", off, off, "is none of ON, OFF and TOGGLE"},
		{"relay", "1", off, off, "is none of ON, OFF and TOGGLE"},
		{"relay", "OPEN", off, off, "is none of ON, OFF and TOGGLE"},
		{"relay", "{}", off, off, "has no state"},
		{"relay", `{"state":"MAYBE"}`, off, off, `the state "MAYBE" is not known`},
		{"relay", `{"state":true}`, off, off, "is not a command"},
		{"relay", `{"state":null}`, off, off, "has no state"},
		{"relay", `{"state":"ON","x":1}`, off, off, "is not a command"},
		{"relay", `{"state":"ON"}{"state":"OFF"}`, off, off, "more than one command"},
		{"relay", `{"state":"ON"`, off, off, "is not a command"},
		{"relay", `{"state":"ON","brightness":3}`, off, off, "without brightness"},
		{"relay", strings.Repeat("x", 1025), off, off, "1025 bytes"},
		{"relay", strings.Repeat("x", 1000), off, off, `xxx..." is none of`},
		{"valve", "OPEN", off, on, ""},
		{"valve", "close", on, off, ""},
		{"valve", `{"state":"CLOSED"}`, on, off, ""},
		{"valve", "ON", off, on, ""},
		{"valve", "HALF", off, off, "is none of OPEN, CLOSE and TOGGLE"},
		{"dimmer", "ON", off, bright(200), ""}, // the last that it had
		{"dimmer", "ON", dim, dim, ""},
		{"dimmer", "TOGGLE", dim, off, ""},
		{"dimmer", "TOGGLE", off, bright(200), ""},
		{"dimmer", "100", off, bright(255), ""},
		{"dimmer", "0.1", off, bright(1), ""},
		{"dimmer", "50", off, bright(128), ""},
		{"dimmer", "0", dim, off, ""},
		{"dimmer", "101", dim, dim, "0 to 100 percent"},
		{"dimmer", "NaN", dim, dim, "0 to 100 percent"},
		{"dimmer", "-1", dim, dim, "0 to 100 percent"},
		{"dimmer", `{"state":"ON","brightness":12}`, off, bright(12), ""},
		{"dimmer", `{"state":"ON","brightness":12,"transition":2}`, off, bright(12), ""},
		{"dimmer", `{"state":"OFF","brightness":12}`, dim, off, ""},
		{"dimmer", `{"brightness":0}`, dim, off, ""},
		{"dimmer", `{"brightness":0.2}`, off, bright(1), ""},
		{"dimmer", `{"brightness":256}`, off, off, "not from 0 to 255"},
		{"dimmer", `{"brightness":-1}`, off, off, "not from 0 to 255"},
		{"dimmer", `{"brightness":"12"}`, off, off, "is not a command"},
		{"dimmer", `{"state":"ON","brightness":0}`, off, off, "neither on nor off"},
		{"dimmer", `{"state":"TOGGLE","brightness":9}`, off, off, "TOGGLE takes no brightness"},
	} {
		o, err := parseOrder(c.kind, []byte(c.text))
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) || len(err.Error()) > 300 {
				t.Errorf("%s %.30q: got %v, want %q", c.kind, c.text, err, c.err)
			}
			continue
		}
		if got := o.of(c.kind, c.now, 200); err != nil || got != c.want {
			t.Errorf("%s %q from %v: got %v, %v, want %v", c.kind, c.text, c.now, got, err, c.want)
		}
	}
}

func FuzzCommand(f *testing.F) {
	for _, s := range []string{"ON", "50", `{"state":"ON","brightness":3}`, "{"} {
		f.Add("dimmer", []byte(s))
	}
	f.Fuzz(func(t *testing.T, kind string, b []byte) {
		o, err := parseOrder(kind, b)
		if err == nil && (o.brightness < -1 || o.brightness > 255) {
			t.Errorf("%q gives brightness %d", b, o.brightness)
		}
	})
}

// The properties of a PUBLISH as the broker passes them on.
func TestReplyIsFoundAmongProperties(t *testing.T) {
	user := []byte{0x26, 0, 1, 'k', 0, 1, 'v'}
	response := append([]byte{0x08, 0, 5}, "a/b/c"...)
	correlation := []byte{0x09, 0, 2, 0, 7}
	for _, c := range []struct {
		name  string
		parts [][]byte
		topic string
		data  []byte
	}{
		{"none", nil, "", nil},
		{"both", [][]byte{{0x01, 1}, {0x03, 0, 1, 'x'}, user, response, user, correlation}, "a/b/c", []byte{0, 7}},
		{"topic only", [][]byte{response}, "a/b/c", nil},
		{"an unknown one ends it", [][]byte{response, {0x7f, 1}, correlation}, "a/b/c", nil},
		{"cut off", [][]byte{{0x01, 1}, {0x08, 0, 9, 'a'}}, "", nil},
		{"cut off sooner", [][]byte{{0x08, 0}}, "", nil},
	} {
		got := replyOf(bytes.Join(c.parts, nil))
		if got.topic != c.topic || !bytes.Equal(got.correlation, c.data) {
			t.Errorf("%s: got %q, %v", c.name, got.topic, got.correlation)
		}
	}
	commands := map[string]*actuator{"actuators/a/set": {}}
	for topic, want := range map[string]bool{"a/b": true, "": false, "$SYS/x": false, "a/#": false, "actuators/a/set": false, "actuators/a/x": true} {
		if got := (reply{topic: topic}).allowed(commands); got != want {
			t.Errorf("%q: got %v", topic, got)
		}
	}
}
