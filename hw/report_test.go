package hw

import (
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/internal/conf"
)

// published runs one sensor over the values and returns its payloads.
func published(t *testing.T, c SensorConfig, opt Options, d time.Duration, values ...[]float64) (*house, []string) {
	t.Helper()
	n := -1
	b := &board{chips: map[uint16]*fakeChip{0x76: {values: func() []float64 {
		n = min(n+1, len(values)-1)
		return values[n]
	}}}}
	c.Name, c.Address = "x", 0x76
	h := newHouse(t, b, opt, c)
	h.runFor(t, d)
	return h, h.payloads("sensors/x")
}

func TestPayload(t *testing.T) {
	one, off := 1, false
	second := conf.Duration(time.Second)
	for _, c := range []struct {
		name   string
		config SensorConfig
		values []float64
		want   string
	}{
		{"as the chip resolves", SensorConfig{Kind: "weather"}, []float64{21.4271, 40.06, 1013.249}, `{"temperature":21.43,"humidity":40.1,"pressure":1013.25}`},
		{"zero has no sign", SensorConfig{Kind: "thermo"}, []float64{-0.004}, `{"temperature":0.00}`},
		{"no value", SensorConfig{Kind: "climate"}, []float64{21, nan}, `{"temperature":21.00,"humidity":null}`},
		{"decimals", SensorConfig{Kind: "climate", Decimals: &one}, []float64{21.46, 40}, `{"temperature":21.5,"humidity":40.0}`},
		{"not retained", SensorConfig{Kind: "thermo", Retain: &off}, []float64{1}, `{"temperature":1.00}`},
		{"units", SensorConfig{Kind: "weather", Quantity: []QuantityConfig{{Name: "temperature", Unit: "°F"}, {Name: "pressure", Unit: "inHg"}}},
			[]float64{-40, 50, 1013.25}, `{"temperature":-40.00,"humidity":50.0,"pressure":29.921}`},
		{"calibration in the unit published", SensorConfig{Kind: "climate", Quantity: []QuantityConfig{
			{Name: "temperature", Unit: "°F", Scale: 2, Offset: -1}, {Name: "humidity", Offset: 2.5, Decimals: new(int)}}},
			[]float64{10, 40}, `{"temperature":99.00,"humidity":43}`}, // (10*1.8+32)*2-1
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.config.Every = second
				h, got := published(t, c.config, Options{}, 100*time.Millisecond, c.values)
				if !slices.Equal(got, []string{c.want}) {
					t.Errorf("got %v, want %s", got, c.want)
				}
				if m := h.got.on("sensors/x")[0]; m.Retain != (c.config.Retain == nil) {
					t.Errorf("retain: got %v", m.Retain)
				}
			})
		})
	}
}

func TestPlainPayload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		zero := 0
		c := SensorConfig{Kind: "weather", Payload: "plain", QoS: &zero, Topic: "home/{name}/{kind}/{quantity}"}
		h, _ := published(t, c, Options{}, time.Second, []float64{21.427, nan, 1000})
		for topic, want := range map[string][]string{
			"home/x/weather/temperature": {"21.43"}, "home/x/weather/humidity": nil, "home/x/weather/pressure": {"1000.00"},
		} {
			if got := h.payloads(topic); !slices.Equal(got, want) {
				t.Errorf("%s: got %v, want %v", topic, got, want)
			}
		}
		m := h.got.on("home/x/weather/pressure")[0]
		if p := string(m.Properties); p != "\x01\x01\x03\x00\x0atext/plain" || m.QoS != 0 {
			t.Errorf("properties %q, QoS %d", p, m.QoS)
		}
	})
}

func TestNothingIsPublishedWithoutAnyValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, got := published(t, SensorConfig{Kind: "climate", Every: 1e9}, Options{}, 1500*time.Millisecond, []float64{nan, nan})
		if len(got) != 0 || h.state(0) != "online " {
			t.Errorf("got %v, %s, want no message of a sensor that is online", got, h.state(0))
		}
	})
}

// The time is in the payload from the moment on that somebody knows it.
func TestTimeOnlyWhenKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		opt := Options{Clock: func() (time.Time, bool) {
			asked++
			return time.Date(2026, 3, 1, 12, 0, asked, 0, time.FixedZone("", 3600)), asked > 1
		}}
		_, got := published(t, SensorConfig{Kind: "thermo", Every: 1e9}, opt, 1500*time.Millisecond, []float64{20})
		want := []string{`{"temperature":20.00}`, `{"temperature":20.00,"time":"2026-03-01T11:00:02.000Z"}`}
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestReportOnChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := SensorConfig{Kind: "climate", Every: 1e9, AtLeast: 5e9, Quantity: []QuantityConfig{{Name: "temperature", Change: 0.5}}}
		values := [][]float64{
			{20, 40}, {20.4, 40}, {20.5, 41}, {20.1, 90}, {20.9, 40}, {21, 40}, // 0, 2 and 5 s: moved by 0.5 since the last message
			{21, 40}, {21, 40}, {21, 40}, {21, 40}, {21, 40}, {21, 40}, // 10 s: silent for 5 s
			{nan, 40}, {nan, 40}, {21, 40}, // 12 and 14 s: the value goes and comes
		}
		_, got := published(t, c, Options{}, 14500*time.Millisecond, values...)
		want := []string{
			`{"temperature":20.00,"humidity":40.0}`, `{"temperature":20.50,"humidity":41.0}`, `{"temperature":21.00,"humidity":40.0}`,
			`{"temperature":21.00,"humidity":40.0}`, `{"temperature":null,"humidity":40.0}`, `{"temperature":21.00,"humidity":40.0}`,
		}
		if !slices.Equal(got, want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
	})
}

