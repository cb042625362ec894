package main

import (
	"errors"
	"slices"
	"testing"

	"tidegate/cmd/tidegate/internal/control"
)

// What became of the links is told in words, however short it was.
func TestHistoryOfLinks(t *testing.T) {
	cloud, port := startCloud(t, "")
	g := newHouse(t, openHouse+towards(port))
	c := g.ask()
	becomes(t, c, "flowing", func(s *control.Status) bool { return s.Uplinks[0].State == control.Flowing })
	cloud.kill()
	becomes(t, c, "storing", func(s *control.Status) bool { return s.Uplinks[0].State == control.Storing })
	startCloud(t, port)
	becomes(t, c, "flowing again", func(s *control.Status) bool { return s.Uplinks[0].State == control.Flowing })
	var got control.History
	if err := c.Get(patiently(t), "/v1/history", &got); err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, e := range got.Events {
		if e.Words == "" || e.Link == "" || e.Endpoint != "mqtt://127.0.0.1:"+port {
			t.Errorf("got %+v", e)
		}
		if e.Link == "house-u0" {
			kinds = append(kinds, e.Kind)
		}
	}
	if len(kinds) < 4 || kinds[0] != "up" || kinds[1] != "down" || kinds[len(kinds)-1] != "up" || !slices.Contains(kinds, "fault") {
		t.Errorf("got %v, want up, down, fault, up", kinds)
	}
	if got.Flow.Step != 60 || got.Flow.HomeIn == nil || got.Latency.Endpoints == nil {
		t.Errorf("got %+v", got.Flow)
	}
	var said *control.Error
	if err := c.Get(patiently(t), "/v1/history?uplink=other", nil); !errors.As(err, &said) || said.Status != 404 {
		t.Errorf("of an uplink that there is not: got %v", err)
	}
}

// What is wired shows with its values, and what is not there says why.
func TestSensorsOverTheSocket(t *testing.T) {
	g := newHouse(t, openHouse+`
		[[hw.sensor]]
		kind = "simulated"
		name = "hall"
		low = 21
		every = "1s"
		[[hw.sensor]]
		kind = "bme280"
		name = "attic"
		bus = "i2c-9999"
		[[hw.actuator]]
		kind = "relay"
		name = "boiler"
		line = "gpiochip99:0"
	`)
	c := g.ask()
	s := becomes(t, c, "one with a value of the hall", func(s *control.Status) bool {
		return len(s.Sensors) == 2 && len(s.Actuators) == 1 && len(s.Sensors[0].Values) == 1 && s.Sensors[0].Values[0].Value != nil && s.Verdict == control.Attention && len(s.Findings) >= 2
	})
	if hall := s.Sensors[0]; hall.Name != "hall" || *hall.Values[0].Value != 21 || hall.Values[0].Unit != "°C" || hall.Topic != "simulated/hall" || !hall.Available {
		t.Errorf("got %+v", hall)
	}
	if attic := s.Sensors[1]; attic.Available || attic.Words == "" || len(attic.Values) != 3 {
		t.Errorf("got %+v", attic)
	}
	if b := s.Actuators[0]; b.Name != "boiler" || b.Available || b.Command != "actuators/boiler/set" {
		t.Errorf("got %+v", b)
	}
	var past control.SensorHistory
	if err := c.Get(patiently(t), "/v1/sensors/history?name=hall", &past); err != nil || len(past.Series) != 1 || past.Series[0].Unit != "°C" || past.Step != 60 {
		t.Errorf("got %+v, %v", past, err)
	}
	for command, want := range map[string]int{"ON": 409, "MAYBE": 400} {
		var said *control.Error
		if err := c.Do(patiently(t), "POST", "/v1/actuators/boiler", control.Command{Command: command}, nil); !errors.As(err, &said) || said.Status != want || said.Hint == "" {
			t.Errorf("%s: got %v, want %d", command, err, want)
		}
	}
}
