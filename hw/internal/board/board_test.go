package board

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tree unpacks what the kernel of a machine writes: files whose names stand
// between "-- " and " --". What is before the first says which machine it is.
func tree(t *testing.T, name string) string {
	t.Helper()
	files, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	_, rest, _ := strings.Cut(string(files), "\n-- ")
	for file := range strings.SplitSeq(rest, "\n-- ") {
		path, content, _ := strings.Cut(file, " --\n")
		write(t, root, path, content+"\n")
	}
	return root
}

func write(t *testing.T, root, path, content string) {
	t.Helper()
	path = filepath.Join(root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, b *Board) []float64 {
	t.Helper()
	out := make([]float64, Count)
	if err := b.Read(out); err != nil {
		t.Fatal(err)
	}
	return out
}

func same(got, want float64) bool {
	return math.IsNaN(got) && math.IsNaN(want) || math.Abs(got-want) < 1e-9
}

func TestBoardReadsWhatEachMachineTells(t *testing.T) {
	none := math.NaN()
	for file, want := range map[string][Count]float64{
		//              °C      low   thr   load  MiB               s          free  wear  out   MiB   dBm
		"pi3.txt":      {82.166, 1, 1, 1.52, 605428. / 1024, 350735.47, none, none, none, 1984, -55},
		"pi4-emmc.txt": {48.686, 0, none, 0.08, 1633792. / 1024, 86400.02, none, 30, 0, 100, none},
		"pi5-nvme.txt": {51.25, 0, 0, 0.25, 7168, 712.96, none, none, none, 512, -38},
		"pc.txt":       {44, none, none, 3.02, 23946092. / 1024, 1036800.55, none, none, none, 1, none},
	} {
		t.Run(file, func(t *testing.T) {
			b := Open(tree(t, file), "/var/lib/tidegate")
			defer b.Halt()
			got := read(t, b)
			for i := range want {
				if !same(got[i], want[i]) {
					t.Errorf("quantity %d: got %v, want %v", i, got[i], want[i])
				}
			}
		})
	}
}

func TestBoardOfAnEmptyFolderHasNothingAndNoError(t *testing.T) {
	b := Open(t.TempDir(), "/var/lib/tidegate")
	for i, v := range read(t, b) {
		if !math.IsNaN(v) {
			t.Errorf("quantity %d: got %v, want none", i, v)
		}
	}
	if err := b.Halt(); err != nil {
		t.Error(err)
	}
}

func TestBoardFindsWhatComesLater(t *testing.T) {
	root := tree(t, "pi4-emmc.txt")
	alarm := filepath.Join("sys/class/hwmon/hwmon0", "in0_lcrit_alarm")
	if err := os.Remove(filepath.Join(root, alarm)); err != nil {
		t.Fatal(err)
	}
	b := Open(root, "")
	defer b.Halt()
	if got := read(t, b)[UnderVoltage]; !math.IsNaN(got) {
		t.Errorf("without the module: got %v", got)
	}
	write(t, root, alarm, "1\n")
	for range again {
		read(t, b)
	}
	if got := read(t, b)[UnderVoltage]; got != 1 {
		t.Errorf("with the module: got %v, want 1", got)
	}
}

func TestBoardTakesGarbageForAbsent(t *testing.T) {
	root := tree(t, "pi4-emmc.txt")
	for path, content := range map[string]string{
		"proc/loadavg":                                        "",
		"proc/uptime":                                         "soon\n",
		"proc/meminfo":                                        "MemTotal: 1 kB\nMemAvailable:",
		"proc/net/wireless":                                   "wlan0:\nwlan1: 0000 1. 55.",
		"sys/class/thermal/thermal_zone0/temp":                "-\n",
		"sys/class/hwmon/hwmon0/in0_lcrit_alarm":              "\n",
		"sys/block/mmcblk0/stat":                              "1 2 3\n",
		"sys/block/mmcblk0/device/life_time":                  "0x00 0x00\n",
		"sys/block/mmcblk0/device/pre_eol_info":               "0x00\n",
		"sys/devices/platform/soc/soc:firmware/get_throttled": "none\n",
	} {
		write(t, root, path, content)
	}
	b := Open(root, "no/such/folder")
	defer b.Halt()
	for i, v := range read(t, b) {
		if !math.IsNaN(v) {
			t.Errorf("quantity %d: got %v, want none", i, v)
		}
	}
}

func TestFirmwareFlags(t *testing.T) {
	none := math.NaN()
	for _, c := range []struct {
		file           string
		low, throttled float64
	}{
		{"0\n", 0, 0},
		{"1\n", 1, 0},
		{"50005\n", 1, 1},
		{"50000\n", 0, 0}, // both were, and are over
		{"8\n", 0, 1},
		{"x\n", none, none},
	} {
		out := []float64{UnderVoltage: none, Throttled: none}
		if firmwareFlags([]byte(c.file), out); !same(out[UnderVoltage], c.low) || !same(out[Throttled], c.throttled) {
			t.Errorf("%q: got %v, %v, want %v, %v", c.file, out[UnderVoltage], out[Throttled], c.low, c.throttled)
		}
	}
}

func TestCardTellsItsWear(t *testing.T) {
	none := math.NaN()
	for _, c := range []struct {
		life, spare string
		wear, out   float64
	}{
		{"0x01 0x01\n", "0x01\n", 10, 0},
		{"0x0b 0x02\n", "0x02\n", 110, 1},
		{"0x00 0x05\n", "0x03\n", 50, 1},
		{"0x01\n", "\n", none, none},
	} {
		out := []float64{CardWear: none, CardWornOut: none}
		lifeTime([]byte(c.life), out)
		spareBlocks([]byte(c.spare), out)
		if !same(out[CardWear], c.wear) || !same(out[CardWornOut], c.out) {
			t.Errorf("%q, %q: got %v, %v, want %v, %v", c.life, c.spare, out[CardWear], out[CardWornOut], c.wear, c.out)
		}
	}
}

// The machine that runs the tests has a kernel of its own.
func TestBoardReadsThisMachineWithoutAllocating(t *testing.T) {
	b := Open("/", t.TempDir())
	defer b.Halt()
	out := make([]float64, Count)
	if n := testing.AllocsPerRun(2*again-2, func() {
		if b.turn%again == again-1 {
			b.turn = 0 // the look for what is absent may allocate
		}
		if err := b.Read(out); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("got %v allocations a reading, want none", n)
	}
	for _, q := range []int{Load, MemoryAvailable, Uptime, DiskFree} {
		if math.IsNaN(out[q]) || out[q] < 0 {
			t.Errorf("quantity %d: got %v", q, out[q])
		}
	}
	t.Logf("this machine: %v", out)
}

func TestBoardWantsItsNumberOfQuantities(t *testing.T) {
	b := Open(t.TempDir(), "")
	if err := b.Read(make([]float64, 3)); err == nil {
		t.Error("a short reading was taken")
	}
}

func BenchmarkBoard(b *testing.B) {
	board := Open("/", "/")
	defer board.Halt()
	out := make([]float64, Count)
	b.ReportAllocs()
	for b.Loop() {
		board.Read(out)
	}
}
