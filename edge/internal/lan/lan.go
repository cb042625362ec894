// Package lan knows what belongs to the home's network: names that nobody can
// own on the internet, and addresses that count as one machine.
package lan

import (
	"net"
	"net/netip"
	"slices"
	"strings"
)

// homeDomains are those that the internet's DNS will never have, or not soon.
var homeDomains = []string{".local", ".localhost", ".lan", ".home.arpa", ".internal"}

// Name says whether a host, without a port, is an IP address or a name that
// nobody can own on the internet. A stranger can let a name of his own point to
// the gateway, once his page is loaded; he cannot do so with these.
func Name(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return !strings.Contains(host, ".") || slices.ContainsFunc(homeDomains, func(d string) bool { return strings.HasSuffix(host, d) })
}

// Origin is where an address counts to: an IPv4 address, or the /64 of an IPv6
// one, in which a machine chooses its addresses as it likes. Link-local ones,
// which all share their prefix, count each for itself. What is no IP address,
// such as the other end of a unix socket, counts by its text.
func Origin(a net.Addr) string {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return a.String()
	}
	ip := ap.Addr().Unmap()
	if ip.Is6() && !ip.IsLinkLocalUnicast() && !ip.IsLoopback() {
		if net64, err := ip.WithZone("").Prefix(64); err == nil {
			return net64.String()
		}
	}
	return ip.String()
}
