package chip

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"periph.io/x/conn/v3/i2c/i2ctest"
)

// Two chips of other people, with what their makers of drivers say that they
// measured (pimoroni/bme680-python issue 11 and its tests;
// elixir-sensors/bmp280, bme680_sensor_test).
var (
	pimoroni = calibration680{
		t1: 26041, t2: 26469, t3: 3,
		p1: 36673, p2: -10515, p3: 88, p4: 7310, p5: -129, p6: 30, p7: 46, p8: -3177, p9: -2379, p10: 30,
		h1: 676, h2: 1029, h3: 0, h4: 45, h5: 20, h6: 120, h7: -100,
	}
	elixir = calibration680{
		t1: 26195, t2: 26290, t3: 3,
		p1: 35395, p2: -10405, p3: 88, p4: 4836, p5: -118, p6: 30, p7: 26, p8: -765, p9: -3367, p10: 30,
		h1: 717, h2: 1021, h3: 0, h4: 45, h5: 20, h6: 120, h7: -100,
	}
)

// registers are what a chip with these coefficients has at 0x8A and at 0xE1.
func (c calibration680) registers() (air, humidity []byte) {
	u := func(v uint16) (byte, byte) { return byte(v), byte(v >> 8) }
	air, humidity = make([]byte, 23), make([]byte, 10)
	air[0], air[1] = u(uint16(c.t2))
	air[2] = byte(c.t3)
	air[4], air[5] = u(c.p1)
	air[6], air[7] = u(uint16(c.p2))
	air[8] = byte(c.p3)
	air[10], air[11] = u(uint16(c.p4))
	air[12], air[13] = u(uint16(c.p5))
	air[14], air[15] = byte(c.p7), byte(c.p6)
	air[18], air[19] = u(uint16(c.p8))
	air[20], air[21] = u(uint16(c.p9))
	air[22] = c.p10
	humidity[0], humidity[1], humidity[2] = byte(c.h2>>4), byte(c.h2<<4|c.h1&0x0F), byte(c.h1>>4)
	copy(humidity[3:], []byte{byte(c.h3), byte(c.h4), byte(c.h5), c.h6, byte(c.h7)})
	humidity[8], humidity[9] = u(c.t1)
	return air, humidity
}

func bme680Opened(c calibration680) []i2ctest.IO {
	air, humidity := c.registers()
	return []i2ctest.IO{
		{Addr: 0x76, W: []byte{0xD0}, R: []byte{0x61}},
		{Addr: 0x76, W: []byte{0xE0, 0xB6}},
		{Addr: 0x76, W: []byte{0x8A}, R: air},
		{Addr: 0x76, W: []byte{0xE1}, R: humidity},
		{Addr: 0x76, W: []byte{0x72, 0x02}},
		{Addr: 0x76, W: []byte{0x74, 0x8C}},
	}
}

// bme680Data is registers 0x1D to 0x26.
func bme680Data(status byte, t, p, h int32) []byte {
	return []byte{status, 0, byte(p >> 12), byte(p >> 4), byte(p << 4), byte(t >> 12), byte(t >> 4), byte(t << 4), byte(h >> 8), byte(h)}
}

func bme680Measured(data ...[]byte) []i2ctest.IO {
	ops := []i2ctest.IO{
		{Addr: 0x76, W: []byte{0x74}, R: []byte{0x8C}},
		{Addr: 0x76, W: []byte{0x74, 0x8D}},
	}
	for _, d := range data {
		ops = append(ops, i2ctest.IO{Addr: 0x76, W: []byte{0x1D}, R: d})
	}
	return ops
}

