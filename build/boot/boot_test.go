package boot

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tidegate/internal/slots"
)

// firmware is Debian's U-Boot for QEMU's virt machine.
const firmware = "/usr/lib/u-boot/qemu_arm64/u-boot.bin"

// kernel is the least that U-Boot takes for a kernel: it writes a letter to the
// machine's serial port and switches the machine off, or resets it.
func kernel(letter byte, reset bool) []byte {
	function := uint32(8) // PSCI SYSTEM_OFF
	if reset {
		function = 9
	}
	code := []uint32{
		0xd2a12000,                     // mov x0, #0x9000000: the UART
		0x52800001 | uint32(letter)<<5, // mov w1, #letter
		0x39000001,                     // strb w1, [x0]
		0x52800141, 0x39000001,         // a new line
		0x52800000 | function<<5, // mov w0, #function
		0x72b08000,               // movk w0, #0x8400, lsl 16
		0xd4000002,               // hvc #0
		0x14000000,               // b .
	}
	// Documentation/arch/arm64/booting.rst
	image := binary.LittleEndian.AppendUint32(nil, 0x14000010) // b 64
	image = binary.LittleEndian.AppendUint32(image, 0)
	image = binary.LittleEndian.AppendUint64(image, 0)    // text offset
	image = binary.LittleEndian.AppendUint64(image, 4096) // size
	image = binary.LittleEndian.AppendUint64(image, 1<<3) // it runs where it was loaded to
	image = append(image, make([]byte, 24)...)
	image = append(append(image, "ARM\x64"...), 0, 0, 0, 0)
	for _, c := range code {
		image = binary.LittleEndian.AppendUint32(image, c)
	}
	return image
}

// card is a disk with the boot partition and two slots.
type card struct {
	t    *testing.T
	disk string
	fat  string // where the boot partition begins, for mtools
}

