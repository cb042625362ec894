//go:build image

package trial

import (
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What a card's owner never sees: nothing is written where it need not be, what the
// gateway does not serve is out of reach, the last lines of the journal are kept and
// not for ever, and the clock does not go back behind the last start, although a Pi
// has none that runs while it is off.
func TestSystem(t *testing.T) {
	p := newPi(t, "virt", card2GB)
	p.forward = []int{2222}
	later := time.Date(2031, 5, 1, 0, 0, 0, 0, time.UTC)
	p.qemu = []string{"-rtc", "base=" + later.Format("2006-01-02T15:04:05")}
	p.on()
	p.ready()
	p.logIn()
	p.runs()

	if out, err := p.shell(within(t), "touch /usr/here"); err == nil || !strings.Contains(out, "Read-only") {
		t.Errorf("the root can be written to: %v: %s", err, out)
	}
	for at, want := range map[string][]string{"/": {"ro"}, "/data": {"rw", "noatime", "commit=30", "nosuid", "nodev", "noexec"}, "/boot/firmware": {"noatime"}} {
		got := "," + p.ssh("while read -r _ at _ how _; do [ $at != "+at+" ] || echo $how; done < /proc/mounts | tail -1") + ","
		for _, w := range want {
			if !strings.Contains(got, ","+w+",") {
				t.Errorf("%s is mounted %s, want %s", at, got, w)
			}
		}
	}
	if got := p.ssh("tail -n +2 /proc/swaps | cut -d ' ' -f 1"); got != "/dev/zram0" {
		t.Errorf("swap: got %q, want /dev/zram0 alone", got)
	}
	if got := p.ssh("journalctl --header | grep 'File path' | grep -v ' /run/log/journal/' || true"); got != "" {
		t.Errorf("the journal is on the card: %s", got)
	}
	if got := p.ssh("journalctl -b -u tidegate.service | grep 'already exists but' || true"); got != "" {
		t.Errorf("systemd complains: %s", got)
	}
	p.firewall()

	p.ssh("cd /data/system/journal; for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo | gzip > old$i.gz; done; touch -d 2020-01-01 old*")
	p.reboot()
	p.logIn()
	if got := p.ssh("cd /data/system/journal; ls | wc -l; zcat $(ls -t | head -1) | grep -c msg=ready"); got != "8\n1" {
		t.Errorf("journals on the card, and in the last one the gateway's start: got %q, want 8 and 1", got)
	}

	p.ssh("sync")
	p.off()
	p.qemu = []string{"-rtc", "base=1970-01-01T00:00:10"}
	p.on()
	p.ready()
	p.logIn()
	if got, err := strconv.ParseInt(p.ssh("date +%s"), 10, 64); err != nil || got < later.Unix() {
		t.Errorf("it is %v (%v), want at least %v", time.Unix(got, 0).UTC(), err, later)
	}
}

// firewall checks that a program which listens on all addresses is not reached, and
// that it is the firewall which keeps others from it.
func (p *pi) firewall() {
	p.t.Helper()
	p.ssh("/usr/sbin/sshd -p 2222 -o PidFile=/run/other-sshd")
	greeting := func(wait time.Duration) string {
		c, err := net.Dial("tcp", p.machine.Addr(2222))
		if err != nil {
			return ""
		}
		defer c.Close()
		must(p.t, c.SetDeadline(time.Now().Add(wait)))
		b := make([]byte, 4)
		n, _ := c.Read(b)
		return string(b[:n])
	}
	if got := p.ssh("exec 3<>/dev/tcp/127.0.0.1/2222; head -c 4 <&3"); got != "SSH-" {
		p.t.Fatalf("at home: got %q", got)
	}
	if got := greeting(10 * time.Second); got != "" {
		p.t.Errorf("a port that the configuration does not name answers %q", got)
	}
	p.ssh("nft add element inet tidegate tcp_in { 2222 }")
	eventually(p.t, "it answers once it is let through", func() bool { return greeting(10*time.Second) == "SSH-" })
}
