//go:build image

package trial

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidegate/build/image"
)

// pi is a board with a card in it, and whoever owns it.
type pi struct {
	t       *testing.T
	dir     string // short, for sockets
	card    image.Card
	board   string
	drive   string // as in image.Hardware
	machine *image.Machine
	mark    int      // of the console, at the last start
	cloud   string   // "host:port" on this machine, 10.0.2.100:1883 to the guest
	forward []int    // more ports of the Pi that this machine reaches
	qemu    []string // more that is plugged in
	counted bool     // the guest's time goes on by its instructions, 2 ns each, and by this machine's clock only while it idles
}

// newPi puts a card of size bytes into a board. Its owner may log in.
func newPi(t *testing.T, board string, size int64) *pi {
	t.Helper()
	file, err := theImage()
	must(t, err)
	dir, err := os.MkdirTemp("", "pi-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	p := &pi{t: t, dir: dir, board: board, counted: *counted}
	p.card, err = image.NewCard(file, filepath.Join(dir, "card"), size)
	must(t, err)
	words := image.Emulated
	if board == raspi {
		words += " systemd.watchdog_sec=0" // QEMU takes the start of the Pi's watchdog for a reset
	}
	p.put("extra.txt", "extra="+words+"\n")
	key := filepath.Join(dir, "key")
	p.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
	public, err := os.ReadFile(key + ".pub")
	must(t, err)
	p.put("authorized_keys", string(public))
	t.Cleanup(func() {
		if t.Failed() && p.machine != nil {
			shown(t, "console", p.machine.Console())
		}
		p.off()
	})
	return p
}

// run runs a program of this machine and returns what it prints.
func (p *pi) run(argv ...string) string {
	p.t.Helper()
	out, err := exec.CommandContext(within(p.t), argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		p.t.Fatalf("%q: %v; `make setup` installs what is missing\n%s", argv, err, out)
	}
	return string(out)
}

func (p *pi) put(name, text string) {
	p.t.Helper()
	must(p.t, p.card.Put(within(p.t), name, []byte(text)))
}

// report is what the gateway says to its owner. The Pi must be off.
func (p *pi) report() string {
	p.t.Helper()
	text, err := p.card.Get(within(p.t), "tidegate-report.txt")
	must(p.t, err)
	return strings.ReplaceAll(string(text), "\r\n", "\n")
}

// on switches it on.
func (p *pi) on() {
	p.t.Helper()
	qemu := p.qemu
	if p.counted {
		qemu = append([]string{"-icount", "shift=1"}, qemu...)
	}
	h := image.Hardware{Board: p.board, Card: p.card, Drive: p.drive, Forward: append([]int{1883, 8883, 22}, p.forward...), QEMU: qemu, Dir: p.dir}
	if p.cloud != "" {
		self, err := os.Executable()
		must(p.t, err)
		h.Guest = []string{fmt.Sprintf("guestfwd=tcp:10.0.2.100:1883-cmd:%s -relay %s", self, p.cloud)}
	}
	var err error
	p.machine, err = image.Start(within(p.t), h)
	must(p.t, err)
	p.mark = 0
	p.plug()
}

// raspi is the board with the hardware of a Pi 3.
const raspi = "raspi3b"

// plug gives a raspi3b its network, once the driver of its USB controller is up.
func (p *pi) plug() {
	p.t.Helper()
	if p.board == raspi {
		p.says("Started systemd-networkd.service")
		must(p.t, p.machine.Plug(within(p.t)))
	}
}

// off takes the plug out.
func (p *pi) off() {
	if p.machine == nil {
		return
	}
	if err := p.machine.Kill(); err != nil {
		p.t.Error(err)
	}
	p.machine = nil
	os.Remove(filepath.Join(p.dir, "qmp"))
}

// says waits for a line of the console after the last start.
func (p *pi) says(parts ...string) string {
	p.t.Helper()
	line, err := p.machine.WaitAfter(within(p.t), p.mark, parts...)
	if err != nil {
		p.t.Fatal(err)
	}
	return line
}

var stamp = regexp.MustCompile(`\[ *([\d.]+)\]`)

// longest is what a start may take by the guest's own clock, in seconds, where
// that is counted.
const longest = 40

// ready waits until the gateway lets devices in, and says how long that took by
// the guest's own clock.
func (p *pi) ready() {
	p.t.Helper()
	began := time.Now()
	line := p.says("msg=ready")
	var guest float64
	if m := stamp.FindStringSubmatch(line); m != nil {
		guest, _ = strconv.ParseFloat(m[1], 64)
	}
	p.t.Logf("%s: ready %v after it was waited for, %.1f s by the guest's clock", p.board, time.Since(began).Round(time.Second), guest)
	if p.counted && (guest == 0 || guest > longest) {
		p.t.Errorf("%.1f s from the kernel's first line to the first device, want at most %d: %s", guest, longest, line)
	}
}

// ssh runs a line of shell on the Pi.
func (p *pi) ssh(line string) string {
	p.t.Helper()
	out, err := p.shell(within(p.t), line)
	if err != nil {
		p.t.Fatalf("ssh %q: %v\n%s", line, err, out)
	}
	return out
}

func (p *pi) shell(ctx context.Context, line string) (string, error) {
	host, port, _ := strings.Cut(p.machine.Addr(22), ":")
	argv := []string{"-i", filepath.Join(p.dir, "key"), "-p", port, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
		"-o", "ConnectTimeout=60", "-o", "ConnectionAttempts=5", "-o", "LogLevel=ERROR", "-o", "BatchMode=yes", "root@" + host, line}
	out, err := exec.CommandContext(ctx, "ssh", argv...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// logIn waits until the owner can log in.
func (p *pi) logIn() {
	p.t.Helper()
	eventually(p.t, "the owner can log in", func() bool {
		_, err := p.shell(within(p.t), "true")
		return err == nil
	})
}

// again marks the console, has the Pi do what makes it start again, and waits
// until the gateway is back.
func (p *pi) again(do func()) {
	p.t.Helper()
	p.mark = p.machine.Mark()
	do()
	p.says("tidegate: slot")
	p.ready()
}

// reboot starts the Pi again in order. A raspi3b is switched off and on instead:
// after a reset QEMU's USB controller of that board finds no adapter any more.
func (p *pi) reboot() {
	p.t.Helper()
	if p.board == raspi {
		p.ssh("sync")
		p.off()
		p.on()
		p.ready()
		return
	}
	p.again(func() { p.shell(within(p.t), "systemctl reboot") })
}

// settled waits until nothing is being started any more and returns what systemd
// thinks of it.
func (p *pi) settled() string {
	p.t.Helper()
	out, _ := p.shell(within(p.t), "systemctl is-system-running --wait; systemctl --failed --no-legend --plain")
	return out
}

// written returns how many bytes the card was given so far, and in how many
// writes.
func (p *pi) written() (bytes, writes int64) {
	p.t.Helper()
	text, err := p.machine.QMP.Do(within(p.t), "query-blockstats", nil)
	must(p.t, err)
	var all []struct {
		Stats struct {
			Bytes  int64 `json:"wr_bytes"`
			Writes int64 `json:"wr_operations"`
		}
	}
	must(p.t, json.Unmarshal(text, &all))
	for _, s := range all {
		bytes, writes = bytes+s.Stats.Bytes, writes+s.Stats.Writes
	}
	return bytes, writes
}
