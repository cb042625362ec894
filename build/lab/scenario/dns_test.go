package scenario

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"
)

func TestNameServer(t *testing.T) {
	s, err := startNameServer("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp4", s.conn.LocalAddr().String())
	}}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, want := range [][]netip.Addr{
		{netip.MustParseAddr("10.77.0.3"), netip.MustParseAddr("10.77.0.4")},
		{netip.MustParseAddr("10.77.0.5")},
	} {
		s.set(want...)
		got, err := resolver.LookupNetIP(ctx, "ip4", cloudName)
		slices.SortFunc(got, netip.Addr.Compare)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("got %v, %v; want %v", got, err, want)
		}
	}
	if got, err := resolver.LookupNetIP(ctx, "ip4", "other.lab."); err == nil {
		t.Errorf("another name: got %v", got)
	}
}