func newCard(t *testing.T, boot map[string][]byte, a, b map[string][]byte) *card {
	t.Helper()
	dir := t.TempDir()
	c := &card{t: t, disk: filepath.Join(dir, "disk"), fat: filepath.Join(dir, "disk@@1M")}
	const sector = 512
	file, err := os.Create(c.disk)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	mib := int64(1 << 20)
	if err := file.Truncate(64 * mib); err != nil {
		t.Fatal(err)
	}
	c.run("start=2048,size=32768,type=c\nstart=34816,size=32768,type=83\nstart=67584,size=32768,type=83\n",
		"sfdisk", "-q", "-X", "dos", c.disk)
	c.run("", "mformat", "-i", c.fat, "-T", "32768", "-v", "TIDEGATE", "::")
	for name, data := range boot {
		c.put(name, data)
	}
	for i, files := range []map[string][]byte{a, b} {
		tree := filepath.Join(dir, string("ab"[i]))
		for name, data := range files {
			if err := os.MkdirAll(filepath.Join(tree, filepath.Dir(name)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(tree, name), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if files == nil {
			continue // nothing was ever written there
		}
		image := tree + ".img"
		c.run("", "mke2fs", "-q", "-t", "ext4", "-d", tree, image, "16M")
		data, err := os.ReadFile(image)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt(data, int64([]int{34816, 67584}[i])*sector); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// run runs a tool that must succeed.
func (c *card) run(stdin string, argv ...string) []byte {
	c.t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin", "MTOOLS_SKIP_CHECK=1")
	cmd.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		c.t.Fatalf("%s: %v\n%s; `make setup` installs what is missing", argv, err, &stderr)
	}
	return out
}

func (c *card) put(name string, data []byte) {
	c.t.Helper()
	c.run(string(data), "mcopy", "-o", "-i", c.fat, "-", "::"+name)
}

// state is what the two files say, read as the running system does.
func (c *card) state() slots.State {
	c.t.Helper()
	dir := c.t.TempDir()
	c.run("", "mcopy", "-i", c.fat, "::slots.*", dir)
	s, err := slots.Read(dir)
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

// start lets U-Boot run until a kernel switches the machine off or it is reset.
// More is said of the drive: readonly=on.
func (c *card) start(drive ...string) (console string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 3*time.Minute) // it takes 3 to 8 s
	defer cancel()
	cmd := exec.CommandContext(ctx, "qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a53", "-m", "256", "-nodefaults", "-display", "none",
		"-serial", "stdio", "-no-reboot", "-bios", firmware, "-drive", strings.Join(append([]string{"if=none,id=card,format=raw,file=" + filepath.Base(c.disk)}, drive...), ","),
		"-device", "virtio-blk-pci,drive=card", "-nic", "none")
	cmd.Dir = filepath.Dir(c.disk) // a comma in its name would be QEMU's
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.t.Fatalf("%v: %v; `make setup` installs what is missing\n%s", err, context.Cause(ctx), out)
	}
	return string(out)
}

func slot(letter byte) map[string][]byte {
	return map[string][]byte{"boot/vmlinuz": kernel(letter, false), "boot/initrd.img": []byte("initrd")}
}

// started is the letter that a kernel wrote; 0 for none.
func started(console string) byte {
	if m := regexp.MustCompile(`(?m)^([ab])\r?$`).FindStringSubmatch(console[max(strings.Index(console, "Starting kernel"), 0):]); m != nil {
		return m[1][0]
	}
	return 0
}

// What U-Boot starts, and what it writes down, for every state of a card.
func TestSlots(t *testing.T) {
	good, trial, spent := slots.Mark{Left: 3, Good: true}, slots.Mark{Left: 3}, slots.Mark{}
	none := slots.Mark{Left: 0, Good: true}
	at := func(first slots.Slot, a, b slots.Mark) []byte {
		return slots.State{Seq: 0x1f, First: first, A: a, B: b}.Encode()
	}
	older := slots.State{Seq: 0xf, First: slots.A, A: good, B: spent}.Encode()
	damaged := bytes.Repeat([]byte{0x5a}, slots.Size)
	tried := func(m slots.Mark) slots.Mark { m.Left--; return m }
	for _, c := range []struct {
		name  string
		files [2][]byte // nil for none
		b     map[string][]byte
		want  byte // 0: the machine was reset
		state slots.State
	}{
		{"good", [2][]byte{at("A", good, spent), damaged}, nil, 'a', slots.State{Seq: 0x20, First: "A", A: tried(good), B: spent}},
		{"on trial, newer in the second file", [2][]byte{older, at("B", good, trial)}, slot('b'), 'b', slots.State{Seq: 0x20, First: "B", A: good, B: tried(trial)}},
		{"on trial, newer in the first file", [2][]byte{at("B", good, trial), older}, slot('b'), 'b', slots.State{Seq: 0x20, First: "B", A: good, B: tried(trial)}},
		{"trial spent", [2][]byte{older, at("B", good, spent)}, slot('b'), 'a', slots.State{Seq: 0x20, First: "B", A: tried(good), B: spent}},
		{"on trial and empty", [2][]byte{at("B", good, trial), older}, nil, 'a', slots.State{Seq: 0x21, First: "B", A: tried(good), B: tried(trial)}},
		{"a torn write", [2][]byte{older, at("B", good, trial)[:256]}, slot('b'), 'a', slots.State{Seq: 0x10, First: "A", A: tried(good), B: spent}},
		{"nothing is known", [2][]byte{damaged, damaged}, slot('b'), 'a', slots.State{Seq: 1, First: "A", A: tried(trial), B: trial}},
		{"no files", [2][]byte{}, nil, 'a', slots.State{Seq: 1, First: "A", A: tried(trial), B: trial}},
		{"neither is left", [2][]byte{older, at("B", none, spent)}, slot('b'), 0, slots.State{Seq: 0x20, First: "B", A: good, B: spent}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			boot := map[string][]byte{"boot.scr": Script()}
			for i, data := range c.files {
				if data != nil {
					boot[[]string{"slots.0", "slots.1"}[i]] = data
				}
			}
			card := newCard(t, boot, slot('a'), c.b)
			console := card.start()
			if got := started(console); got != c.want {
				t.Errorf("got %q started, want %q\n%s", got, c.want, console)
			}
			if got := card.state(); got != c.state {
				t.Errorf("got %+v, want %+v\n%s", got, c.state, console)
			}
		})
	}
}

// A new slot that resets the machine each time is left after three tries.
func TestReturn(t *testing.T) {
	state := slots.State{Seq: 9, First: slots.B, A: slots.Mark{Left: 3, Good: true}, B: slots.Mark{Left: 3}}
	panics := map[string][]byte{"boot/vmlinuz": kernel('b', true), "boot/initrd.img": []byte("initrd")}
	card := newCard(t, map[string][]byte{"boot.scr": Script(), "slots.0": state.Encode()}, slot('a'), panics)
	var got []byte
	for range 4 {
		got = append(got, started(card.start()))
	}
	if want := []byte("bbba"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A card that takes no writes any more, as old cards do: a trial on it could not
// be counted, and would never end.
func TestCardThatTakesNoWrites(t *testing.T) {
	good, trial := slots.Mark{Left: 3, Good: true}, slots.Mark{Left: 3}
	for _, c := range []struct {
		name  string
		state slots.State
		want  byte
	}{
		{"good", slots.State{Seq: 9, First: "A", A: good}, 'a'},
		{"on trial", slots.State{Seq: 9, First: "B", A: good, B: trial}, 'a'},
		{"good, the other was on trial", slots.State{Seq: 9, First: "B", A: trial, B: good}, 'b'},
		{"nothing better", slots.State{Seq: 9, First: "B", A: slots.Mark{}, B: trial}, 'b'},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			card := newCard(t, map[string][]byte{"boot.scr": Script(), "slots.0": c.state.Encode()}, slot('a'), slot('b'))
			console := card.start("readonly=on")
			if got := started(console); got != c.want {
				t.Errorf("got %q started, want %q\n%s", got, c.want, console)
			}
			if got := card.state(); got != c.state {
				t.Errorf("got %+v, want %+v", got, c.state)
			}
		})
	}
}

// mkimage of U-Boot itself would write the same.
func TestScriptIsAnImage(t *testing.T) {
	name := filepath.Join(t.TempDir(), "boot.scr")
	if err := os.WriteFile(name, Script(), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("mkimage", "-l", name).CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("AArch64 Linux Script")) {
		t.Errorf("got %v, %s; `make setup` installs mkimage", err, out)
	}
}

// RAUC writes to the card that the system runs from, whatever other card is in the
// machine.
func TestConfigNamesTheCard(t *testing.T) {
	for _, want := range []string{"=/dev/card/2\n", "=/dev/card/3\n"} {
		if !strings.Contains(Config, want) {
			t.Errorf("no %q in system.conf", want)
		}
	}
	if strings.Contains(Config, "by-") {
		t.Error("system.conf has names that two cards share")
	}
}

// A kernel that waits for its root for ever would be a trial without an end.
func TestNoRootwait(t *testing.T) {
	for line := range strings.Lines(commands) {
		if strings.HasPrefix(line, "setenv bootargs") && (strings.Contains(line, "rootwait") || !strings.Contains(line, " panic=")) {
			t.Errorf("%s: a broken initrd must end in a panic that restarts", line)
		}
	}
}
