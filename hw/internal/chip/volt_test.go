package chip

import (
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/i2c/i2ctest"
)

// The example of the INA219's datasheet (8.5.3, figure 27): 10 A through 2 mΩ,
// 11.98 V. There the range is 16 V; here it is 32 V.
func TestINA219Datasheet(t *testing.T) {
	io := func(w []byte, r ...byte) i2ctest.IO { return i2ctest.IO{Addr: 0x40, W: w, R: r} }
	bus := &i2ctest.Playback{DontPanic: true, Ops: []i2ctest.IO{
		io([]byte{0x05, 0x10, 0x62}),
		io([]byte{0x00, 0x1F, 0xFF}), // what periph writes
		io([]byte{0x00, 0x3F, 0xFF}),
		io([]byte{0x01}, 0x07, 0xD0),
		io([]byte{0x02}, 0x5D, 0x98),
		io([]byte{0x04}, 0x00, 0x00), // neither the chip's current nor its power counts
		io([]byte{0x03}, 0x00, 0x00),
		io([]byte{0x00, 0x3F, 0xF8}),
	}}
	synctest.Test(t, func(t *testing.T) {
		s, err := openINA219(Wiring{I2C: bus, Address: 0x40, Setup: Setup{Shunt: 0.002}})
		if err != nil {
			t.Fatal(err)
		}
		got := reading(t, "ina219", s)
		near(t, "voltage", got[0], 11.98, 1e-9)
		near(t, "current", got[1], 10, 1e-9)
		near(t, "power", got[2], 119.8, 1e-6)
		if err := errors.Join(s.Halt(), bus.Close()); err != nil {
			t.Error(err)
		}
	})
}

func TestINA219(t *testing.T) {
	for _, c := range []struct {
		name       string
		shunt, bus uint16
		want       error
		ampere     float64
	}{
		{"backwards", 0xF63C, 24 << 8, nil, -0.25}, // -25 mV over 0.1 Ω
		{"nothing", 0, 0, nil, 0},
		{"too much", 32000, 12 << 8, errBeyond, 0},
		{"too much backwards", 0x8300, 12 << 8, errBeyond, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := opened(t, "ina219", &jack{addr: 0x45, model: words16{1: c.shunt, 2: c.bus}.tx}, Setup{})
			out := make([]float64, 3)
			if err := s.Read(out); !errors.Is(err, c.want) {
				t.Fatalf("%s: got %v, want %v", c.name, err, c.want)
			}
			near(t, c.name, out[1], c.ampere, 1e-9)
		})
	}
	for _, ohm := range []float64{-0.1, 1e-6, 11, 1e5, math.NaN(), math.Inf(1)} {
		if _, err := openINA219(Wiring{I2C: &jack{addr: 0x40, model: words16{}.tx}, Address: 0x40, Setup: Setup{Shunt: ohm}}); err == nil {
			t.Errorf("a shunt of %v Ω: no error", ohm)
		}
	}
	survives(t, "ina219", &jack{addr: 0x40, model: words16{1: 2000, 2: 0x5D98}.tx}, Setup{Shunt: 0.002}, 8)
}

// adsModel is a converter whose conversions take ten per cent longer than by
// the book, and which has the result of another input until then.
type adsModel struct {
	config words16
	inputs map[uint16]uint16 // by the first four bits of the configuration
	done   time.Time
	next   uint16
	asked  int
}

func (m *adsModel) tx(w, r []byte) error {
	if len(w) == 3 {
		m.done = time.Now().Add(time.Second * 11 / 10 / 128)
		m.next = m.inputs[uint16(w[1])>>4&7]
	}
	if !time.Now().Before(m.done) {
		m.config[0] = m.next
	}
	err := m.config.tx(w, r)
	if len(r) == 2 && w[0] == adsConfig {
		m.asked++
		r[0] &^= adsIdle
		if !time.Now().Before(m.done) {
			r[0] |= adsIdle
		}
	}
	return err
}

func newADS(inputs map[uint16]uint16) *adsModel {
	return &adsModel{config: words16{0: 0x1234, 1: 0x8583}, inputs: inputs}
}

func TestADS1115(t *testing.T) {
	m := newADS(map[uint16]uint16{4: 0x4000, 5: 0x0001, 7: 0x7FFE, 0: 0xC000, 3: 0x8001})
	bus := &jack{addr: 0x48, model: m.tx}
	for _, c := range []struct {
		setup Setup
		want  float64
	}{
		{Setup{}, 2.048},
		{Setup{Channel: "0", Gain: 6.144}, 3.072},
		{Setup{Channel: "1", Gain: 0.256}, 0.256 / 32768},
		{Setup{Channel: "3"}, 4.096 * 32766 / 32768},
		{Setup{Channel: "0-1", Gain: 2.048}, -1.024},
		{Setup{Channel: "2-3", Gain: 1.024}, -1.024 * 32767 / 32768},
	} {
		synctest.Test(t, func(t *testing.T) {
			near(t, c.setup.Channel, reading(t, "ads1115", opened(t, "ads1115", bus, c.setup))[0], c.want, 1e-8)
		})
	}
	synctest.Test(t, func(t *testing.T) {
		near(t, "ads1015", reading(t, "ads1015", opened(t, "ads1015", bus, Setup{Channel: "0"}))[0], 2.048, 1e-8)
	})
	if m.asked == 0 {
		t.Error("the chip was not asked whether it is done")
	}
	survives(t, "ads1115", bus, Setup{Channel: "0"}, 4)
	survives(t, "ads1015", bus, Setup{Channel: "0-1"}, 4)
}

func TestADS1x15Faults(t *testing.T) {
	m := newADS(map[uint16]uint16{4: 0x7FFF, 5: 0x8000, 6: 0x7FF0})
	bus := &jack{addr: 0x48, model: m.tx}
	for _, c := range []struct {
		kind    string
		setup   Setup
		stuck   time.Duration
		forgets bool
		want    error
	}{
		{kind: "ads1115", setup: Setup{Channel: "0"}, want: errBeyond},
		{kind: "ads1115", setup: Setup{Channel: "1"}, want: errBeyond},
		{kind: "ads1015", setup: Setup{Channel: "2"}, want: errBeyond},
		{kind: "ads1115", setup: Setup{Channel: "2"}, stuck: time.Hour, want: errBusy},
		{kind: "ads1115", setup: Setup{Channel: "2"}, forgets: true, want: errReset},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := opened(t, c.kind, bus, c.setup)
			bus.model = func(w, r []byte) error {
				if c.forgets && len(w) == 1 {
					m.config[1] = 0x8583
				}
				if len(w) == 1 {
					m.done = m.done.Add(c.stuck)
				}
				return m.tx(w, r)
			}
			if err := s.Read(make([]float64, 1)); !errors.Is(err, c.want) {
				t.Errorf("%s %q: got %v, want %v", c.kind, c.setup.Channel, err, c.want)
			}
		})
		bus.model = m.tx
	}
	for _, bad := range []Setup{{Channel: "4"}, {Channel: "1-2"}, {Channel: "Invalid"}, {Gain: 5}, {Gain: math.NaN()}, {Gain: -4.096}} {
		if _, err := openADS1115(Wiring{I2C: bus, Address: 0x48, Setup: bad}); err == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
}
