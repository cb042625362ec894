//go:build image

package trial

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// broker is a Mosquitto on this machine: the cloud.
type broker struct {
	addr string

	mu  sync.Mutex
	got []string // "topic payload"
}

func newBroker(t *testing.T) *broker {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	b := &broker{addr: l.Addr().String()}
	l.Close()
	_, port, _ := net.SplitHostPort(b.addr)
	conf := filepath.Join(t.TempDir(), "conf")
	must(t, os.WriteFile(conf, fmt.Appendf(nil, "listener %s 127.0.0.1\nallow_anonymous true\nuser root\n", port), 0o600))
	name, err := exec.LookPath("mosquitto")
	if err != nil {
		name = "/usr/sbin/mosquitto"
	}
	start(t, exec.Command(name, "-c", conf))
	eventually(t, "mosquitto listens", func() bool {
		c, err := net.Dial("tcp", b.addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	sub := exec.Command("mosquitto_sub", "-h", "127.0.0.1", "-p", port, "-q", "1", "-t", "cloud/#", "-F", "%t %p")
	out, err := sub.StdoutPipe()
	must(t, err)
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			b.mu.Lock()
			b.got = append(b.got, s.Text())
			b.mu.Unlock()
		}
	}()
	start(t, sub)
	eventually(t, "the consumer listens", func() bool {
		exec.Command("mosquitto_pub", "-h", "127.0.0.1", "-p", port, "-q", "1", "-t", "cloud/hello", "-m", "").Run()
		return b.has("cloud/hello")
	})
	return b
}

// start runs a program until the test ends.
func start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	must(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
}

func (b *broker) has(message string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.got {
		if strings.HasPrefix(m, message) {
			return true
		}
	}
	return false
}

// publish is a device of the home: it is acknowledged.
func (p *pi) publish(topic, payload string) error { return p.publishAt(1883, topic, payload) }

func (p *pi) publishAt(listener int, topic, payload string) error {
	host, port, _ := strings.Cut(p.machine.Addr(listener), ":")
	out, err := exec.CommandContext(within(p.t), "mosquitto_pub", "-h", host, "-p", port, "-q", "1", "-t", topic, "-m", payload).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}
