package chip

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/i2c/i2ctest"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/devices/v3/bmxx80"
)

// bmxChip is a BMx280 with the coefficients of the BMP280's datasheet (p. 23)
// and humidity coefficients of a real BME280.
func bmxChip(id byte) *registers {
	m := new(registers)
	m.mem[0xD0] = id
	for i, v := range []int{27504, 26435, -1000, 36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000} {
		binary.LittleEndian.PutUint16(m.mem[0x88+2*i:], uint16(v))
	}
	m.humidity(75, 355, 0, 340, 50, 30)
	m.raw(415148, 519888, 28000)
	m.wrote = func(register, value byte) {
		if register == 0xE0 {
			m.mem[0xF2], m.mem[0xF4], m.mem[0xF5] = 0, 0, 0
		}
		if register == 0xF4 {
			m.mem[0xF4] = value &^ 3 // measured, asleep again
		}
	}
	return m
}

func (m *registers) humidity(h1, h2, h3, h4, h5, h6 int) {
	m.mem[0xA1] = byte(h1)
	copy(m.mem[0xE1:], []byte{byte(h2), byte(h2 >> 8), byte(h3), byte(h4 >> 4), byte(h5<<4) | byte(h4&15), byte(h5 >> 4), byte(h6)})
}

func (m *registers) raw(p, t, h int) {
	copy(m.mem[0xF7:], []byte{byte(p >> 12), byte(p >> 4), byte(p << 4), byte(t >> 12), byte(t >> 4), byte(t << 4), byte(h >> 8), byte(h)})
}

// The worked example of the BMP280's datasheet, p. 23: 25.08 °C, 100653.27 Pa.
func TestBMP280Datasheet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &jack{addr: 0x76, model: bmxChip(isBMP280).tx}
		got := reading(t, "bmp280", opened(t, "bmp280", bus, Setup{}))
		near(t, "temperature", got[0], 25.08, 0.005)
		near(t, "pressure", got[1], 1006.5327, 0.00005)
	})
}

// What goes over the wire, byte by byte.
func TestBMP280Traffic(t *testing.T) {
	m := bmxChip(isBMP280)
	io := func(w []byte, r ...byte) i2ctest.IO { return i2ctest.IO{Addr: 0x77, W: w, R: r} }
	bus := &i2ctest.Playback{DontPanic: true, Ops: []i2ctest.IO{
		io([]byte{0xD0}, 0x58),
		io([]byte{0xE0, 0xB6}),
		io([]byte{0xF3}, 0x01), // still copying
		io([]byte{0xF3}, 0x00),
		io([]byte{0x88}, m.mem[0x88:0xA2]...),
		io([]byte{0xF5, 0x00}),
		io([]byte{0xF4, 0x6C}),
		io([]byte{0xF4}, 0x6C),
		io([]byte{0xF4, 0x6D}),
		io([]byte{0xF3}, 0x08), // still measuring
		io([]byte{0xF3}, 0x00),
		io([]byte{0xF7}, m.mem[0xF7:0xFD]...),
		io([]byte{0xF4, 0x6C}),
	}}
	synctest.Test(t, func(t *testing.T) {
		s, err := bmp280Kind().Open(Wiring{I2C: bus, Address: 0x77})
		if err != nil {
			t.Fatal(err)
		}
		near(t, "temperature", reading(t, "bmp280", s)[0], 25.08, 0.005)
		if err := errors.Join(s.Halt(), bus.Close()); err != nil {
			t.Error(err)
		}
	})
}

// periph's driver, in integers, says the same as ours wherever it is right.
func TestBME280AgreesWithPeriph(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		m := bmxChip(isBME280)
		m.raw(300000+random.IntN(200000), 380000+random.IntN(250000), 20000+random.IntN(20000))
		synctest.Test(t, func(t *testing.T) {
			bus := &jack{addr: 0x76, model: m.tx}
			theirs, err := bmxx80.NewI2C(bus, 0x76, &bmxx80.DefaultOpts)
			if err != nil {
				t.Fatal(err)
			}
			var env physic.Env
			if err := theirs.Sense(&env); err != nil {
				t.Fatal(err)
			}
			got := reading(t, "bme280", opened(t, "bme280", bus, Setup{}))
			near(t, "temperature", got[0], env.Temperature.Celsius(), 0.012)
			near(t, "humidity", got[1], float64(env.Humidity)/float64(physic.PercentRH), 0.05)
			near(t, "pressure", got[2], float64(env.Pressure)/float64(100*physic.Pascal), 0.02)
		})
	}
}

