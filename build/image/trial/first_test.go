//go:build image

package trial

import (
	"fmt"
	"testing"
)

// What the gateway stores at its first start is on the card, and has all of it:
// that udev looks at the card anew while it grows must not get in between. It is a
// matter of moments, so that one start proves little.
func TestFirstStarts(t *testing.T) {
	for i := range 5 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			p := newPi(t, "virt", card2GB)
			p.on()
			p.ready()
			p.logIn()
			p.grown()
		})
	}
}

// How long a start takes, whatever else this machine does: the guest's time is
// counted by its instructions.
func TestStartTime(t *testing.T) {
	p := newPi(t, "virt", card2GB)
	p.counted = true
	p.on()
	p.ready()
	p.logIn()
	p.reboot()
}

// grown checks that /data is the card's, of 2 GB, to its end.
func (p *pi) grown() {
	p.t.Helper()
	var from string
	var size int64
	fmt.Sscan(p.ssh("df -k --output=source,size /data | tail -1"), &from, &size)
	if from != "/dev/vda4" && from != "/dev/mmcblk0p4" || size < 700<<10 {
		p.t.Errorf("/data is %s of %d KiB, want the card's fourth partition, grown\n%s", from, size, p.ssh("cat /run/tidegate-data; journalctl -b -u tidegate-data | cat"))
	}
}
