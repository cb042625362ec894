package chip

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const thermometer = "28-0316a2791bff"

// w1Folder has the devices of a kernel, each with a file w1_slave unless its
// text is "-".
func w1Folder(t *testing.T, devices map[string]string) (root string) {
	t.Helper()
	root = t.TempDir()
	for name, text := range devices {
		if err := os.Mkdir(filepath.Join(root, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if text != "-" {
			writeFile(t, filepath.Join(root, name, "w1_slave"), text)
		}
	}
	return root
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// w1Text is what the kernel says of a scratchpad with a right CRC.
func w1Text(pad string, milli int) string {
	return fmt.Sprintf("%s : crc=%s YES\n%s t=%d\n", pad, pad[len(pad)-2:], pad, milli)
}

func openThermometer(t *testing.T, w Wiring) *w1Thermometer {
	t.Helper()
	s, err := kind(t, "ds18b20").Open(w)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Halt(); err != nil {
			t.Error(err)
		}
	})
	return s.(*w1Thermometer)
}

// answers is a kernel that gives one answer after the other.
func answers(t *testing.T, texts ...string) func(int, []byte, int64) (int, error) {
	return func(fd int, p []byte, offset int64) (int, error) {
		if len(texts) == 0 || offset != 0 {
			t.Error("read more than was expected")
			return 0, unix.EIO
		}
		n := copy(p, texts[0])
		texts = texts[1:]
		return n, nil
	}
}

func TestDS18B20OfTheKernel(t *testing.T) {
	for _, c := range []struct {
		name, family, text string
		want               float64
	}{
		{"as in the kernel's documentation", "28", w1Text("72 01 4b 46 7f ff 0e 10 57", 23125), 23.125},
		{"t is cut, the sixteenths are not", "28", w1Text("91 01 4b 46 7f ff 0f 10 25", 25062), 25.0625},
		// 19-7487, table 1.
		{"hot", "28", w1Text("d0 07 4b 46 7f ff 10 10 00", 125000), 125},
		{"half a degree", "28", w1Text("08 00 4b 46 7f ff 08 10 00", 500), 0.5},
		{"zero", "28", w1Text("00 00 4b 46 7f ff 10 10 00", 0), 0},
		{"half a degree below", "28", w1Text("f8 ff 4b 46 7f ff 08 10 00", -500), -0.5},
		{"below zero", "28", w1Text("5e ff 4b 46 7f ff 02 10 00", -10125), -10.125},
		{"further below", "22", w1Text("6f fe 4b 46 7f ff 01 10 00", -25062), -25.0625},
		{"least", "42", w1Text("90 fc 4b 46 7f ff 10 10 00", -55000), -55},
		{"9 bits, the others undefined", "28", w1Text("97 01 4b 46 1f ff 09 10 00", 25437), 25},
		{"10 bits", "28", w1Text("97 01 4b 46 3f ff 09 10 00", 25437), 25.25},
		{"11 bits, below zero", "28", w1Text("5f ff 4b 46 5f ff 01 10 00", -10062), -10.125},
		{"a DS18S20, by the counts", "10", w1Text("32 00 4b 46 ff ff 02 10 00", 25625), 25.625},
		{"an imitation with 14 bits", "28", w1Text("91 01 4b 46 fd ff 0f 10 00", 25078), 25.078125},
		{"a DS1825", "3b", w1Text("91 01 4b 46 7f ff 0f 10 00", 25062), 25.0625},
		{"real 85 °C", "28", w1Text("50 05 4b 46 7f ff 10 10 d1", 85000), 85},
	} {
		t.Run(c.name, func(t *testing.T) {
			device := c.family + "-0316a2791bff"
			root := w1Folder(t, map[string]string{device: c.text})
			d := openThermometer(t, Wiring{Root: root, Device: device})
			out := []float64{0}
			for range 2 {
				if err := d.Read(out); err != nil {
					t.Fatal(err)
				}
				same(t, out, []float64{c.want}, 0)
			}
		})
	}
}

func TestDS18B20Errors(t *testing.T) {
	good := w1Text("72 01 4b 46 7f ff 0e 10 57", 23125)
	for _, c := range []struct {
		name, family, text string
		want               error
	}{
		{"no answer", "28", "", errNoReading},
		{"wrong CRC", "28", strings.Replace(good, "YES", "NO", 1), errCRC},
		{"pulled while the kernel still lists it", "28", "ff ff ff ff ff ff ff ff ff : crc=c9 NO\n72 01 4b 46 7f ff 0e 10 57 t=-62\n", errCRC},
		{"line held low", "28", w1Text("00 00 00 00 00 00 00 00 00", 0), errHeldLow},
		{"no strong pull-up", "28", w1Text("ff 07 4b 46 7f ff 0c 10 00", 127937), errSupply},
		{"thermocouple", "3b", w1Text("90 01 90 19 f0 ff ff ff 00", 25000), errMAX31850},
		{"count per degree of 0", "10", w1Text("32 00 4b 46 ff ff 02 00 00", 0), errGarbled},
		{"cut in the first line", "28", good[:20], errGarbled},
		{"cut after the first line", "28", good[:40], errGarbled},
		{"cut before the number", "28", good[:len(good)-6], errGarbled},
		{"neither YES nor NO", "28", strings.Replace(good, "YES", "MAYBE", 1), errGarbled},
		{"not hexadecimal", "28", "zz" + good[2:], errGarbled},
		{"something else", "28", "23125\n", errGarbled},
	} {
		t.Run(c.name, func(t *testing.T) {
			device := c.family + "-0316a2791bff"
			d := openThermometer(t, Wiring{Root: w1Folder(t, map[string]string{device: c.text}), Device: device})
			out := []float64{0}
			if err := d.Read(out); !errors.Is(err, c.want) {
				t.Errorf("got %v, %v, want %v", out, err, c.want)
			}
		})
	}
}

// 19-7487, p. 6: +85 °C is what the register holds after power-up.
func TestDS18B20AfterPowerUp(t *testing.T) {
	room := w1Text("72 01 4b 46 7f ff 0e 10 57", 23125)
	reset := w1Text("50 05 4b 46 7f ff 0c 10 1c", 85000)
	near := w1Text("48 05 4b 46 7f ff 0c 10 00", 84500)
	for _, c := range []struct {
		name  string
		texts []string // what the kernel answers, in turns
		want  []any    // what each Read gives
	}{
		{"the first reading", []string{reset, room}, []any{23.125}},
		{"one in the middle", []string{room, reset, room, room}, []any{23.125, 23.125, 23.125}},
		{"every time: the supply fails", []string{reset, reset, reset, reset}, []any{errPowerUp, errPowerUp}},
		{"an imitation that is really so hot", []string{near, reset, reset, near}, []any{84.5, 85.0, 85.0, 84.5}},
		{"and the second try fails", []string{reset, ""}, []any{errNoReading}},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := w1Folder(t, map[string]string{thermometer: room})
			d := openThermometer(t, Wiring{Root: root})
			d.pread = answers(t, c.texts...)
			for i, want := range c.want {
				out := []float64{0}
				err := d.Read(out)
				if e, isError := want.(error); isError && !errors.Is(err, e) || !isError && (err != nil || out[0] != want) {
					t.Errorf("reading %d: got %v, %v, want %v", i, out, err, want)
				}
			}
		})
	}
}

