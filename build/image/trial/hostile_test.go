//go:build image

package trial

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"tidegate/build/image"
	"tidegate/build/power"
)

// told checks that the report has each of these in it.
func told(t *testing.T, report string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(report, w) {
			t.Errorf("the report does not say %q", w)
		}
	}
	shown(t, "report", report)
}

// late waits for the report of the network, a minute after the start, and takes the
// plug out.
func (p *pi) late() string {
	p.t.Helper()
	p.says("Finished tidegate-report.service")
	p.off()
	return p.report()
}

// nowhere checks that no cluster of the boot partition, used or free, has a secret.
func (p *pi) nowhere(secret string) {
	p.t.Helper()
	part := filepath.Join(p.dir, "p1")
	must(p.t, p.card.Extract(0, part))
	text, err := os.ReadFile(part)
	must(p.t, err)
	if i := bytes.Index(text, []byte(secret)); i >= 0 {
		p.t.Errorf("a secret is on the boot partition, at byte %d", i)
	}
}

// runs checks that nothing failed.
func (p *pi) runs() {
	p.t.Helper()
	if got := p.settled(); !strings.HasPrefix(got, "running") {
		p.t.Errorf("the system is %s", got)
	}
}

// Every file on the boot partition has a mistake in it: the gateway starts with its
// standard configuration and says what is wrong where. One that is right is taken
// all the same.
func TestEverythingWrong(t *testing.T) {
	p := newPi(t, "virt", card2GB)
	p.put("tidegate.toml", "[gateway]\nlog-levle = \"info\"\n[[edge.listener]]\nbind = 1883\n[[uplink]]\nendpoints = [\"cloud\"]\npassword = \"my-secret\"\n")
	p.put("wifi.txt", "country = Germany\nssid = home\npassword = short\n")
	p.put("hostname.txt", "pump house!\n")
	p.put("devices.txt", "lamp = x\n")
	p.put("server.key", "nonsense\n")
	p.put("tidegate-backup.tgz", "nonsense\n")
	p.put("FSCK0000.REC", "my-secret\n")
	p.on()
	p.ready()
	p.logIn()
	p.runs()
	if got := p.ssh("grep -rl my-secret /data /run /boot/firmware/tidegate-report.txt /boot/firmware/FSCK* 2>/dev/null; journalctl -b | grep -c my-secret || true"); got != "0" {
		t.Errorf("a secret lies about: %s", got)
	}
	told(t, p.late(), "Something needs your attention", "tidegate.toml:2", "did you mean log-level?", "tidegate.toml:4", "wifi.txt:1", "DE, GB or US", "wifi.txt:3",
		"hostname.txt:1", "devices.txt:1", "backup: tidegate-backup.tgz is a damaged backup", "parts of a file without a name", "The standard configuration is in use.")
}

// The card is full, after years or of somebody's photos: devices are served, also
// after a restart, and the report says it. Ports are those of the configuration.
func TestFullCard(t *testing.T) {
	cloud := newBroker(t)
	p := newPi(t, "virt", card2GB)
	p.cloud, p.forward = cloud.addr, []int{1999}
	p.put("tidegate.toml", towards+"[[edge.listener]]\nbind = \":1999\"\nanonymous = true\n")
	p.put("cloud-password", "s3cret-of-the-cloud\n")
	p.on()
	p.ready()
	p.logIn()
	p.grown()
	shown(t, "before", p.ssh("cd /data; fallocate -l $(($(df --output=avail -B1 . | tail -1) - 65536)) photos; dd if=/dev/zero of=more bs=4K; sync; df .; ls -l"))
	p.goesUp(cloud, "on a full card")
	p.reboot()
	p.goesUp(cloud, "after a restart on a full card")
	eventually(t, "a device is let in at a port of its owner's", func() bool { return p.publishAt(1999, "home/other", "port") == nil })
	p.logIn()
	shown(t, "after", p.ssh("df /data; ls -l /data"))
	report := p.late()
	told(t, report, "data partition: is full", "Take a larger card", "port 1999")
}

