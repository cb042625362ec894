package edge

import (
	"fmt"
	"net"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"
	"golang.org/x/sys/unix"
)

// vanish has the client's kernel drop every segment that comes to nc, before
// TCP sees it, as when its power or the way to it is gone: nothing is
// acknowledged, and nothing says that it ended.
func vanish(t *testing.T, nc net.Conn) {
	t.Helper()
	raw, err := nc.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	none := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}} // of a segment, 0 bytes are kept
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &none[0]})
	})
	if err != nil || failed != nil {
		t.Fatal(err, failed)
	}
}

// TestHalfOpen has clients vanish while messages flow to them: the keep alive
// finds them, though writing to them never fails [MQTT-3.1.2-22]. Their wills
// are published, what they did not acknowledge waits for them, and a session
// that was not to outlive its connection does not.
func TestHalfOpen(t *testing.T) {
	b := startBroker(t, Options{})
	watch := connect(t, b, "watch")
	watch.subscribe(sub{filter: "gone/#", qos: 1})
	stays := connect(t, b, "stays", resume(), expiry(3600), keepAlive(1), willOf("gone/stays", "x", 1, false, 0))
	stays.subscribe(sub{filter: "t", qos: 1})
	ends := connect(t, b, "ends", keepAlive(1), willOf("gone/ends", "x", 1, false, 0))
	ends.subscribe(sub{filter: "t", qos: 1})
	vanish(t, stays.nc)
	vanish(t, ends.nc)

	p := connect(t, b, "p")
	sent := 0
	until(t, "the keep alive finds both", func() bool {
		if sent < 300 { // more than a window, less than a queue
			p.publish("t", fmt.Sprint(sent), 1)
			sent++
		}
		return b.Stats().Connected == 2
	})
	got := map[string]bool{watch.expect(packets.Publish).TopicName: true, watch.expect(packets.Publish).TopicName: true}
	if !got["gone/stays"] || !got["gone/ends"] {
		t.Errorf("wills %v, want gone/stays and gone/ends", got)
	}

	again := dial(t, b)
	if !again.connect("stays", resume(), expiry(3600)).SessionPresent {
		t.Fatal("its session is gone")
	}
	for i := range sent {
		again.message("t", fmt.Sprint(i))
	}
	if dial(t, b).connect("ends", resume(), expiry(3600)).SessionPresent {
		t.Error("a session outlived its connection")
	}
}
