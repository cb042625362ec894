package uplink

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// endpoint is one address of the cloud. What the configuration names may
// stand for several: each address of its DNS name, each target of its SRV
// record.
type endpoint struct {
	url  string // for people, placement and as its identity; with the address when DNS gave it
	host string // host:port to dial
	name string // the configured host, for TLS, HTTP and DNS
	tls  bool
	path string // of the WebSocket; "" for plain MQTT
	srv  bool   // name has SRV records

	entry    int  // index in Config.Endpoints
	lookup   bool // its addresses are for DNS to say, which has not yet
	weight   int  // of its SRV record, plus one; 0 for none
	priority int  // of its SRV record: a higher one is for when all lower ones fail
}

// schemes are the beginnings of a URL, with the port that goes without saying.
var schemes = map[string]struct {
	port    string
	tls, ws bool
}{
	"mqtt": {port: "1883"}, "tcp": {port: "1883"},
	"mqtts": {port: "8883", tls: true}, "ssl": {port: "8883", tls: true}, "tls": {port: "8883", tls: true},
	"ws": {port: "80", ws: true}, "wss": {port: "443", ws: true, tls: true},
}

const endpointRule = "mqtt://host[:port], mqtts://..., ws://host[:port][/path], wss://..., mqtt+srv://name or mqtts+srv://name"

// parseEndpoint reads a URL as endpointRule says it.
func parseEndpoint(s string) (endpoint, error) {
	u, err := url.Parse(s)
	if err != nil {
		return endpoint{}, errors.New("it is not a URL")
	}
	scheme, srv := strings.CutSuffix(u.Scheme, "+srv")
	kind, known := schemes[scheme]
	e := endpoint{name: strings.ToLower(u.Hostname()), tls: kind.tls, srv: srv}
	switch {
	case !known:
		return endpoint{}, errors.New("begin it with mqtt://, mqtts://, ws:// or wss://")
	case e.name == "":
		return endpoint{}, errors.New("the host is missing")
	case u.User != nil:
		return endpoint{}, errors.New("put the name into user and the password into password-file")
	case u.RawQuery != "" || u.Fragment != "":
		return endpoint{}, errors.New("take off what follows the path")
	case srv && kind.ws:
		return endpoint{}, errors.New("SRV records name mqtt and mqtts servers: begin it with mqtt+srv:// or mqtts+srv://")
	case srv && (u.Port() != "" || literal(e.name)):
		return endpoint{}, errors.New("SRV records give host and port: write the domain alone")
	case !kind.ws && u.Path != "" && u.Path != "/":
		return endpoint{}, errors.New("MQTT over TCP has no path: take it off, or begin with ws:// or wss://")
	}
	e.lookup = !literal(e.name)
	port := or(u.Port(), kind.port)
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return endpoint{}, errors.New("the port is a number from 1 to 65535")
	}
	e.host = net.JoinHostPort(e.name, port)
	e.url = u.Scheme + "://" + u.Host
	if kind.ws {
		e.path = "/mqtt"
		if u.Path != "" && u.Path != "/" {
			e.path = u.EscapedPath()
			e.url += e.path
		}
	}
	return e, nil
}

// literal says whether host is an IP address.
func literal(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// Meets says whether an endpoint of c is one of o too, however it is written:
// with the port that goes without saying or not, in capitals or not.
func (c Config) Meets(o Config) bool {
	places := map[string]bool{}
	for _, text := range c.Endpoints {
		if e, err := parseEndpoint(text); err == nil {
			places[e.place()] = true
		}
	}
	return slices.ContainsFunc(o.Endpoints, func(text string) bool {
		e, err := parseEndpoint(text)
		return err == nil && places[e.place()]
	})
}

// place is what of an endpoint makes it another one.
func (e endpoint) place() string {
	name := strings.TrimSuffix(e.name, ".")
	if addr, err := netip.ParseAddr(name); err == nil {
		name = addr.Unmap().String()
	}
	if e.srv {
		return "srv " + name
	}
	_, port, _ := net.SplitHostPort(e.host)
	return net.JoinHostPort(name, port)
}
