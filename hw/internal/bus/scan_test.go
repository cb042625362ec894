package bus

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/i2c/i2ctest"
	"periph.io/x/conn/v3/physic"
)

var update = flag.Bool("update", false, "write the texts of testdata anew")

// plant makes the files of testdata/NAME.tree in a folder of their own: a line
// is "path = text" or "path -> link".
func plant(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".tree"))
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if path, to, ok := strings.Cut(line, " -> "); ok {
			path = filepath.Join(root, path)
			err = errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.Symlink(to, path))
		} else {
			path, content, _ := strings.Cut(line, " =")
			path = filepath.Join(root, path)
			end := "\n"
			if strings.Contains(path, "devicetree") {
				end = "\x00"
			}
			err = errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(strings.TrimPrefix(content, " ")+end), 0o644))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// fakeWire is a bus with who answers on it, and what they say when they are
// asked who they are, in that order.
type fakeWire struct {
	i2ctest.Playback
	answers []uint16
	inUse   []uint16
	trouble error // of every address
	quick   bool
	busy    bool
	smbus   bool // only
	asked   map[uint16]question
}

func (w *fakeWire) Quick() bool    { return w.quick }
func (w *fakeWire) Messages() bool { return !w.smbus }
func (w *fakeWire) Alone() bool    { return !w.busy }
func (w *fakeWire) Unlock()        {}

func (w *fakeWire) Answers(addr uint16, q question) (bool, error) {
	if slices.Contains(w.inUse, addr) {
		return false, errInUse
	}
	if w.asked == nil {
		w.asked = map[uint16]question{}
	}
	w.asked[addr] = q
	return slices.Contains(w.answers, addr), w.trouble
}

// Tx is refused, as by nobody at that address, where the recording has
// something else.
func (w *fakeWire) Tx(addr uint16, out, in []byte) error {
	w.DontPanic = true
	return w.Playback.Tx(addr, out, in)
}

func (w *fakeWire) SetSpeed(physic.Frequency) error { return nil }

func read(addr uint16, register byte, answer ...byte) i2ctest.IO {
	return i2ctest.IO{Addr: addr, W: []byte{register}, R: answer}
}

// onBuses opens wires by their names; others may not be opened.
func onBuses(wires map[string]*fakeWire) func(string) (Wire, error) {
	return func(name string) (Wire, error) {
		w, ok := wires[name]
		if !ok {
			return nil, explain(name, "i2c", "", &fs.PathError{Op: "open", Path: "/dev/" + name, Err: fs.ErrPermission})
		}
		return w, nil
	}
}

func gpio(chips ...GPIOChip) func(string) ([]GPIOChip, error) {
	return func(string) ([]GPIOChip, error) { return append([]GPIOChip{}, chips...), nil }
}

// scans are machines, and what is on their buses. A BME280 and an MCP9808 say
// who they are (register 0xD0: BST-BME280-DS001 5.4.1; 0x06 and 0x07: DS25095A
// 5.1.3, 5.1.4); a BH1750 and a TMP102 cannot; at 0x70 is something unknown.
func scans() map[string]Machine {
	header := []GPIOLine{{Name: "ID_SDA"}, {Name: "ID_SCL"}, {Name: "GPIO2"}, {Name: "GPIO3"}, {Name: "GPIO4", Used: true, Consumer: "onewire@0"}, {Used: true}}
	return map[string]Machine{
		"pi4": {
			Open: onBuses(map[string]*fakeWire{"i2c-1": {
				quick: true, answers: []uint16{0x18, 0x19, 0x23, 0x48, 0x70, 0x76}, inUse: []uint16{0x68},
				Playback: i2ctest.Playback{Ops: []i2ctest.IO{
					read(0x18, 0x06, 0x00, 0x54), read(0x18, 0x07, 0x04, 0x00),
					read(0x76, 0xD0, 0x60), read(0x76, 0xD0, 0x60), read(0x76, 0xD0, 0x60), // asked as BME280, BME680, BMP280
				}},
			}}),
			GPIO: gpio(GPIOChip{Name: "gpiochip0", Label: "pinctrl-bcm2711", Lines: header}),
		},
		"pi5": {
			Open: onBuses(map[string]*fakeWire{"i2c-1": {Playback: i2ctest.Playback{Ops: []i2ctest.IO{
				// It answers no read without a question: an SCD4x that has no data (3.8.2).
				{Addr: 0x62, W: []byte{0xE4, 0xB8}}, {Addr: 0x62, R: []byte{0x80, 0x00, 0xA2}},
			}}}}),
			GPIO: func(string) ([]GPIOChip, error) {
				return []GPIOChip{}, errors.New("open /dev/gpiochip0: permission denied; add the user that runs tidegate to the group gpio")
			},
		},
		"pi-bare": {Open: onBuses(nil), GPIO: gpio()},
		"pc": {
			Open: onBuses(map[string]*fakeWire{
				"i2c-9": {quick: true, trouble: unix.ETIMEDOUT},
			}),
			GPIO: gpio(),
		},
	}
}

