package chip

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/devices/v3/ads1x15"
)

func ads1015Kind() Kind {
	return ads1x15Kind("ads1015", "TI ADS1015 (one input)", "TI SBAS473E", 2048, openADS1015)
}

func ads1115Kind() Kind {
	return ads1x15Kind("ads1115", "TI ADS1115 (one input)", "TI SBAS444D", 32768, openADS1115)
}

func ads1x15Kind(name, title, datasheet string, half float64, open func(Wiring) (Sensor, error)) Kind {
	return Kind{
		Name: name, Title: title, Bus: I2C, Addresses: []uint16{0x48, 0x49, 0x4A, 0x4B},
		Quantities: []Quantity{voltage(4.096/half, -6.144, 6.144)},
		Keys:       []string{"channel", "gain"},
		Every:      20 * time.Millisecond, Takes: 40 * time.Millisecond,
		Note: `channel: "0" (the default) to "3", or a difference: "0-1", "0-3", "1-3", "2-3". gain: the largest voltage measured, one of 6.144, 4.096 (the default), 2.048, 1.024, 0.512, 0.256. No input may exceed the supply by 0.3 V.`,
		Pins: "SDA SCL 3V3 GND; ADDR to 3V3, SDA or SCL for 0x49, 0x4A, 0x4B", Datasheet: datasheet,
		Steps: func(s Setup) []float64 { return []float64{adsGain(s) / half} },
		Check: checkADS1x15, Open: open,
	}
}

var (
	adsGains    = []float64{6.144, 4.096, 2.048, 1.024, 0.512, 0.256}
	adsChannels = []ads1x15.Channel{
		ads1x15.Channel0, ads1x15.Channel1, ads1x15.Channel2, ads1x15.Channel3,
		ads1x15.Channel0Minus1, ads1x15.Channel0Minus3, ads1x15.Channel1Minus3, ads1x15.Channel2Minus3,
	}
)

func checkADS1x15(s Setup) *SetupError {
	if s.Channel != "" && adsChannel(s.Channel) < 0 {
		return &SetupError{"channel", fmt.Sprintf("one of %v", adsChannels)}
	}
	if s.Gain != 0 && !slices.Contains(adsGains, s.Gain) {
		return &SetupError{"gain", fmt.Sprintf("one of %v", adsGains)}
	}
	return nil
}

// adsGain is the largest voltage measured.
func adsGain(s Setup) float64 { return cmp.Or(s.Gain, 4.096) }

func adsChannel(name string) int {
	return slices.IndexFunc(adsChannels, func(c ads1x15.Channel) bool { return c.String() == name })
}

func openADS1015(w Wiring) (Sensor, error) {
	return openADS1x15(w, ads1x15.NewADS1015, 0x7FF0)
}

func openADS1115(w Wiring) (Sensor, error) {
	return openADS1x15(w, ads1x15.NewADS1115, 0x7FFF)
}

// ads1x15Input is one input of a converter, which other sensors of the same
// bus may share.
type ads1x15Input struct {
	pin  ads1x15.PinADC
	bus  *adsBus
	full int32 // the number that an input at or beyond the gain's voltage reads
}

func openADS1x15(w Wiring, create func(i2c.Bus, *ads1x15.Opts) (*ads1x15.Dev, error), full int32) (Sensor, error) {
	if err := checkADS1x15(w.Setup); err != nil {
		return nil, err
	}
	i, gain := adsChannel(cmp.Or(w.Channel, "0")), adsGain(w.Setup)
	bus := &adsBus{tap: tap{Bus: w.I2C}}
	dev, err := create(bus, &ads1x15.Opts{I2cAddress: w.Address})
	if err != nil {
		return nil, err
	}
	// 128 conversions a second is what both chips can do.
	volt := physic.ElectricPotential(gain*1000+0.5) * physic.MilliVolt
	pin, err := dev.PinForChannel(adsChannels[i], volt, 128*physic.Hertz, ads1x15.BestQuality)
	if err != nil {
		return nil, err
	}
	s := &ads1x15Input{pin: pin, bus: bus, full: full}
	return s, bus.present(w.Address)
}

func (s *ads1x15Input) Read(out []float64) error {
	v, err := s.pin.Read()
	if err != nil {
		return s.bus.cause(err)
	}
	if v.Raw >= s.full || v.Raw <= -0x8000 {
		return fmt.Errorf("%w: choose a larger gain, or divide the voltage", errBeyond)
	}
	out[0] = float64(v.V) / float64(physic.Volt)
	return nil
}

// Halt has nothing to do: the chip powers down after each conversion.
func (s *ads1x15Input) Halt() error { return nil }

// adsBus is the bus under periph's driver, which waits for as long as a
// conversion takes by the book and then reads. The chip's clock is 10 % slow
// at worst (p. 8), and what is read too early is the conversion before, of
// another input perhaps. So before the result is read, the chip must say that
// it is done, with the configuration that was written.
type adsBus struct {
	tap
	w      [1]byte
	r      [2]byte
	config [2]byte
}

const (
	adsResult = 0x00
	adsConfig = 0x01
	adsIdle   = 0x80 // of the configuration's first byte
)

func (b *adsBus) Tx(addr uint16, w, r []byte) error {
	switch {
	case len(w) == 3 && w[0] == adsConfig:
		copy(b.config[:], w[1:])
	case len(w) == 1 && w[0] == adsResult:
		if err := b.done(addr); err != nil {
			b.err = err
			return err
		}
	}
	return b.tap.Tx(addr, w, r)
}

// present reads the configuration, so that a chip that is not there is missed
// when it is opened.
func (b *adsBus) present(addr uint16) error {
	b.w[0] = adsConfig
	return b.tap.Tx(addr, b.w[:], b.r[:])
}

func (b *adsBus) done(addr uint16) error {
	for range 10 {
		if err := b.present(addr); err != nil {
			return err
		}
		if b.r[0]&^adsIdle != b.config[0]&^adsIdle || b.r[1] != b.config[1] {
			return errReset
		}
		if b.r[0]&adsIdle != 0 {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return errBusy
}