func TestBME680(t *testing.T) {
	k := kind(t, "bme680")
	for _, c := range []struct {
		name      string
		cal       calibration680
		t, p, h   int32
		want      []float64
		tolerance float64
	}{
		{"published, in integers", pimoroni, 501240, 353485, 19019, []float64{26.69, 42.402, 987.12}, 0.06},
		{"published, in floating point", elixir, 480732, 393705, 16820, []float64{19.3113, 25.2, 1009.7752}, 0.05},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantReading(t, k, Wiring{Address: 0x76}, recorded(bme680Opened(c.cal),
				bme680Measured(bme680Data(0x20, 0x80000, 0x80000, 0x8000), bme680Data(0x80, c.t, c.p, c.h))), c.tolerance, c.want...)
		})
	}
	// What the second publishes with more digits.
	fine := elixir.fine(480732)
	same(t, []float64{fine / 5120, elixir.pressure(393705, fine)}, []float64{19.3113, 100977.52}, 0.01)
}

// The maker gives the formulas twice, in floating point and in integers. The
// second, written from his driver's description in 32 and 64 bits, agrees over
// the whole range.
func TestBME680FormulasAgreeWithThoseInIntegers(t *testing.T) {
	celsius, pascal, percent := pimoroni.integers(501240, 353485, 19019)
	same(t, []float64{celsius, pascal, percent}, []float64{26.69, 98712, 42.402}, 0) // as published
	rng := rand.New(rand.NewPCG(1, 2))
	for _, c := range []calibration680{pimoroni, elixir} {
		for range 2000 {
			rawT, rawP, rawH := 300000+rng.Int32N(400000), 200000+rng.Int32N(400000), 12000+rng.Int32N(20000)
			fine := c.fine(rawT)
			t680, p680, h680 := c.integers(rawT, rawP, rawH)
			if celsius := fine / 5120; math.Abs(celsius-t680) > 0.02 || celsius < -60 {
				t.Fatalf("raw %d: %v °C, in integers %v", rawT, celsius, t680)
			}
			if p := c.pressure(rawP, fine); p > 30000 && p < 110000 && math.Abs(p-p680) > 20 {
				t.Fatalf("raw %d at %v °C: %v Pa, in integers %v", rawP, t680, p, p680)
			}
			if h := c.humidity(rawH, fine/5120); math.Abs(h-h680) > 0.2 {
				t.Fatalf("raw %d at %v °C: %v %%, in integers %v", rawH, t680, h, h680)
			}
		}
	}
}

// integers returns °C, Pa and %.
func (c *calibration680) integers(rawT, rawP, rawH int32) (celsius, pascal, percent float64) {
	a := int64(rawT>>3 - int32(c.t1)<<1)
	fine := a*int64(c.t2)>>11 + ((a>>1)*(a>>1)>>12)*int64(c.t3)<<4>>14
	hundredths := (fine*5 + 128) >> 8

	x := fine>>1 - 64000
	y := ((x>>2)*(x>>2)>>11)*int64(c.p6)>>2 + x*int64(c.p5)<<1
	y = y>>2 + int64(c.p4)<<16
	z := ((x>>2)*(x>>2)>>13)*(int64(c.p3)<<5)>>3 + int64(c.p2)*x>>1
	z = (32768 + z>>18) * int64(c.p1) >> 15
	p := (1048576 - int64(rawP) - y>>12) * 3125 * 2 / z
	square := int64(c.p9) * ((p >> 3) * (p >> 3) >> 13) >> 12
	linear := (p >> 2) * int64(c.p8) >> 13
	cubic := (p >> 8) * (p >> 8) * (p >> 8) * int64(c.p10) >> 17
	p += (square + linear + cubic + int64(c.p7)<<7) >> 4

	h := int64(rawH) - int64(c.h1)*16 - hundredths*int64(c.h3)/100>>1
	h *= int64(c.h2) * (hundredths*int64(c.h4)/100 + hundredths*(hundredths*int64(c.h5)/100)>>6/100 + 1<<14) >> 10
	bend := (int64(c.h6)<<7 + hundredths*int64(c.h7)/100) >> 4
	h += bend * ((h >> 14) * (h >> 14) >> 10) >> 1
	return float64(hundredths) / 100, float64(p), clip(float64(h>>10*1000>>12) / 1000)
}