func TestScan(t *testing.T) {
	for name, m := range scans() {
		t.Run(name, func(t *testing.T) {
			root := plant(t, name)
			m.Root = root
			got := scanText(t, m)
			file := filepath.Join("testdata", name+".txt")
			got = strings.ReplaceAll(got, root, "")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// scanned scans in time that costs nothing.
func scanned(t *testing.T, m Machine) (f *Found) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var err error
		if f, err = m.Scan(); err != nil {
			t.Fatal(err)
		}
	})
	return f
}

func scanText(t *testing.T, m Machine) string {
	t.Helper()
	f := scanned(t, m)
	var out bytes.Buffer
	if err := f.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.String() + fmt.Sprintf("\nhidden: %d\n", f.Hidden())
}

// The JSON has lists where there is nothing, not null, and comes back as it was.
func TestScanJSON(t *testing.T) {
	for name, m := range scans() {
		m.Root = plant(t, name)
		f := scanned(t, m)
		text, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte("null")) {
			t.Errorf("%s: got %s, want no null", name, text)
		}
		var back Found
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		for i := range f.I2C {
			f.I2C[i].of = ""
		}
		for i := range f.OneWire {
			f.OneWire[i].reads = false
		}
		if !reflect.DeepEqual(&back, f) {
			t.Errorf("%s: got %+v, want %+v", name, &back, f)
		}
	}
}

// No EEPROM is written to, no reserved address is asked, and an address that
// the kernel has is left alone.
func TestWhatIsAsked(t *testing.T) {
	for _, quick := range []bool{true, false} {
		w := &fakeWire{quick: quick, inUse: []uint16{0x68}}
		m := Machine{Root: plant(t, "pi4"), Open: onBuses(map[string]*fakeWire{"i2c-1": w}), Only: []string{"1"}}
		scanned(t, m)
		for addr := range uint16(0x80) {
			eeprom := addr >= 0x30 && addr <= 0x37 || addr >= 0x50 && addr <= 0x5F
			q, asked := w.asked[addr]
			wantAsked := addr >= 0x08 && addr <= 0x77 && addr != 0x68 && (quick || addr != 0x69)
			if asked != wantAsked || asked && q == quickWrite && (eeprom || !quick) || asked && q == readByte && quick && !eeprom {
				t.Errorf("quick %v, address %#02x: asked %v as %v", quick, addr, asked, q)
			}
		}
	}
}

// muxed is a bus with a TCA9548A at 0x77: the last byte written is what it
// connects, and what is read (TI SCPS207, 8.5.4).
type muxed struct {
	fakeWire
	channels byte
}

func (m *muxed) Tx(_ uint16, w, r []byte) error {
	if len(w) > 0 {
		m.channels = w[len(w)-1]
	}
	for i := range r {
		r[i] = m.channels
	}
	return nil
}

func TestSwitchOfBusesStaysAsItWas(t *testing.T) {
	for _, channels := range []byte{0, 1, boschIdentity} {
		w := &muxed{fakeWire: fakeWire{quick: true, answers: []uint16{0x77}}, channels: channels}
		f := scanned(t, Machine{Root: plant(t, "pi4"), Open: func(string) (Wire, error) { return w, nil }, Only: []string{"1"}})
		if w.channels != channels || len(f.I2C[0].Chips) != 1 || f.I2C[0].Chips[0].words() != "unknown" {
			t.Errorf("got %+v and channels %#02x, want unknown and %#02x", f.I2C[0].Chips, w.channels, channels)
		}
	}
}

// While a reading does not end, nobody is asked what it is.
func TestScanOfBusyBus(t *testing.T) {
	w := &fakeWire{quick: true, busy: true, answers: []uint16{0x62, 0x76}}
	f := scanned(t, Machine{Root: plant(t, "pi4"), Open: onBuses(map[string]*fakeWire{"i2c-1": w}), Only: []string{"1"}})
	var got []string
	for _, c := range f.I2C[0].Chips {
		got = append(got, c.words())
	}
	if want := []string{"may be scd4x", "may be bme280 or bme680 or bmp280"}; !slices.Equal(got, want) || len(f.I2C[0].Notes) != 1 || w.Count != 0 {
		t.Errorf("got %q and %q, want %q", got, f.I2C[0].Notes, want)
	}
}

