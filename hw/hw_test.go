package hw

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/physic"

	"tidegate/internal/conf"
)

func TestWaveHasItsStatedShape(t *testing.T) {
	const low, high = 20.0, 36.0
	for _, c := range []struct {
		wave Wave
		want [5]float64 // at 0, 1/4, 1/2, 3/4 and 1 of the period
	}{
		{Constant, [5]float64{20, 20, 20, 20, 20}},
		{Sine, [5]float64{20, 28, 36, 28, 20}},
		{Triangle, [5]float64{20, 28, 36, 28, 20}},
		{Square, [5]float64{20, 20, 36, 36, 20}},
	} {
		for i, want := range c.want {
			at := time.Duration(i) * time.Minute
			if got := c.wave.At(at, 4*time.Minute, low, high); math.Abs(got-want) > 1e-9 {
				t.Errorf("%s at %v: got %v, want %v", c.wave, at, got, want)
			}
		}
	}
	if got := Sine.At(30*time.Second, 4*time.Minute, 0, 1); math.Abs(got-(1-math.Sqrt2/2)/2) > 1e-9 {
		t.Errorf("sine at an eighth: got %v", got)
	}
}

func TestUnitsSurviveThePeriphTypes(t *testing.T) {
	for name, u := range units {
		for _, want := range []float64{0, 0.1, 21.37, 99.999} {
			var env physic.Env
			u.write(&env, want)
			if got := u.read(&env); math.Abs(got-want) > 1e-4 {
				t.Errorf("%v %s: got %v", want, name, got)
			}
		}
	}
}

// submitted collects messages.
type submitted struct {
	mu  sync.Mutex
	all []*Message
}

func (s *submitted) take(m *Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, m)
}

func TestSimulatedThermometerPublishesItsWave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got submitted
		var log bytes.Buffer
		h, err := New(Config{Sensor: []SensorConfig{{
			Kind: "simulated", Name: "living", Wave: Triangle, Low: 20, High: 36, Decimals: 1,
			Every: conf.Duration(time.Second), Period: conf.Duration(8 * time.Second),
		}}}, Options{Log: slog.New(slog.NewTextHandler(&log, nil)), Submit: got.take})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), 4500*time.Millisecond)
		defer stop()
		if err := h.Run(ctx); err != nil {
			t.Fatal(err)
		}
		want := []float64{20, 24, 28, 32, 36}
		if len(got.all) != len(want) {
			t.Fatalf("got %d readings, want %d", len(got.all), len(want))
		}
		for i, m := range got.all {
			var p struct {
				Value     float64
				Unit      string
				Simulated bool
			}
			if err := json.Unmarshal(m.Payload, &p); err != nil {
				t.Fatalf("payload %s: %v", m.Payload, err)
			}
			if p.Value != want[i] || p.Unit != "°C" || !p.Simulated || m.Topic != "simulated/living" || m.QoS != 1 {
				t.Errorf("reading %d: got %s on %s at QoS %d, want %v °C, simulated, QoS 1", i, m.Payload, m.Topic, m.QoS, want[i])
			}
		}
		if !strings.Contains(log.String(), "simulated") {
			t.Errorf("the log does not say simulated: %s", &log)
		}
		if got := h.Stats(); got != (Stats{Sensors: 1, Readings: 5}) {
			t.Errorf("stats: got %+v", got)
		}
	})
}

func TestWithoutSensorsItRunsUntilItIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, err := New(DefaultConfig(), Options{Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		begin := time.Now()
		if err := h.Run(ctx); err != nil || time.Since(begin) != time.Hour {
			t.Errorf("got %v after %v, want to run for the hour", err, time.Since(begin))
		}
	})
}

// flaky answers every other time.
type flaky struct {
	turn   int
	halted bool
}

func (f *flaky) Sense(env *physic.Env) error {
	if f.turn++; f.turn%2 == 0 {
		return errors.New("i2c: no acknowledge")
	}
	env.Temperature = physic.ZeroCelsius
	return nil
}

func (f *flaky) Halt() error { f.halted = true; return nil }

func TestSensorThatDoesNotAnswerIsTriedAgainAndReportedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got submitted
		var log bytes.Buffer
		f := &flaky{}
		h := &Hardware{
			opt:     Options{Log: slog.New(slog.NewTextHandler(&log, nil)), Submit: got.take},
			sensors: []*reader{{SensorConfig: SensorConfig{Kind: "bme280", Name: "x"}.withDefaults(), sensor: f}},
		}
		ctx, stop := context.WithTimeout(t.Context(), 35*time.Second)
		defer stop()
		if err := h.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if len(got.all) != 2 || h.Stats().Errors != 2 || !f.halted {
			t.Errorf("got %d readings, %d errors, halted %v, want 2, 2, true", len(got.all), h.Stats().Errors, f.halted)
		}
		if p := string(got.all[0].Payload); p != `{"value":0,"unit":"°C"}` {
			t.Errorf("a real reading: got %s", p)
		}
		if n := strings.Count(log.String(), "does not answer"); n != 2 {
			t.Errorf("got %d lines about going away, want one for each change, 2", n)
		}
	})
}

func TestConfigCheck(t *testing.T) {
	good := SensorConfig{Kind: "simulated", Name: "a", Wave: Sine, Low: 1, High: 2}
	for _, c := range []struct {
		name  string
		spoil func(*SensorConfig)
		key   string // of the one problem; "" for none
	}{
		{"good", func(*SensorConfig) {}, ""},
		{"kind", func(s *SensorConfig) { s.Kind = "bme280" }, "sensor[0].kind"},
		{"no name", func(s *SensorConfig) { s.Name = "" }, "sensor[0].name"},
		{"name", func(s *SensorConfig) { s.Name = "living room" }, "sensor[0].name"},
		{"wildcard", func(s *SensorConfig) { s.Topic = "home/+" }, "sensor[0].topic"},
		{"system topic", func(s *SensorConfig) { s.Topic = "$SYS/x" }, "sensor[0].topic"},
		{"too often", func(s *SensorConfig) { s.Every = 1 }, "sensor[0].every"},
		{"unit", func(s *SensorConfig) { s.Unit = "F" }, "sensor[0].unit"},
		{"decimals", func(s *SensorConfig) { s.Decimals = 7 }, "sensor[0].decimals"},
		{"wave", func(s *SensorConfig) { s.Wave = "saw" }, "sensor[0].wave"},
		{"range", func(s *SensorConfig) { s.High = 1 }, "sensor[0].high"},
		{"constant has no range", func(s *SensorConfig) { s.Wave, s.High = "", 0 }, ""},
		{"period", func(s *SensorConfig) { s.Period = -1 }, "sensor[0].period"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := good
			c.spoil(&s)
			got := Config{Sensor: []SensorConfig{s}}.Check()
			if c.key == "" && len(got) == 0 || len(got) == 1 && got[0].Key == c.key {
				return
			}
			t.Errorf("got %v, want one problem with %q", got, c.key)
		})
	}
	twice := Config{Sensor: []SensorConfig{good, good}}.Check()
	if len(twice) != 1 || twice[0].Key != "sensor[1].name" {
		t.Errorf("two of one name: got %v", twice)
	}
	if _, err := New(Config{Sensor: []SensorConfig{{}}}, Options{}); err == nil {
		t.Error("New took a bad configuration")
	}
}
