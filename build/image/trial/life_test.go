//go:build image

package trial

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// Cards, in bytes; QEMU's raspi3b takes powers of two only.
const (
	card2GB = 1900 << 20
	card4GB = 4 << 30
)

const towards = `
[gateway]
id = "house-17"
[[edge.listener]]
bind = ":1883"
anonymous = true
[[uplink]]
endpoints = ["mqtt://10.0.2.100:1883"]
user = "house-17"
password-file = "/etc/tidegate/cloud-password"
up = [{filter = "home/#", add = "cloud/"}]
`

// A life: flashed, configured on a computer, first start, a message on its way
// to the cloud, what may hang hangs, a restart, a factory reset.
func TestLife(t *testing.T) {
	for _, b := range []struct {
		board string
		size  int64
	}{{"virt", card2GB}, {raspi, card4GB}} {
		t.Run(b.board, func(t *testing.T) { life(t, b.board, b.size) })
	}
}

func life(t *testing.T, board string, size int64) {
	cloud := newBroker(t)
	p := newPi(t, board, size)
	p.cloud = cloud.addr
	p.put("tidegate.toml", towards)
	p.put("cloud-password", "s3cret-of-the-cloud\n")
	p.put("hostname.txt", "pump-house\n")
	p.on()
	p.ready()
	p.logIn()
	if got := p.settled(); !strings.HasPrefix(got, "running") {
		t.Errorf("the system is %s", got)
	}
	if got, want := p.ssh("cat /proc/sys/kernel/hostname; systemctl is-active tidegate"), "pump-house\nactive"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	p.grown()
	p.goesUp(cloud, "first")
	shown(t, "systemd-analyze", p.ssh("systemd-analyze; systemd-analyze blame --no-pager | head -15; free -m; df -h / /data /boot/firmware"))
	p.identity()

	t.Run("the gateway hangs", func(t *testing.T) {
		mark := p.machine.Mark()
		p.ssh("systemctl kill -s STOP tidegate.service")
		for _, line := range []string{"Watchdog timeout", "msg=ready"} {
			if _, err := p.machine.WaitAfter(within(t), mark, line); err != nil {
				t.Fatal(err)
			}
		}
		p.goesUp(cloud, "after it hung")
	})
	before := p.identity()
	t.Run("a restart", func(t *testing.T) {
		p.reboot()
		p.logIn()
		if got := p.identity(); got != before {
			t.Errorf("got identity %q, want %q", got, before)
		}
		p.goesUp(cloud, "after a restart")
	})
	if board != raspi { // its watchdog is off in QEMU
		t.Run("the system hangs", func(t *testing.T) { p.hangs(cloud) })
	}
	t.Run("a factory reset", func(t *testing.T) {
		p.logIn()
		p.ssh("sync") // what follows is a plug taken out
		p.off()
		report := p.report()
		shown(t, "report", report)
		if !strings.Contains(report, "All is well.") || !strings.Contains(report, "pump-house.local") {
			t.Error("the report does not say that all is well at pump-house.local")
		}
		if _, err := p.card.Get(within(t), "cloud-password"); err == nil {
			t.Error("the password of the cloud is still on the boot partition")
		}
		p.nowhere("s3cret-of-the-cloud")
		p.put("factory-reset", "")
		p.on()
		p.ready()
		p.off()
		// The plug goes as soon as devices are let in: the report is there whole.
		report = p.report()
		shown(t, "report after a factory reset", report)
		if !strings.Contains(report, "HOW TO CONNECT") {
			t.Error("there is no report after a factory reset")
		}
		if _, err := p.card.Get(within(t), "factory-reset"); err == nil {
			t.Error("the file factory-reset is still there: the next start would forget everything again")
		}
	})
}

// hangs has systemd itself stand still, so that nobody feeds the hardware's watchdog.
func (p *pi) hangs(cloud *broker) {
	p.again(func() {
		ctx, cancel := context.WithTimeout(within(p.t), 20*time.Second)
		defer cancel()
		p.shell(ctx, "echo 1 > /sys/fs/cgroup/init.scope/cgroup.freeze")
	})
	p.goesUp(cloud, "after the watchdog")
}

// goesUp publishes at home and waits for it in the cloud.
func (p *pi) goesUp(b *broker, what string) {
	p.t.Helper()
	message := fmt.Sprintf("%s %d", what, time.Now().UnixNano())
	eventually(p.t, "a device is let in and acknowledged", func() bool { return p.publish("home/test", message) == nil })
	eventually(p.t, "it is in the cloud", func() bool { return b.has("cloud/home/test " + message) })
}

// identity is what a gateway is known by.
func (p *pi) identity() string {
	p.t.Helper()
	return p.ssh("cat /etc/machine-id; cd /data/identity; sha256sum * 2>/dev/null | sort")
}
