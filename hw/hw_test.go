package hw

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

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

// on returns the messages of a topic.
func (s *submitted) on(topic string) (all []*Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.all {
		if m.Topic == topic {
			all = append(all, m)
		}
	}
	return all
}

func TestSimulatedThermometerPublishesItsWave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got submitted
		var log bytes.Buffer
		h, err := New(Config{Sensor: []SensorConfig{{
			Kind: "simulated", Name: "living", Wave: Triangle, Low: 20, High: 36, Decimals: new(int),
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
		readings := got.on("simulated/living")
		if len(readings) != len(want) {
			t.Fatalf("got %d readings, want %d", len(readings), len(want))
		}
		for i, m := range readings {
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
		if !strings.Contains(log.String(), "sensor=living kind=simulated") {
			t.Errorf("the log does not say what is read: %s", &log)
		}
		if got := h.Stats(); got.Sensors != 1 || got.Readings != 5 || got.Errors != 0 || got.Sensor[0].State != Online {
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
