package edge

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"tidegate/edge/internal/lan"
	"tidegate/internal/conf"
)

// The PROXY protocol, versions 1 and 2, as HAProxy defines it
// (doc/proxy-protocol.txt): before all else a proxy says whom it stands for.
const (
	proxySign = "\r\n\r\n\x00\r\nQUIT\n" // of version 2
	proxyLine = 107                      // longest line of version 1, in bytes
	proxyMost = 2 << 10                  // longest rest of a header of version 2: addresses and notes
)

var errProxyHeader = errors.New("no PROXY header that can be read")

// readProxyHeader reads a header and not a byte more. The address is not valid
// when the proxy speaks for itself, or does not know.
func readProxyHeader(r io.Reader) (client netip.AddrPort, err error) {
	head := make([]byte, 16, proxyLine)
	if _, err := io.ReadFull(r, head[:12]); err != nil { // no version is shorter
		return client, err
	}
	if string(head[:12]) == proxySign {
		return readProxy2(r, head)
	}
	if !bytes.HasPrefix(head, []byte("PROXY ")) {
		return client, errProxyHeader
	}
	line := head[:12]
	for !bytes.HasSuffix(line, []byte("\r\n")) {
		n := len(line)
		if n == proxyLine {
			return client, errProxyHeader
		}
		line = line[:n+1]
		if _, err := io.ReadFull(r, line[n:]); err != nil {
			return client, err
		}
	}
	return parseProxyLine(string(line[:len(line)-2]))
}

// parseProxyLine reads "PROXY TCP4 192.0.2.1 192.0.2.2 56324 1883" or "PROXY
// UNKNOWN ...".
func parseProxyLine(line string) (client netip.AddrPort, err error) {
	part := strings.Split(line, " ")
	if part[1] == "UNKNOWN" {
		return client, nil
	}
	if len(part) != 6 || part[1] != "TCP4" && part[1] != "TCP6" {
		return client, errProxyHeader
	}
	at, err := netip.ParseAddr(part[2])
	port, err2 := strconv.ParseUint(part[4], 10, 16)
	if err != nil || err2 != nil || at.Is4() != (part[1] == "TCP4") || at.Zone() != "" {
		return client, errProxyHeader
	}
	return netip.AddrPortFrom(at.Unmap(), uint16(port)), nil
}

// readProxy2 reads the rest of a header of version 2; head has room for its
// first 16 bytes.
func readProxy2(r io.Reader, head []byte) (client netip.AddrPort, err error) {
	if _, err := io.ReadFull(r, head[12:]); err != nil {
		return client, err
	}
	version, command, family := head[12]>>4, head[12]&15, head[13]
	size := binary.BigEndian.Uint16(head[14:])
	if version != 2 || command > 1 || size > proxyMost {
		return client, errProxyHeader
	}
	rest := make([]byte, size)
	if _, err := io.ReadFull(r, rest); err != nil {
		return client, err
	}
	width := map[byte]int{0x11: 4, 0x21: 16}[family] // TCP over IPv4, IPv6
	if command == 0 || width == 0 {
		return client, nil // a health check; a unix socket, or nothing said
	}
	if len(rest) < 2*width+4 {
		return client, errProxyHeader
	}
	at, _ := netip.AddrFromSlice(rest[:width])
	return netip.AddrPortFrom(at.Unmap(), binary.BigEndian.Uint16(rest[2*width:])), nil
}

// proxies are those that may say whom they stand for.
type proxies struct {
	from []netip.Prefix
	unix bool // also who comes through a unix socket
}

func (p *proxies) any() bool { return p.unix || len(p.from) > 0 }

// has says whether a connection comes from one of them.
func (p *proxies) has(at net.Addr) bool {
	tcp, ok := at.(*net.TCPAddr)
	if !ok {
		return p.unix
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	return slices.ContainsFunc(p.from, func(net netip.Prefix) bool { return net.Contains(ip) })
}

func parseProxies(list []string) (p proxies, err error) {
	for _, text := range list {
		net, err := netip.ParsePrefix(text)
		if ip, e := netip.ParseAddr(text); e == nil {
			net, err = ip.Unmap().WithZone("").Prefix(ip.Unmap().BitLen())
		}
		switch {
		case text == "unix":
			p.unix = true
		case err != nil:
			return p, fmt.Errorf("%q is neither an IP address nor a network nor unix", text)
		default:
			p.from = append(p.from, net.Masked())
		}
	}
	return p, nil
}

func (l ListenerConfig) checkProxies(at string) []conf.Problem {
	if _, err := parseProxies(l.Proxies); err != nil {
		return []conf.Problem{{Key: at + "proxies", Value: fmt.Sprintf("%q", l.Proxies), Rule: `a list of IP addresses, networks or "unix"`, Hint: err.Error() + `; for example ["127.0.0.1", "10.0.0.0/24"]`}}
	}
	return nil
}

// unproxy reads the PROXY header and takes the client's address from it.
func (c *conn) unproxy(until time.Time) error {
	c.sock.SetReadDeadline(until)
	client, err := readProxyHeader(c.sock)
	if errors.Is(err, errProxyHeader) {
		c.b.notice("connection refused, because the proxy sends no PROXY header that can be read", c.host, "endpoint", c.terms.cfg.Bind)
		return err
	}
	if err != nil {
		return err
	}
	if client.IsValid() {
		at := net.TCPAddrFromAddrPort(client)
		c.host, c.from = host(at), lan.Origin(at)
	}
	c.b.mu.Lock()
	placed := c.b.place(c)
	c.b.mu.Unlock()
	if !placed {
		c.tooMany()
		return errRefused
	}
	return nil
}
