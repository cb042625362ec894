package edge

import (
	"fmt"
	"net"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tidegate/internal/conf"
)

// TestStoppedProcessHarmsNobody stops one of 200 subscribers, a process, with
// SIGSTOP, while it is sent more than all buffers hold. The other 199 get every
// message in order and stay connected. When the process goes on it connects
// again and gets what had waited.
func TestStoppedProcessHarmsNobody(t *testing.T) {
	const others, messages, filler = 199, 200, 100_000
	b := startBroker(t, Options{}, func(c *Config) {
		c.Limits.WriteTimeout = conf.Duration(time.Second)
	})
	host, port, _ := net.SplitHostPort(b.Addrs()[0].String())
	stopped := start(t, exec.Command("stdbuf", "-oL", "mosquitto_sub", "-h", host, "-p", port, "-V", "5", "-i", "stopped", "-c", "-x", "1000", "-q", "1", "-d", "-F", "MSG %t %p", "-t", "t/1", "-t", "fill"))
	stopped.line(t, "Subscribed (mid: 1): ")
	var all sync.WaitGroup
	for i := range others {
		s := connect(t, b, fmt.Sprint("s", i))
		s.subscribe(sub{filter: "t/0"}, sub{filter: "t/1", qos: 1})
		all.Go(func() {
			next := [2]int{}
			for range 2 * messages {
				pk, err := s.read(4 * patience)
				if err != nil {
					t.Errorf("subscriber %d: %v", i, err)
					return
				}
				qos := int(pk.FixedHeader.Qos)
				var n int
				if fmt.Sscanf(string(pk.Payload), "%d", &n); n != next[qos] {
					t.Errorf("subscriber %d: got message %d of QoS %d, want %d", i, n, qos, next[qos])
					return
				}
				next[qos]++
				if qos == 1 {
					if err := s.push([]byte{0x40, 2, byte(pk.PacketID >> 8), byte(pk.PacketID)}); err != nil {
						t.Errorf("subscriber %d: %v", i, err)
						return
					}
				}
			}
		})
	}
	p := connect(t, b, "p")
	fill := strings.Repeat("x", filler)
	for i := range messages {
		if i == messages/10 {
			stopped.cmd.Process.Signal(syscall.SIGSTOP)
		}
		for qos := range byte(2) {
			p.publish(fmt.Sprint("t/", qos), fmt.Sprint(i), qos)
		}
		p.publish("fill", fill, 0) // only for the one that is stopped: more than the kernel takes
	}
	all.Wait()
	until(t, "the stopped one is cut, and nobody else", func() bool {
		st := b.Stats()
		return st.Cut == 1 && st.Connected == others+1
	})
	if got := b.Stats().DroppedQueue; got != 0 {
		t.Errorf("dropped %d", got)
	}
	stopped.cmd.Process.Signal(syscall.SIGCONT)
	seen := map[string]bool{}
	for len(seen) < messages {
		seen[stopped.line(t, "MSG t/1 ")] = true
	}
}
