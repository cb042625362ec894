package scenario

import (
	"net"
	"net/netip"
	"os"
	"testing"

	"tidegate/build/lab/presence"
)

func TestKernelAddr(t *testing.T) {
	for text, want := range map[string]string{
		"0100007F:075B": "127.0.0.1:1883", // little-endian machines only; the lab runs on no other
		"00000000:0000": "0.0.0.0:0",
		"":              "",
		"0100007F":      "",
		"junk:0000":     "",
	} {
		got, ok := kernelAddr(text)
		if ok != (want != "") || ok && got != netip.MustParseAddrPort(want) {
			t.Errorf("%q: got %v, %v, want %q", text, got, ok, want)
		}
	}
}

// The kernel knows of this process's connections, each from both ends.
func TestConnections(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	to := netip.MustParseAddrPort(l.Addr().String())
	for want := range 3 {
		open, err := connections(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if open[to] != want {
			t.Errorf("got %d connections to %v, want %d", open[to], to, want)
		}
		c, err := net.Dial("tcp4", to.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
}

// Of two words the one of the later epoch counts, then that of the greater
// number.
func TestLatestWord(t *testing.T) {
	words := []presence.Word{
		{State: presence.Offline, Epoch: 2, Number: 1},
		{State: presence.Online, Epoch: 2, Number: 7},
		{State: presence.Offline, Epoch: 1, Number: 9},
		{},
	}
	if got := presence.Latest(words); got.State != presence.Online || got.Number != 7 {
		t.Errorf("got %+v, want number 7 of epoch 2", got)
	}
}
