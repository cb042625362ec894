package discovery_test

import (
	"encoding/json"
	"slices"
	"testing"

	"tidegate/hw/internal/discovery"
)

// home is Home Assistant as far as discovery goes: the components it knows, by
// topic and key, with their platform.
type home map[string]string

// hear takes a discovery message as the documentation says.
func (h home) hear(t *testing.T, m discovery.Message) {
	t.Helper()
	var c struct {
		Components map[string]map[string]any
	}
	if len(m.Payload) == 0 {
		for key := range h {
			if len(key) > len(m.Topic) && key[:len(m.Topic)] == m.Topic {
				delete(h, key)
			}
		}
		return
	}
	if err := json.Unmarshal(m.Payload, &c); err != nil {
		t.Fatal(err)
	}
	for key, part := range c.Components {
		id := m.Topic + " " + key + " " + part["platform"].(string)
		if len(part) == 1 {
			delete(h, id)
		} else {
			h[id] = part["unique_id"].(string)
		}
	}
}

func announced(all ...discovery.Device) []discovery.Message {
	var out []discovery.Message
	for _, d := range all {
		out = append(out, discovery.Announce("ha", origin, d))
	}
	return out
}

func retained(all []discovery.Message) map[string][]byte {
	m := map[string][]byte{}
	for _, a := range all {
		m[a.Topic] = a.Payload
	}
	return m
}

func TestChangesLeaveHomeAssistantWithWhatIs(t *testing.T) {
	device := func(name string, parts ...discovery.Component) discovery.Device {
		return discovery.Device{Gateway: "gw", Name: name, Components: parts}
	}
	part := func(key string, p discovery.Platform) discovery.Component {
		return discovery.Component{Key: key, Platform: p, State: "s/" + key}
	}
	temperature, humidity := part("temperature", discovery.Sensor), part("humidity", discovery.Sensor)
	other := part("temperature", discovery.BinarySensor)
	renamed := temperature
	renamed.Title = "Warmth"
	for _, c := range []struct {
		name    string
		was, is []discovery.Message
		want    int // messages
	}{
		{"nothing", nil, nil, 0},
		{"first start", nil, announced(device("a", temperature), device("b", humidity)), 2},
		{"the same", announced(device("a", temperature)), announced(device("a", temperature)), 0},
		{"title", announced(device("a", temperature)), announced(device("a", renamed)), 1},
		{"one more part", announced(device("a", temperature)), announced(device("a", temperature, humidity)), 1},
		{"one part less", announced(device("a", temperature, humidity)), announced(device("a", humidity)), 2},
		{"another platform", announced(device("a", temperature)), announced(device("a", other)), 2},
		{"device gone", announced(device("a", temperature), device("b", humidity)), announced(device("b", humidity)), 1},
		{"renamed", announced(device("a", temperature)), announced(device("b", temperature)), 2},
		{"all gone", announced(device("a", temperature), device("b", humidity)), nil, 2},
		{"not ours", []discovery.Message{{Topic: "ha/device/gw/a/config", Payload: []byte("hello")}}, announced(device("a", temperature)), 1},
		{"cleared already", []discovery.Message{{Topic: "ha/device/gw/a/config"}}, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := home{}
			if c.name != "not ours" {
				for _, m := range c.was {
					h.hear(t, m)
				}
			}
			changes := discovery.Changes(retained(c.was), c.is)
			if len(changes) != c.want {
				t.Errorf("got %d messages, want %d: %s", len(changes), c.want, changes)
			}
			broker := retained(c.was)
			for _, m := range changes {
				h.hear(t, m)
				if broker[m.Topic] = m.Payload; len(m.Payload) == 0 {
					delete(broker, m.Topic)
				}
			}
			want := home{}
			for _, m := range c.is {
				want.hear(t, m)
				if string(broker[m.Topic]) != string(m.Payload) {
					t.Errorf("%s: the broker is left with %s", m.Topic, broker[m.Topic])
				}
			}
			for id := range h {
				if _, is := want[id]; !is {
					t.Errorf("%s stays", id)
				}
			}
			if len(h) < len(want) {
				t.Errorf("got %d components, want %d", len(h), len(want))
			}
		})
	}
}

func TestChangesHaveOneOrder(t *testing.T) {
	was := retained(announced(
		discovery.Device{Gateway: "gw", Name: "c"}, discovery.Device{Gateway: "gw", Name: "a"}, discovery.Device{Gateway: "gw", Name: "b"}))
	var got []string
	for _, m := range discovery.Changes(was, nil) {
		got = append(got, m.Topic)
	}
	if want := []string{"ha/device/gw/a/config", "ha/device/gw/b/config", "ha/device/gw/c/config"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Home Assistant that is busy with the first component of a message leaves out
// the others of the next one.
func TestWhatIsTakenAwayComesAlone(t *testing.T) {
	sensor := discovery.Component{Key: "b", Platform: discovery.Sensor, State: "s"}
	other := discovery.Component{Key: "b", Platform: discovery.BinarySensor, State: "s"}
	first := discovery.Component{Key: "a", Platform: discovery.Sensor, State: "s"}
	of := func(all ...discovery.Component) []discovery.Message {
		return announced(discovery.Device{Gateway: "gw", Name: "n", Components: all})
	}
	changes := discovery.Changes(retained(of(first, sensor)), of(first, other))
	if len(changes) != 2 {
		t.Fatalf("got %d messages, want 2", len(changes))
	}
	var got struct{ Components map[string]map[string]string }
	if err := json.Unmarshal(changes[0].Payload, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Components) != 1 || len(got.Components["b"]) != 1 || got.Components["b"]["platform"] != "sensor" {
		t.Errorf("got %v, want b with its platform only", got.Components)
	}
}
