package bus

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"tidegate/hw/internal/chip"
)

func TestName(t *testing.T) {
	for _, c := range []struct {
		kind          chip.Bus
		written, want string // want "": an error
	}{
		{chip.I2C, "", "i2c-1"}, {chip.I2C, "1", "i2c-1"}, {chip.I2C, "i2c-13", "i2c-13"}, {chip.I2C, "/dev/i2c-3", "i2c-3"}, {chip.I2C, "I2C0", "i2c-0"},
		{chip.I2C, "spi0.0", ""}, {chip.I2C, "-1", ""}, {chip.I2C, "../i2c-1", ""}, {chip.I2C, "12345", ""},
		{chip.SPI, "", "spi0.0"}, {chip.SPI, "0.1", "spi0.1"}, {chip.SPI, "spi1.2", "spi1.2"}, {chip.SPI, "SPI0.0", "spi0.0"}, {chip.SPI, "/dev/spidev0.1", "spi0.1"},
		{chip.SPI, "0", ""}, {chip.SPI, "i2c-1", ""},
		{chip.OneWire, "", "w1"}, {chip.OneWire, "w1", "w1"}, {chip.OneWire, "GPIO4", ""},
		{chip.Board, "", "board"}, {chip.Lines, "", "gpio"},
	} {
		if got, err := Name(c.kind, c.written); got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s %q: got %q, %v, want %q", c.kind, c.written, got, err, c.want)
		}
	}
}

// What is missing is said with what to do about it.
func TestMissingBus(t *testing.T) {
	for _, c := range []struct {
		name string
		open func() error
		want string
	}{
		{"I2C", func() error { _, err := I2C("i2c-9999"); return err }, "overlay for i2c9999"},
		{"SPI", func() error { _, err := SPI("spi9999.0"); return err }, "overlay for spi9999"},
	} {
		err := c.open()
		var e *Error
		if !errors.As(err, &e) || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	for name, want := range map[string]string{"i2c-1": "dtparam=i2c_arm=on", "i2c-3": "overlay for i2c3"} {
		if got := i2cHint(int(name[4] - '0')); !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestWhyADeviceCannotBeOpened(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{fs.ErrNotExist, "switch it on"}, {fs.ErrPermission, "usermod -aG i2c"}, {errors.New("input/output error"), "kernel's log"},
	} {
		if got := explain("i2c-1", "i2c", "switch it on", c.err); !errors.Is(got, c.err) || !strings.Contains(got.Error(), c.want) {
			t.Errorf("got %v, want %q", got, c.want)
		}
	}
}