// A scan asks no chip while a reading of another process is under way, and a
// reading waits while a scan asks; two readings do not wait for each other. The
// lock is that of a file, whatever its kind.
func TestReadingsAndScansKeepApart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "i2c-1")
	open := func() *handle {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return &handle{f: f}
	}
	one, other, scan := open(), open(), open()
	one.Lock()
	other.Lock()
	if scan.tryAlone() {
		t.Error("a scan asks beside two readings")
	}
	one.Unlock()
	if scan.tryAlone() {
		t.Error("a scan asks beside a reading")
	}
	other.Unlock()
	if !scan.tryAlone() {
		t.Fatal("a scan may not ask, with no reading under way")
	}
	read := make(chan struct{})
	go func() { one.Lock(); close(read) }()
	select {
	case <-read:
		t.Error("a reading goes on while a scan asks")
	case <-time.After(20 * time.Millisecond):
	}
	scan.Unlock()
	<-read
}

// An adapter without messages cannot ask, and is of no use to a sensor.
func TestScanOfSMBus(t *testing.T) {
	w := &fakeWire{quick: true, smbus: true, answers: []uint16{0x76}}
	f := scanned(t, Machine{Root: plant(t, "pi4"), Open: onBuses(map[string]*fakeWire{"i2c-1": w}), Only: []string{"1"}})
	if b := f.I2C[0]; len(b.Chips) != 1 || b.Chips[0].words() != "unknown" || len(b.Notes) != 1 || len(f.Sensors) > 0 || b.Error != "" {
		t.Errorf("got %+v, want an unknown chip, a note and nothing to paste", b)
	}
}

func TestEveryAddressAnswers(t *testing.T) {
	w := &fakeWire{quick: true}
	for addr := range uint16(0x80) {
		w.answers = append(w.answers, addr)
	}
	f := scanned(t, Machine{Root: plant(t, "pi4"), Open: onBuses(map[string]*fakeWire{"i2c-1": w}), Only: []string{"i2c_arm"}})
	if len(f.I2C) != 1 || len(f.I2C[0].Chips) != 0 || f.I2C[0].Error != errAll.Error() || f.Hidden() != 1 {
		t.Errorf("got %+v, want %v", f.I2C, errAll)
	}
}

func TestScanOnly(t *testing.T) {
	root := plant(t, "pi4")
	open := onBuses(map[string]*fakeWire{"i2c-20": {quick: true, answers: []uint16{0x50}}})
	f := scanned(t, Machine{Root: root, Open: open, Only: []string{"/dev/i2c-20", "i2c-7"}})
	if len(f.I2C) != 2 || len(f.I2C[0].Chips) != 1 || f.I2C[0].Alone != "" || f.I2C[1].Error == "" || len(f.SPI)+len(f.Missing) > 0 {
		t.Errorf("got %+v, want what is on the monitor's bus, and an error of i2c-7", f)
	}
	if _, err := (Machine{Root: root, Only: []string{"spi0.0"}}).Scan(); err == nil {
		t.Error("a scan of an SPI bus: no error")
	}
}

// A bus is the same however it is written.
func TestNamesOfOneBus(t *testing.T) {
	for name, want := range map[string]string{"pi4": "/soc/i2c@7e804000", "pi5": "/axi/pcie@120000/rp1/i2c@74000"} {
		at := tree(plant(t, name))
		if got := at.node(i2cFolder, "i2c-1"); got != want {
			t.Errorf("%s: got node %q, want %q", name, got, want)
		}
		for _, written := range []string{"", "1", "i2c-1", "/dev/i2c-1", "I2C1", "i2c1", "i2c_arm"} {
			if got, err := at.name("i2c", written); got != "i2c-1" || err != nil {
				t.Errorf("%s: %q: got %q, %v", name, written, got, err)
			}
		}
	}
	at := tree(plant(t, "pi4"))
	if got, err := at.name("i2c", "i2c_vc"); got != "i2c-0" || err != nil {
		t.Errorf("a bus that is off: got %q, %v, want i2c-0", got, err)
	}
	if got, err := at.name("i2c", "i2c_nowhere"); got != "i2c_nowhere" || err != nil {
		t.Errorf("an alias of nothing: got %q, %v", got, err)
	}
	if _, err := I2C("i2c_nowhere"); !errors.Is(err, errNoAlias) {
		t.Errorf("opening an alias of nothing: got %v, want %v", err, errNoAlias)
	}
}

// The real one: whatever this machine has, a scan ends and says something.
func TestScanOfThisMachine(t *testing.T) {
	f, err := Machine{}.Scan()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := f.Write(&out); err != nil || out.Len() == 0 {
		t.Errorf("got %q, %v", &out, err)
	}
	for what, there := range map[string]bool{"I2C": len(f.I2C) > 0, "SPI": len(f.SPI) > 0, "GPIO": len(f.GPIO) > 0, "PWM": len(f.PWM) > 0} {
		missing := slices.ContainsFunc(f.Missing, func(m Missing) bool { return strings.HasPrefix(m.Bus, what) })
		if !there && !missing {
			t.Errorf("%s is neither there nor missing:\n%s", what, &out)
		}
	}
}