func TestAverageOfAnInterval(t *testing.T) {
	values := [][]float64{{20, 1}, {21, nan}, {80, 3}, {22, nan}, {23, nan}, {10, nan}, {10, nan}, {10, nan}, {10, nan}, {11, nan}}
	for average, want := range map[Average][]string{
		Mean:   {`{"temperature":33.20,"humidity":2.0}`, `{"temperature":10.20,"humidity":null}`},
		Median: {`{"temperature":22.00,"humidity":2.0}`, `{"temperature":10.00,"humidity":null}`},
	} {
		t.Run(string(average), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := SensorConfig{Kind: "climate", Every: 5e9, Sample: 1e9, Average: average}
				h, got := published(t, c, Options{}, 9500*time.Millisecond, values...)
				if !slices.Equal(got, want) {
					t.Errorf("got %v, want %v", got, want)
				}
				if n := h.Stats().Readings; n != 10 {
					t.Errorf("got %d readings, want 10", n)
				}
			})
		})
	}
}

// A chip that reckons from reading to reading is read as often as it wants,
// whatever is published.
func TestSteadyKindIsReadAsOftenAsItWants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		values := [][]float64{{1}, {2}, {3}, {4}, {5}, {6}, {7}, {nan}, {9}}
		h, got := published(t, SensorConfig{Kind: "steady", Every: 4e9}, Options{}, 8500*time.Millisecond, values...)
		if want := []string{`{"temperature":4.00}`, `{"temperature":7.00}`}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if n := h.Stats().Readings; n != 9 {
			t.Errorf("got %d readings, want 9", n)
		}
	})
}

// What was read before an absence says nothing about the time after it.
func TestAverageBeginsAnewAfterAnAbsence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &fakeChip{values: each(80)}
		b := &board{chips: map[uint16]*fakeChip{0x76: c}}
		s := thermo("x", 0x76, 10*time.Second)
		s.Average, s.Sample = Mean, 1e9
		h := newHouse(t, b, Options{}, s)
		h.runFor(t, 20*time.Second,
			after(3500*time.Millisecond, func() { b.set(func() { c.fails = errNoAck }) }),
			after(4*time.Second, func() { b.set(func() { c.fails, c.values = nil, each(10) }) }))
		if got, want := h.payloads("sensors/x"), []string{`{"temperature":10.00}`}; !slices.Equal(got, want) { // at 19 s, of what came since 11 s
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestUnits(t *testing.T) {
	for _, c := range []struct {
		from, to string
		in, want float64
	}{
		{"°C", "°F", 100, 212}, {"°C", "°F", -40, -40}, {"°C", "K", 0, 273.15}, {"°C", "", 21, 21}, {"°C", "°C", 21, 21},
		{"hPa", "Pa", 1013.25, 101325}, {"hPa", "kPa", 1013.25, 101.325}, {"hPa", "mbar", 5, 5}, {"hPa", "bar", 1013.25, 1.01325},
		{"hPa", "mmHg", 1013.25, 759.99989}, {"hPa", "inHg", 1013.25, 29.9213}, {"hPa", "psi", 1013.25, 14.6959},
		{"V", "mV", 3.3, 3300}, {"A", "mA", 0.25, 250}, {"W", "mW", 2, 2000}, {"W", "kW", 2000, 2},
		{"kg", "g", 1.5, 1500}, {"kg", "lb", 1, 2.20462}, {"kg", "oz", 1, 35.27396},
	} {
		scale, offset, ok := conversion(c.from, c.to)
		if got := c.in*scale + offset; !ok || math.Abs(got-c.want) > 1e-4 {
			t.Errorf("%v %s: got %v %s, want %v", c.in, c.from, got, c.to, c.want)
		}
	}
	if _, _, ok := conversion("°F", "°C"); ok {
		t.Error("a chip that measures in °F is unheard of")
	}
}

func TestDecimalsOfResolution(t *testing.T) {
	for resolution, want := range map[float64]int{0.01: 2, 0.0625: 2, 0.1: 1, 1: 0, 5: 0, 0.5: 1, 0.018: 2, 0.003: 3, 1e-9: 6, 0: 3} {
		if got := decimalsOf(resolution); got != want {
			t.Errorf("%v: got %d, want %d", resolution, got, want)
		}
	}
}

func TestRetryBacksOff(t *testing.T) {
	var got []time.Duration
	for n := 1; n <= 8; n++ {
		got = append(got, retry(n)/time.Second)
	}
	if want := []time.Duration{1, 2, 4, 8, 16, 32, 60, 60}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := retry(1 << 30); got != time.Minute {
		t.Errorf("after very many: got %v", got)
	}
}
