package image

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"tidegate/build/kernel"
)

// Emulated are words for the kernel that leave out what protects it from
// programs, which under emulation doubles the time of every system call, and
// that let the journal show on the console.
const Emulated = "nokaslr kpti=off mitigations=off systemd.journald.forward_to_console=1"

// Card is a copy of an image that a machine may write to.
//
//	card, err := image.NewCard(img, filepath.Join(t.TempDir(), "card"), 2<<30)
//	err = card.Put(ctx, "extra.txt", []byte("extra="+image.Emulated))
//	m, err := image.Start(ctx, image.Hardware{Card: card, Forward: []int{1883}, Dir: t.TempDir()})
//	defer m.Kill()
//	_, err = m.Wait(ctx, "msg=ready")
//	conn, err := net.Dial("tcp", m.Addr(1883))
type Card struct{ File string }

// NewCard copies an image onto a card of that size in bytes; a Pi's in QEMU is
// a power of two.
func NewCard(image, file string, size int64) (Card, error) {
	in, err := os.Open(image)
	if err != nil {
		return Card{}, err
	}
	defer in.Close()
	out, err := os.Create(file)
	if err != nil {
		return Card{}, err
	}
	return Card{file}, errors.Join(out.Truncate(size), place(out, 0, image), out.Close())
}

// mtools runs a program of mtools on the boot partition.
func (c Card) mtools(ctx context.Context, stdin io.Reader, argv0 string, argv ...string) ([]byte, error) {
	fat := fmt.Sprintf("%s@@%d", c.File, Layout()[0].Start)
	cmd := exec.CommandContext(ctx, argv0, append([]string{"-i", fat}, argv...)...)
	cmd.Env = append(os.Environ(), "MTOOLS_SKIP_CHECK=1", "MTOOLSRC=/dev/null")
	cmd.Stdin = stdin
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %q: %w: %s", argv0, argv, err, &stderr)
	}
	return out, nil
}

// Put writes a file to the boot partition, as a user's computer does. No
// machine may run with the card meanwhile.
func (c Card) Put(ctx context.Context, name string, data []byte) error {
	_, err := c.mtools(ctx, bytes.NewReader(data), "mcopy", "-o", "-", "::"+name)
	return err
}

// Get reads a file of the boot partition.
func (c Card) Get(ctx context.Context, name string) ([]byte, error) {
	return c.mtools(ctx, nil, "mcopy", "-n", "::"+name, "-")
}

// Extract makes a file of one partition, 0 to 3.
func (c Card) Extract(partition int, file string) error {
	in, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	p := Layout()[partition]
	_, err = io.Copy(out, io.NewSectionReader(in, p.Start, p.Size))
	return errors.Join(err, out.Close())
}

// Hardware is what a machine is made of. Both boards start U-Boot, which takes
// everything else from the card.
type Hardware struct {
	Board   string   // "virt" or "raspi3b"; "": virt
	Card    Card     // written to
	Drive   string   // virt: a -drive of QEMU's instead, with id=card: "if=none,id=card,format=raw,file=nbd:unix:..."
	Memory  int      // MiB on virt; 0: 1024. A Zero 2 W has 512
	CPUs    int      // on virt; 0: 2
	Forward []int    // TCP ports of the guest that loopback shall reach: Addr says where
	Guest   []string // further words of -netdev user: "guestfwd=..."; the host is 10.0.2.2 to the guest
	QEMU    []string // further arguments
	Dir     string   // a folder for the machine's own files; its path is short, for it gets a socket
}

// Machine is a QEMU that runs the image.
type Machine struct {
	*kernel.Machine
	QMP   *kernel.QMP
	ports map[int]string
}

