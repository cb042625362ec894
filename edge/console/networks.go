package console

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// networks says who may come.
type networks struct {
	all     bool
	private bool
	list    []netip.Prefix

	mu     sync.Mutex // guards what follows
	looked time.Time
	near   []netip.Prefix // IPv6 networks of the machine's own interfaces
}

// nearLook is how often at most the interfaces are asked.
const nearLook = 10 * time.Second

func newNetworks(texts []string) *networks {
	n := &networks{all: slices.Contains(texts, everywhere), private: slices.Contains(texts, private)}
	for _, text := range texts {
		if p, err := parseNetwork(text); err == nil {
			n.list = append(n.list, p)
		}
	}
	return n
}

// allow says whether somebody from this address may come. Private are the
// networks that are not routed on the internet [RFC 1918, RFC 4193], this machine
// and links. A home with IPv6 gives everybody public addresses, which browsers
// prefer: those in the networks of the machine's own interfaces are of the home
// too. The addresses behind a provider's translation (100.64.0.0/10) are not
// private: strangers have them.
func (n *networks) allow(at net.Addr) bool {
	ap, err := netip.ParseAddrPort(at.String())
	if err != nil {
		return false
	}
	ip := ap.Addr().Unmap().WithZone("")
	in := func(p netip.Prefix) bool { return p.Contains(ip) }
	switch {
	case n.all, slices.ContainsFunc(n.list, in):
		return true
	case !n.private:
		return false
	case ip.IsPrivate(), ip.IsLoopback(), ip.IsLinkLocalUnicast():
		return true
	}
	return ip.Is6() && slices.ContainsFunc(n.neighbours(), in)
}

func (n *networks) neighbours() []netip.Prefix {
	n.mu.Lock()
	defer n.mu.Unlock()
	if now := time.Now(); n.looked.IsZero() || now.Sub(n.looked) > nearLook {
		n.looked, n.near = now, ownNetworks()
	}
	return n.near
}

func ownNetworks() []netip.Prefix {
	var all []netip.Prefix
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		// Larger than a link's usual /64 would be a provider's.
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is6() && !p.Addr().Is4In6() && p.Bits() >= 64 {
			all = append(all, p.Masked())
		}
	}
	return all
}