func TestBME680Errors(t *testing.T) {
	k, w := kind(t, "bme680"), Wiring{Address: 0x76}
	opened := bme680Opened(elixir)
	good := bme680Data(0x80, 480732, 393705, 16820)
	busy := bme680Data(0x20, 0x80000, 0x80000, 0x8000)
	stale := bme680Data(0, 480732, 393705, 16820)
	for _, c := range []struct {
		name string
		ops  []i2ctest.IO
		want error
	}{
		{"busy for ever", bme680Measured(busy, busy, busy, busy, busy), errBusy},
		{"never anything new", bme680Measured(stale, stale, stale, stale, stale), errBusy},
		{"no temperature", bme680Measured(bme680Data(0x80, 0x80000, 393705, 16820)), errNoData},
		{"no pressure", bme680Measured(bme680Data(0x80, 480732, 0x80000, 16820)), errNoData},
		{"no humidity", bme680Measured(bme680Data(0x80, 480732, 393705, 0x8000)), errNoData},
		{"supply lost, or another chip", []i2ctest.IO{{Addr: 0x76, W: []byte{0x74}, R: []byte{0}}}, errReset},
	} {
		t.Run(c.name, func(t *testing.T) { wantError(t, k, w, recorded(opened, c.ops), c.want) })
	}
	wantErrorWhereverItBreaks(t, k, w, 0, opened, bme680Measured(busy, good))
	wantError(t, k, w, recorded(bme680Opened(calibration680{})[:4]), errNoData)
	w.I2C = recorded([]i2ctest.IO{{Addr: 0x76, W: []byte{0xD0}, R: []byte{0x60}}})
	if _, err := k.Open(w); !errors.Is(err, errKind) || !strings.Contains(err.Error(), "BME280") {
		t.Errorf("a BME280: got %v", err)
	}
}

func TestBME680Identity(t *testing.T) {
	for id, want := range map[byte]bool{0x61: true, 0x60: false, 0x55: false, 0xFF: false} {
		bus := recorded([]i2ctest.IO{{Addr: 0x77, W: []byte{0xD0}, R: []byte{id}}})
		if got := kind(t, "bme680").Identify(bus, 0x77); got != want {
			t.Errorf("%#x: got %v", id, got)
		}
	}
	if kind(t, "bme680").Identify(recorded(), 0x77) {
		t.Error("nobody: got one")
	}
}

func TestBME680AllocatesNothing(t *testing.T) {
	air, humidity := elixir.registers()
	answers := map[byte][]byte{0xD0: {0x61}, 0x8A: air, 0xE1: humidity, 0x74: {0x8C}, 0x1D: bme680Data(0x80, 480732, 393705, 16820)}
	bus := chipFunc(func(addr uint16, w, r []byte) error { copy(r, answers[w[0]]); return nil })
	wantNoAllocation(t, kind(t, "bme680"), Wiring{I2C: bus, Address: 0x76})
}

func FuzzBME680(f *testing.F) {
	air, humidity := elixir.registers()
	f.Add(air, humidity, bme680Data(0x80, 480732, 393705, 16820))
	f.Add(make([]byte, 23), make([]byte, 10), make([]byte, 10))
	f.Fuzz(func(t *testing.T, air, humidity, data []byte) {
		if len(air) != 23 || len(humidity) != 10 || len(data) != 10 {
			return
		}
		var c calibration680
		c.airFrom(air)
		c.humidityFrom(humidity)
		if a, h := c.registers(); string(h) != string(humidity) || string(a[18:]) != string(air[18:]) {
			t.Errorf("coefficients of % x % x are % x % x", air, humidity, a, h)
		}
		var out [3]float64
		if c.compensate(data, out[:]) == nil && (out[1] < 0 || out[1] > 100) {
			t.Errorf("got %v", out)
		}
	})
}