// A data partition that cannot be read: the gateway serves out of memory, and says
// so.
func TestUnreadableData(t *testing.T) {
	p := newPi(t, "virt", card2GB)
	d := power.New(card2GB, 1)
	must(t, d.Load(p.card.File))
	data := image.Layout()[3]
	d.Break(data.Start, data.Size)
	s, err := power.Listen(filepath.Join(p.dir, "nbd"), d)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		p.off()
		cancel()
		must(t, <-ended)
	})
	p.drive = "if=none,id=card,format=raw,cache=none,file=nbd:unix:" + p.dir + "/nbd"
	p.on()
	p.ready()
	p.logIn()
	p.runs()
	p.says("Finished tidegate-report.service")
	p.off()
	must(t, d.Save(p.card.File))
	told(t, p.report(), "Something needs your attention", "The data partition of the card cannot be read", "replace the card")
}

// A data partition that is no file system any more: served out of memory, until its
// owner says that everything may go.
func TestRuinedData(t *testing.T) {
	p := newPi(t, "virt", card2GB)
	f, err := os.OpenFile(p.card.File, os.O_WRONLY, 0)
	must(t, err)
	data := image.Layout()[3]
	_, err = f.WriteAt(bytes.Repeat([]byte("photos! "), int(data.Size/8)), data.Start)
	must(t, errors.Join(err, f.Close()))
	p.on()
	p.ready()
	p.logIn()
	p.runs()
	told(t, p.late(), "Something needs your attention", "The data partition of the card cannot be read", "A file named factory-reset")
	p.put("factory-reset.txt", "")
	p.on()
	p.ready()
	p.logIn()
	p.runs()
	_, before, _ := strings.Cut(p.identity(), "\n") // the system learns its new id at the next start
	report := p.late()
	told(t, report, "The data partition was made anew", "HOW TO CONNECT")
	if strings.Contains(report, "cannot be read") || !strings.Contains(report, "All is well.") {
		t.Error("there is still something to put right")
	}
	p.on()
	p.ready()
	p.logIn()
	if _, got, _ := strings.Cut(p.identity(), "\n"); got != before {
		t.Errorf("got identity %q, want %q", got, before)
	}
	told(t, p.late(), "All is well.")
}

// A card of 128 GB: the data partition grows to its end. (Of the file only what is
// written takes room.)
func TestLargeCard(t *testing.T) {
	p := newPi(t, "virt", 128e9)
	p.on()
	p.ready()
	p.logIn()
	p.runs()
	text := p.ssh("df -B1 --output=size /data | tail -1; sfdisk -l /dev/vda")
	size, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	if n, err := strconv.ParseInt(strings.TrimSpace(size), 10, 64); err != nil || n < 124e9 {
		t.Errorf("got %s bytes on /data (%v), want 124 GB", size, err)
	}
	shown(t, "the card", text)
}

// Another card of this kind is in a reader: an old one, whose files are to be saved.
// Nothing of it is touched.
func TestTwoCards(t *testing.T) {
	p := newPi(t, "virt", card2GB)
	old := filepath.Join(p.dir, "old")
	_, err := image.NewCard(p.card.File, old, card2GB)
	must(t, err)
	p.put("wifi.txt", "country = DE\nssid = home\npassword = correct horse\n")
	p.qemu = []string{"-device", "qemu-xhci,id=usb", "-drive", "if=none,id=old,format=raw,file=" + old, "-device", "usb-storage,bus=usb.0,drive=old,removable=on"}
	before := digest(t, old)
	p.on()
	p.ready()
	p.logIn()
	p.runs()
	p.reboot()
	p.logIn()
	if got, want := p.ssh("ls /sys/class/block | grep -E '^sd.[0-9]|^vd.[0-9]' | tr '\\n' ' '; while read -r what at _; do case $at in /|/data|/boot/firmware) echo $what $at;; esac; done < /proc/mounts | sort -u; realpath /dev/card/*"),
		"sda1 sda2 sda3 sda4 vda1 vda2 vda3 vda4 /dev/vda1 /boot/firmware\n/dev/vda2 /\n/dev/vda4 /data\n/dev/vda1\n/dev/vda2\n/dev/vda3\n/dev/vda4"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	told(t, p.late(), "this machine has no Wi-Fi that works", "use a cable")
	p.nowhere("correct horse")
	if digest(t, old) != before {
		t.Error("the other card was written to")
	}
}

// digest is of a file's content.
func digest(t *testing.T, file string) string {
	t.Helper()
	f, err := os.Open(file)
	must(t, err)
	defer f.Close()
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	must(t, err)
	return string(sum.Sum(nil))
}