func TestDS18S20AfterPowerUp(t *testing.T) {
	const device = "10-000800a2791b"
	reset := w1Text("aa 00 4b 46 ff ff 0c 10 87", 85000)
	d := openThermometer(t, Wiring{Root: w1Folder(t, map[string]string{device: ""}), Device: device})
	d.pread = answers(t, reset, w1Text("32 00 4b 46 ff ff 0c 10 00", 25000))
	out := []float64{0}
	if err := d.Read(out); err != nil || out[0] != 25 {
		t.Errorf("got %v, %v, want the second reading", out, err)
	}
}

func TestDS18B20PulledAndPlugged(t *testing.T) {
	root := w1Folder(t, map[string]string{thermometer: w1Text("72 01 4b 46 7f ff 0e 10 57", 23125)})
	folder := filepath.Join(root, thermometer)
	d := openThermometer(t, Wiring{Root: root, Device: thermometer})
	out := []float64{0}
	if err := d.Read(out); err != nil {
		t.Fatal(err)
	}

	// What was open is dead: the kernel says so at the next read.
	dead := d.fd
	d.pread = func(fd int, p []byte, offset int64) (int, error) {
		if fd == dead {
			dead = -1 // the number may be used again
			return 0, unix.ENODEV
		}
		return unix.Pread(fd, p, offset)
	}
	if err := os.Rename(folder, folder+".gone"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := d.Read(out); !errors.Is(err, errVanished) || !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("pulled: got %v", err)
		}
	}
	if err := os.Rename(folder+".gone", folder); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(folder, "w1_slave"), w1Text("91 01 4b 46 7f ff 0f 10 25", 25062))
	if err := d.Read(out); err != nil || out[0] != 25.0625 {
		t.Errorf("plugged: got %v, %v", out, err)
	}

	// Pulled and plugged between two readings: nothing is missed.
	dead = d.fd
	if err := d.Read(out); err != nil || out[0] != 25.0625 {
		t.Errorf("pulled and plugged: got %v, %v", out, err)
	}

	d.pread = func(int, []byte, int64) (int, error) { return 0, unix.EIO }
	if err := d.Read(out); !errors.Is(err, unix.EIO) {
		t.Errorf("bus broken: got %v", err)
	}
}