// Coefficients H4 and H5 are signed; what is wanted here comes from the
// integer formula of the datasheet (BME280, p. 25).
func TestBME280SignedCoefficients(t *testing.T) {
	for _, h := range [][6]int{{75, 355, 0, 340, 50, 30}, {75, 355, 0, 340, -7, 30}, {75, 355, 0, -12, 50, 30}, {0, 370, 3, 300, -500, -20}} {
		m := bmxChip(isBME280)
		m.humidity(h[0], h[1], h[2], h[3], h[4], h[5])
		m.raw(415148, 519888, 18000)
		synctest.Test(t, func(t *testing.T) {
			got := reading(t, "bme280", opened(t, "bme280", &jack{addr: 0x76, model: m.tx}, Setup{}))
			near(t, "humidity", got[1], integerHumidity(h, 18000, 128422), 0.05)
		})
	}
}

func integerHumidity(h [6]int, raw, fine int) float64 {
	v := fine - 76800
	a := (raw<<14 - h[3]<<20 - h[4]*v + 16384) >> 15
	b := (((v*h[5]>>10)*((v*h[2]>>11)+32768)>>10+2097152)*h[1] + 8192) >> 14
	v = a * b
	v -= (v >> 15) * (v >> 15) >> 7 * h[0] >> 4
	return float64(min(max(v, 0), 419430400)>>12) / 1024
}

func TestBMx280Faults(t *testing.T) {
	for _, c := range []struct {
		name string
		open func(*registers) // what is wrong before opening
		read func(*registers) // what goes wrong after it
		want error
	}{
		{name: "a BMP280 sold as BME280", open: func(m *registers) { m.mem[0xD0] = isBMP280 }, want: errKind},
		{name: "something else", open: func(m *registers) { m.mem[0xD0] = 0xFF }, want: errKind},
		{name: "no calibration", open: func(m *registers) { clear(m.mem[0x88:0xA2]) }, want: errNoData},
		{name: "copies for ever", open: func(m *registers) { m.mem[0xF3] = 1 }, want: errBusy},
		{name: "measures for ever", read: func(m *registers) { m.mem[0xF3] = 8 }, want: errBusy},
		{name: "power failed", read: func(m *registers) { m.mem[0xF4] = 0 }, want: errReset},
		{name: "temperature not measured", read: func(m *registers) { m.raw(415148, 0x80000, 28000) }, want: errNoData},
		{name: "humidity not measured", read: func(m *registers) { m.raw(415148, 519888, 0x8000) }, want: errNoData},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := bmxChip(isBME280)
				bus := &jack{addr: 0x76, model: m.tx}
				if c.open != nil {
					c.open(m)
				}
				start := time.Now()
				s, err := bme280Kind().Open(Wiring{I2C: bus, Address: 0x76})
				if err == nil {
					c.read(m)
					err = s.Read(make([]float64, 3))
				}
				if !errors.Is(err, c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
				if took := time.Since(start); took > time.Second || bus.count > 50 {
					t.Errorf("it took %v and %d transactions to say so", took, bus.count)
				}
			})
		})
	}
}

// The reason why Sense of periph's driver is not used: while the chip says
// that it measures, it asks for ever. Here the bus ends it.
func TestPeriphBMx280AsksForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := bmxChip(isBME280)
		bus := &jack{addr: 0x76, model: m.tx}
		s, err := bmxx80.NewI2C(bus, 0x76, &bmxx80.DefaultOpts)
		if err != nil {
			t.Fatal(err)
		}
		m.mem[0xF3] = 8
		bus.model = func(w, r []byte) error {
			bus.gone = bus.count >= 100_000
			return m.tx(w, r)
		}
		if err := s.Sense(new(physic.Env)); err == nil || bus.count < 100_000 {
			t.Errorf("got %v after %d transactions: a bound in periph's driver; use it again?", err, bus.count)
		}
	})
}

func TestBoschIdentify(t *testing.T) {
	for _, k := range []Kind{bme280Kind(), bmp280Kind(), bmp180Kind()} {
		for id, name := range boschNames {
			bus := &jack{addr: 0x77, model: bmxChip(id).tx}
			if got, want := k.Identify(bus, 0x77), strings.EqualFold(name, k.Name); got != want {
				t.Errorf("%s identifies a %s: got %v, want %v", k.Name, name, got, want)
			}
			bus.gone = true
			if k.Identify(bus, 0x77) {
				t.Errorf("%s identifies nothing", k.Name)
			}
		}
	}
}

func TestBMx280Survives(t *testing.T) {
	survives(t, "bme280", &jack{addr: 0x76, model: bmxChip(isBME280).tx}, Setup{}, 0)
	survives(t, "bmp280", &jack{addr: 0x76, model: bmxChip(isBMP280).tx}, Setup{}, 0)
}

// Halt of periph's driver deadlocks after SenseContinuous, others' leave
// goroutines behind: nothing here reads continuously, or starts a goroutine.
func TestNothingReadsContinuously(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		for _, word := range []string{"SenseContinuous(", "ReadContinuous(", "\tgo "} {
			if bytes.Contains(b, []byte(word)) {
				t.Errorf("%s: %q", f, word)
			}
		}
	}
}
