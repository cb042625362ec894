package edge

import (
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"tidegate/internal/conf"
)

// ListenerConfig is one address where devices connect.
type ListenerConfig struct {
	// Bind is host:port, :port for every address, or unix: and the absolute path
	// of a socket.
	Bind string `toml:"bind"`

	// Mode and Owner are those of a unix socket: "0660" when empty, and "user",
	// "user:group" or ":group", the process's own when empty.
	Mode  string `toml:"mode"`
	Owner string `toml:"owner"`

	// Protocol is "mqtt", also when empty, or "websocket": MQTT in WebSockets.
	Protocol string `toml:"protocol"`

	// Path is where WebSockets are on the listener, "/mqtt" when empty.
	Path string `toml:"path"`

	// Origins are those whose pages may connect from a browser, besides pages of
	// the gateway's own address: "https://panel.example.com", "null" for pages
	// without an origin, "*" for all.
	Origins []string `toml:"origins"`

	// Proxies are the IP addresses and networks of those that must say by the
	// PROXY protocol, version 1 or 2, for whom they come; "unix" for who comes
	// through a unix socket. Nobody else is let in then. Empty: none.
	Proxies []string `toml:"proxies"`

	// Anonymous lets clients in that present neither a password nor a
	// certificate.
	Anonymous bool `toml:"anonymous"`

	// Cert and Key are paths of PEM files; both make the listener speak TLS.
	Cert string `toml:"cert"`
	Key  string `toml:"key"`

	// ClientCA is the path of a PEM file with the authorities whose client
	// certificates are believed.
	ClientCA string `toml:"client-ca"`

	// Connections and ConnectionsPerAddr bound the connections of this listener,
	// besides those of all. 0: only all are bounded.
	Connections        int `toml:"connections"`
	ConnectionsPerAddr int `toml:"connections-per-address"`

	// ConnectsPerSecond is how many CONNECTs are answered in a second; as many
	// may come at once. Those beyond wait for their turn, and are refused with
	// 0x9F when it comes after ConnectTimeout. 0: any.
	ConnectsPerSecond int `toml:"connects-per-second"`

	// ConnectTimeout and MaxPacket replace those of LimitsConfig. 0: they hold.
	ConnectTimeout conf.Duration `toml:"connect-timeout"`
	MaxPacket      conf.Size     `toml:"max-packet"`

	// TLSTimeout is how much of ConnectTimeout the TLS handshake may take. 0: all.
	TLSTimeout conf.Duration `toml:"tls-timeout"`
}

func (l ListenerConfig) check(at string) []conf.Problem {
	var problems []conf.Problem
	_, port, err := net.SplitHostPort(l.Bind)
	_, socket := socketPath(l.Bind)
	if n, e := strconv.Atoi(port); !socket && (err != nil || e != nil || n < 0 || n > 65535) {
		problems = append(problems, conf.Problem{Key: at + "bind", Value: strconv.Quote(l.Bind), Rule: "host:port, :port for every address, or unix:/path", Hint: `for example ":1883"`})
	}
	problems = append(problems, l.checkSocket(at)...)
	if (l.Cert == "") != (l.Key == "") {
		problems = append(problems, conf.Problem{Key: at + "cert", Value: strconv.Quote(l.Cert), Rule: "given together with key", Hint: "TLS needs both"})
	}
	if l.ClientCA != "" && l.Cert == "" {
		problems = append(problems, conf.Problem{Key: at + "client-ca", Value: strconv.Quote(l.ClientCA), Rule: "used only with cert and key", Hint: "client certificates need TLS"})
	}
	problems = append(problems, l.checkWebSocket(at)...)
	problems = append(problems, l.checkProxies(at)...)
	return append(problems, l.checkLimits(at)...)
}

const overWebSocket = "websocket"

func (l ListenerConfig) checkWebSocket(at string) []conf.Problem {
	var problems []conf.Problem
	bad := func(key, value, rule, hint string) {
		problems = append(problems, conf.Problem{Key: at + key, Value: value, Rule: rule, Hint: hint})
	}
	if l.Protocol != "" && l.Protocol != "mqtt" && l.Protocol != overWebSocket {
		bad("protocol", strconv.Quote(l.Protocol), `"mqtt" or "websocket"`, "TLS comes with cert and key")
	}
	if l.Path != "" && (!strings.HasPrefix(l.Path, "/") || strings.ContainsAny(l.Path, "?# ")) {
		bad("path", strconv.Quote(l.Path), "an absolute path of a URL", `for example "/mqtt"`)
	}
	for _, o := range l.Origins {
		page, err := url.Parse(o)
		if o != "*" && o != "null" && (err != nil || page.Host == "" || page.Scheme+"://"+page.Host != o) {
			bad("origins", strconv.Quote(o), `scheme and host of a page, "null" or "*"`, `without a path: "https://panel.example.com"`)
		}
	}
	if l.Protocol != overWebSocket && (l.Path != "" || len(l.Origins) > 0) {
		bad("path", strconv.Quote(l.Path), `left out, as origins, unless protocol = "websocket"`, "")
	}
	return problems
}

func (l ListenerConfig) checkLimits(at string) []conf.Problem {
	var problems []conf.Problem
	num, size, span := ranges(&problems)
	num(at+"connections", l.Connections, 0, many)
	num(at+"connections-per-address", l.ConnectionsPerAddr, 0, many)
	num(at+"connects-per-second", l.ConnectsPerSecond, 0, many)
	if l.MaxPacket != 0 {
		size(at+"max-packet", l.MaxPacket, leastPacket, mostPacket)
	}
	if l.ConnectTimeout != 0 {
		span(at+"connect-timeout", l.ConnectTimeout, leastDeadline, 10*time.Minute)
	}
	if l.TLSTimeout != 0 {
		span(at+"tls-timeout", l.TLSTimeout, leastDeadline, 10*time.Minute)
	}
	if l.TLSTimeout != 0 && l.Cert == "" {
		problems = append(problems, conf.Problem{Key: at + "tls-timeout", Value: l.TLSTimeout.String(), Rule: "used only with cert and key", Hint: "connect-timeout holds for all listeners"})
	}
	return problems
}

// The ranges of limits that a listener may have for itself.
const (
	leastPacket   = 128
	mostPacket    = 256 << 20
	leastDeadline = 50 * time.Millisecond
)

func port0(bind string) bool {
	_, port, _ := net.SplitHostPort(bind)
	return port == "0"
}
