//go:build image

package image

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// expected is how long the image takes to its broker on two busy cores;
// time-outs are five times as long.
const expected = time.Minute

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*expected)
	t.Cleanup(cancel)
	return ctx
}

// start boots a card and kills the machine at the end of the test.
func start(t *testing.T, h Hardware) *Machine {
	t.Helper()
	m, err := Start(within(t), h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Kill(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("console:\n%s", m.Console())
		}
	})
	return m
}

func wait(t *testing.T, m *Machine, parts ...string) string {
	t.Helper()
	line, err := m.Wait(within(t), parts...)
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// newCard is a card of the image that is fit for emulation.
func newCard(t *testing.T, size int64) Card {
	t.Helper()
	b := look(t)
	card, err := NewCard(b.file, filepath.Join(t.TempDir(), "card"), size)
	if err != nil {
		t.Fatal(err)
	}
	if err := card.Put(t.Context(), "extra.txt", []byte("extra="+Emulated+"\n")); err != nil {
		t.Fatal(err)
	}
	return card
}

// answers says whether a broker takes a CONNECT there, and refuses it as it
// refuses everybody without a name (MQTT 3.1.1, 3.2.2.3; 5: 0x87).
func answers(t *testing.T, addr string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	connect := []byte{0x10, 13, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, 1, 'x'}
	if err := conn.SetDeadline(time.Now().Add(expected)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4)
	_, err = conn.Write(connect)
	if err == nil {
		_, err = io.ReadFull(conn, got)
	}
	if err != nil || got[0] != 0x20 || got[3] == 0 {
		t.Errorf("got % x, %v, want a CONNACK that refuses", got, err)
	}
}

// troubles are what a start without trouble does not say.
var troubles = regexp.MustCompile(`(?m)^.*(FAILED|Failed to start|Failed with result|DEPEND|TIME\b|emergency|Failed at step).*$`)

// The whole chain, from U-Boot on: the card grows, identity is made, nothing
// fails, the broker answers through the firewall. A second start knows what
// the first one made.
func TestBoot(t *testing.T) {
	card := newCard(t, 2<<30)
	m := start(t, Hardware{Card: card, Forward: []int{1883, 22}, Dir: t.TempDir()})
	wait(t, m, "tidegate: slot A")
	made := wait(t, m, "Made the identity of this gateway: ")
	wait(t, m, "msg=ready")
	answers(t, m.Addr(1883))
	t.Log(wait(t, m, "Startup finished"))
	if all := troubles.FindAllString(m.Console(), -1); len(all) > 0 {
		t.Errorf("got\n%s", strings.Join(all, "\n"))
	}
	// The port is forwarded, and yet nobody is behind it.
	conn, err := net.Dial("tcp", m.Addr(22))
	if err == nil {
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if n, _ := conn.Read(make([]byte, 1)); n != 0 {
			t.Error("something answers on port 22")
		}
	}
	_, id, _ := strings.Cut(made, "this gateway: ")
	again := m.Mark()
	if _, err := m.QMP.Do(t.Context(), "system_reset", nil); err != nil {
		t.Fatal(err)
	}
	line, err := m.WaitAfter(within(t), again, "msg=ready")
	if want := "gateway=" + strings.TrimSuffix(id, "."); err != nil || !strings.Contains(line, want) {
		t.Errorf("got %q, %v, want %q", line, err, want)
	}
	// 2 GiB less what is before the fourth partition.
	wait(t, m, "is now 244736 (4k) blocks long")
}

// The same source makes the same bytes.
func TestReproducible(t *testing.T) {
	b := look(t)
	again := t.TempDir()
	file, err := FromSource(t.Context(), "../..", again, "", t.Output())
	if err != nil {
		t.Fatal(err)
	}
	if out, err := run(t.Context(), again, nil, "cmp", b.file, file); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