// Start switches a machine on. Whoever calls it must Kill it. A reset of the
// guest restarts it, as on a Pi.
func Start(ctx context.Context, h Hardware) (*Machine, error) {
	argv, err := h.argv(ctx)
	if err != nil {
		return nil, fmt.Errorf("start the image: %w", err)
	}
	socket := filepath.Join(h.Dir, "qmp")
	argv = append(argv, "-qmp", "unix:"+socket+",server=on,wait=off")
	m := &Machine{ports: map[int]string{}}
	if m.Machine, err = kernel.Launch(append(argv, h.QEMU...)...); err != nil {
		return nil, err
	}
	alive, gone := context.WithCancelCause(ctx)
	defer gone(nil)
	go func() {
		_ = m.Ended(alive)
		gone(errors.New("QEMU has ended"))
	}()
	if m.QMP, err = kernel.DialQMP(alive, socket); err == nil {
		err = m.findPorts(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("start the image: %w\n%s", errors.Join(err, m.Kill()), m.Console())
	}
	return m, nil
}

// Plug puts a network adapter into the USB port of a raspi3b, which has no other
// network in QEMU. It is for when the kernel is up: QEMU's USB controller tells of
// what is plugged in once, and U-Boot, which looks for disks there, takes that word
// away from the kernel.
func (m *Machine) Plug(ctx context.Context) error {
	_, err := m.QMP.Do(ctx, "device_add", map[string]string{"driver": "usb-net", "netdev": "net"})
	return err
}

// Kill switches the machine off, as a power cut does.
func (m *Machine) Kill() error {
	err := m.Machine.Kill()
	if m.QMP != nil {
		m.QMP.Close()
	}
	return err
}

func (h Hardware) argv(ctx context.Context) ([]string, error) {
	argv := []string{"-nodefaults", "-no-user-config", "-display", "none", "-accel", "tcg"}
	// Without restrict=on the guest could reach what this machine reaches.
	netdev := "user,id=net,restrict=on"
	for _, p := range h.Forward {
		netdev += fmt.Sprintf(",hostfwd=tcp:127.0.0.1:0-:%d", p)
	}
	argv = append(argv, "-netdev", strings.Join(append([]string{netdev}, h.Guest...), ","))
	if h.Board == "raspi3b" {
		for _, f := range []string{"u-boot.bin", "bcm2837-rpi-3-b.dtb"} {
			data, err := h.Card.Get(ctx, f)
			if err != nil {
				return nil, err
			}
			if err := os.WriteFile(filepath.Join(h.Dir, f), data, 0o644); err != nil {
				return nil, err
			}
		}
		// The first port is the Bluetooth chip's; the console is the second.
		return append(argv, "-M", "raspi3b", "-m", "1G", "-serial", "null", "-serial", "stdio",
			"-kernel", filepath.Join(h.Dir, "u-boot.bin"), "-dtb", filepath.Join(h.Dir, "bcm2837-rpi-3-b.dtb"),
			"-drive", "if=sd,format=raw,file="+h.Card.File), nil
	}
	drive := h.Drive
	if drive == "" {
		drive = "if=none,id=card,format=raw,file=" + h.Card.File
	}
	memory, cpus := h.Memory, h.CPUs
	if memory == 0 {
		memory = 1024
	}
	if cpus == 0 {
		cpus = 2
	}
	return append(argv, "-M", "virt", "-cpu", "cortex-a53", "-m", strconv.Itoa(memory), "-smp", strconv.Itoa(cpus), "-serial", "stdio",
		"-bios", "/usr/lib/u-boot/qemu_arm64/u-boot.bin", "-drive", drive, "-device", "virtio-blk-pci,drive=card",
		"-device", "virtio-net-pci,netdev=net,romfile=", "-device", "virtio-rng-pci", "-device", "i6300esb", "-watchdog-action", "reset"), nil
}

// findPorts asks QEMU which ports it took.
func (m *Machine) findPorts(ctx context.Context) error {
	raw, err := m.QMP.Do(ctx, "human-monitor-command", map[string]string{"command-line": "info usernet"})
	if err != nil {
		return err
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return err
	}
	//   TCP[HOST_FORWARD]  12       127.0.0.1 40001       10.0.2.15  1883     0     0
	for _, f := range regexp.MustCompile(`(?m)TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s+\S+\s+(\d+)`).FindAllStringSubmatch(text, -1) {
		guest, _ := strconv.Atoi(f[2])
		m.ports[guest] = "127.0.0.1:" + f[1]
	}
	return nil
}

// Addr is where on this machine a port of the guest is reached.
func (m *Machine) Addr(port int) string { return m.ports[port] }
