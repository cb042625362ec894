package chip

import (
	"testing"

	"periph.io/x/conn/v3/i2c/i2ctest"
)

var htu21dOpened = []i2ctest.IO{
	{Addr: 0x40, W: []byte{0xFE}},
	{Addr: 0x40, W: []byte{0xE7}, R: []byte{0x02}},
}

func htu21dMeasured(temperature, humidity []byte) []i2ctest.IO {
	return []i2ctest.IO{
		{Addr: 0x40, W: []byte{0xF3}}, {Addr: 0x40, R: temperature},
		{Addr: 0x40, W: []byte{0xF5}}, {Addr: 0x40, R: humidity},
	}
}

// with adds the CRC to a code.
func with(hi, lo byte) []byte { return []byte{hi, lo, crc8(0, hi, lo)} }

func TestHTU21D(t *testing.T) {
	for _, c := range []struct {
		name, kind            string
		temperature, humidity []byte
		want                  []float64
	}{
		// HPC199_3, p. 15: 0x683A is 24.7 °C with CRC 0x7C, 0x4E85 is 32.3 % with CRC 0x6B.
		// The Si7021 has the same formulas and compensates by itself.
		{"the datasheet's example", "si7021", []byte{0x68, 0x3A, 0x7C}, []byte{0x4E, 0x85, 0x6B}, []float64{24.68, 32.34}},
		{"and compensated", "htu21d", []byte{0x68, 0x3A, 0x7C}, []byte{0x4E, 0x85, 0x6B}, []float64{24.68, 32.29}},
		// p. 16: 0x7C80 is 54.8 %.
		{"the other example", "si7021", []byte{0x68, 0x3A, 0x7C}, with(0x7C, 0x80), []float64{24.68, 54.79}},
		{"below zero", "si7021", with(0x30, 0x00), with(0x80, 0x02), []float64{-13.90, 56.5}},
		{"below zero, compensated", "htu21d", with(0x30, 0x00), with(0x80, 0x02), []float64{-13.90, 50.66}},
		{"status bits are no value", "htu21d", with(0x68, 0x3B), with(0x4E, 0x87), []float64{24.68, 32.29}},
		{"wetter than wet", "htu21d", with(0x68, 0x38), with(0xF0, 0x02), []float64{24.68, 100}},
		{"wet", "htu21d", with(0x68, 0x38), with(0xFF, 0xFE), []float64{24.68, 100}}, // held there, p. 15
		{"drier than dry", "si7021", with(0x68, 0x38), with(0x00, 0x06), []float64{24.68, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantReading(t, kind(t, c.kind), Wiring{Address: 0x40},
				recorded(htu21dOpened, htu21dMeasured(c.temperature, c.humidity)), 0.01, c.want...)
		})
	}
}

func TestHTU21DErrors(t *testing.T) {
	for _, name := range []string{"htu21d", "si7021"} {
		k, w := kind(t, name), Wiring{Address: 0x40}
		good, wrong := with(0x68, 0x3A), []byte{0x68, 0x3A, 0x7D}
		wantError(t, k, w, recorded(htu21dOpened, htu21dMeasured(wrong, nil)[:2]), errCRC)
		wantError(t, k, w, recorded(htu21dOpened, htu21dMeasured(good, wrong)), errCRC)
		wantError(t, k, w, recorded(htu21dOpened, htu21dMeasured([]byte{0, 0, 0}, nil)[:2]), errNoData)
		wantError(t, k, w, recorded(htu21dOpened, htu21dMeasured(good, []byte{0, 0, 0})), errNoData)
		wantErrorWhereverItBreaks(t, k, w, 0, htu21dOpened, htu21dMeasured(good, good))
	}
}

// Its reset leaves the heater on (p. 12).
func TestHTU21DSwitchesTheHeaterOff(t *testing.T) {
	bus := recorded([]i2ctest.IO{
		{Addr: 0x40, W: []byte{0xFE}},
		{Addr: 0x40, W: []byte{0xE7}, R: []byte{0x06}},
		{Addr: 0x40, W: []byte{0xE6, 0x02}},
	}, htu21dMeasured([]byte{0x68, 0x3A, 0x7C}, []byte{0x4E, 0x85, 0x6B}))
	wantReading(t, kind(t, "htu21d"), Wiring{Address: 0x40}, bus, 0.01, 24.68, 32.29)
}

// An SHT21 has the same commands and takes up to 85 ms.
func TestHTU21DWaitsForAChipThatMeasures(t *testing.T) {
	refused := 0
	rest := recorded(htu21dOpened, htu21dMeasured(with(0x68, 0x3A), with(0x4E, 0x85)))
	bus := chipFunc(func(addr uint16, w, r []byte) error {
		if len(r) > 0 && len(w) == 0 && refused < 4 {
			refused++
			return errNoAck
		}
		return rest.Tx(addr, w, r)
	})
	if got, err := readOnce(t, kind(t, "htu21d"), Wiring{Address: 0x40, I2C: bus}); err != nil || refused != 4 {
		t.Errorf("got %v, %v after %d refusals", got, err, refused)
	}
}

func TestHTU21DAllocatesNothing(t *testing.T) {
	bus := chipFunc(func(addr uint16, w, r []byte) error {
		if len(r) == 3 {
			copy(r, []byte{0x68, 0x3A, 0x7C})
		}
		return nil
	})
	wantNoAllocation(t, kind(t, "htu21d"), Wiring{I2C: bus, Address: 0x40})
}

func TestHTU21DIdentity(t *testing.T) {
	// The electronic identification as the datasheet draws it (Si7021, 5.3).
	answers := func(user, id byte) *i2ctest.Playback {
		snb := append(with(id, 0xFF), with(0xB5, 0x0B)...)
		return recorded([]i2ctest.IO{
			{Addr: 0x40, W: []byte{0xE7}, R: []byte{user}},
			{Addr: 0x40, W: []byte{0xF3}}, {Addr: 0x40, R: with(0x68, 0x38)},
			{Addr: 0x40, W: []byte{0xFC, 0xC9}}, {Addr: 0x40, R: snb},
		})
	}
	for _, c := range []struct {
		name, kind string
		user, id   byte
		want       bool
	}{
		{"Si7021", "si7021", 0x3A, 0x15, true},
		{"Si7013 at low supply", "si7021", 0x7A, 0x0D, true},
		{"HTU21D", "htu21d", 0x02, 0x32, true},
		{"HTU21D with another resolution", "htu21d", 0x83, 0x32, true},
		{"unknown", "htu21d", 0x02, 0x15, false},
	} {
		if got := kind(t, c.kind).Identify(answers(c.user, c.id), 0x40); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
	for _, name := range []string{"htu21d", "si7021"} {
		bus := recorded([]i2ctest.IO{{Addr: 0x40, W: []byte{0xE7}, R: []byte{0}}})
		if kind(t, name).Identify(bus, 0x40) {
			t.Errorf("%s: took another chip for one", name)
		}
		if err := bus.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzHTU21DCode(f *testing.F) {
	f.Add([]byte{0x68, 0x3A, 0x7C})
	f.Add([]byte{0, 0, 0})
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		code, err := codeHTU21D(b)
		if err != nil {
			return
		}
		if c, rh := convertHTU21D(code, code); c < -46.85 || c > 128.87 || rh < -6 || rh > 119 {
			t.Errorf("%x: got %v °C, %v %%", b, c, rh)
		}
	})
}