func TestDS18B20InterruptedBySignals(t *testing.T) {
	root := w1Folder(t, map[string]string{thermometer: w1Text("72 01 4b 46 7f ff 0e 10 57", 23125)})
	d := openThermometer(t, Wiring{Root: root})
	signals := 4
	d.pread = func(fd int, p []byte, offset int64) (int, error) {
		if signals--; signals >= 0 {
			return 0, unix.EINTR
		}
		return unix.Pread(fd, p, offset)
	}
	out := []float64{0}
	if err := d.Read(out); err != nil || out[0] != 23.125 {
		t.Errorf("got %v, %v", out, err)
	}
	signals = 1000
	if err := d.Read(out); !errors.Is(err, unix.EINTR) {
		t.Errorf("signals for ever: got %v", err)
	}
}

func TestDS18B20IsFound(t *testing.T) {
	good := w1Text("72 01 4b 46 7f ff 0e 10 57", 23125)
	for _, c := range []struct {
		name    string
		devices map[string]string
		device  string
		want    string // in the error; "" for none
	}{
		{"the only one", map[string]string{"w1_bus_master1": "-", "01-0000158e0d4a": "-", thermometer: good}, "", ""},
		{"one of two", map[string]string{thermometer: good, "28-051683a1b2c3": good}, thermometer, ""},
		{"which of two", map[string]string{thermometer: good, "28-051683a1b2c3": good}, "", "28-0316a2791bff, 28-051683a1b2c3"},
		{"none", map[string]string{"w1_bus_master1": "-"}, "", "no thermometer"},
		{"another", map[string]string{thermometer: good}, "28-051683a1b2c3", "not on the wire"},
		{"no driver", map[string]string{thermometer: "-"}, thermometer, "w1_therm"},
		{"an iButton", map[string]string{"01-0000158e0d4a": good}, "01-0000158e0d4a", "no thermometer"},
		{"a way out", map[string]string{thermometer: good}, "28-../../../../x", "no thermometer"},
		{"short", map[string]string{thermometer: good}, "28", "no thermometer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := kind(t, "ds18b20").Open(Wiring{Root: w1Folder(t, c.devices), Device: c.device})
			if err == nil {
				defer s.Halt()
			}
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	if _, err := openW1(Wiring{Root: filepath.Join(t.TempDir(), "none")}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no bus: got %v", err)
	}
}

func TestDS18B20AllocatesNothing(t *testing.T) {
	root := w1Folder(t, map[string]string{thermometer: w1Text("72 01 4b 46 7f ff 0e 10 57", 23125)})
	d := openThermometer(t, Wiring{Root: root})
	out := []float64{0}
	if got := testing.AllocsPerRun(50, func() {
		if err := d.Read(out); err != nil {
			t.Error(err)
		}
	}); got != 0 {
		t.Errorf("one reading allocates %v times", got)
	}
}

func FuzzW1(f *testing.F) {
	f.Add("28", w1Text("72 01 4b 46 7f ff 0e 10 57", 23125))
	f.Add("10", w1Text("aa 00 4b 46 ff ff 0c 10 87", 85000))
	f.Add("3b", w1Text("91 01 4b 46 7f ff 0f 10 25", 25062))
	f.Add("28", "ff ff ff ff ff ff ff ff ff : crc=c9 NO\n")
	f.Add("28", "")
	f.Fuzz(func(t *testing.T, family, text string) {
		pad, milli, err := parseW1([]byte(text))
		if err != nil {
			return
		}
		if !strings.Contains(text, " YES\n") || !strings.Contains(text, "t=") {
			t.Errorf("took %q", text)
		}
		if c, _, err := scratchpadCelsius(family, pad, milli); err == nil && c != float64(milli)/1000 && (c < -2048 || c > 2048) {
			t.Errorf("%q: got %v °C", text, c)
		}
	})
}
