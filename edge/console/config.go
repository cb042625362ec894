package console

import (
	"cmp"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"tidegate/edge/internal/certs"
	"tidegate/internal/conf"
)

// Config is the section [console].
type Config struct {
	// Bind is host:port, or :port for every address. Empty: no console.
	Bind string `toml:"bind"`

	// Cert and Key are paths of PEM files; both make it HTTPS.
	Cert string `toml:"cert"`
	Key  string `toml:"key"`

	// Allow lists the networks and addresses from which people may come:
	// "192.168.1.0/24", "private", "all".
	Allow []string `toml:"allow"`

	// Hosts are names under which the gateway is called, besides IP addresses and
	// names that nobody can own on the internet: "gateway.example.com".
	Hosts []string `toml:"hosts"`

	// Metrics says who may read /metrics: "open", "login" or "off".
	Metrics string `toml:"metrics"`

	// Session is how long a log-in lasts at most, Idle how long unused.
	Session conf.Duration `toml:"session"`
	Idle    conf.Duration `toml:"idle"`
}

// DefaultConfig is what an empty section means.
func DefaultConfig() Config {
	return Config{
		Bind: ":8080", Allow: []string{private}, Hosts: []string{}, Metrics: metricsOpen,
		Session: conf.Duration(7 * 24 * time.Hour), Idle: conf.Duration(24 * time.Hour),
	}
}

// Words that stand for networks.
const (
	private    = "private"
	everywhere = "all"
)

// Who may read the numbers: whoever may come, who has a role, nobody.
const (
	metricsOpen  = "open"
	metricsLogin = "login"
	metricsOff   = "off"
)

// Check returns everything wrong with c but for what is in its files.
func (c Config) Check() []conf.Problem {
	var problems []conf.Problem
	bad := func(key, value, rule, hint string) {
		problems = append(problems, conf.Problem{Key: key, Value: value, Rule: rule, Hint: hint})
	}
	_, port, err := net.SplitHostPort(c.Bind)
	if n, e := strconv.Atoi(port); c.Bind != "" && (err != nil || e != nil || n < 0 || n > 65535) {
		bad("bind", strconv.Quote(c.Bind), "host:port, :port for every address, or empty for no console", `for example ":8080"`)
	}
	if (c.Cert == "") != (c.Key == "") {
		bad("cert", strconv.Quote(c.Cert), "given together with key", "HTTPS needs both")
	}
	for _, text := range c.Allow {
		if _, err := parseNetwork(text); err != nil && text != private && text != everywhere {
			bad("allow", strconv.Quote(text), `"private", "all", an address, or a network such as "192.168.1.0/24"`, "")
		}
	}
	if len(c.Allow) == 0 {
		bad("allow", "[]", "a list with at least one network", `to switch the console off: bind = ""`)
	}
	for _, h := range c.Hosts {
		if h == "" || strings.ContainsAny(h, "/:*@ ") {
			bad("hosts", strconv.Quote(h), "names without scheme and port", `for example "gateway.example.com"`)
		}
	}
	if c.Metrics != metricsOpen && c.Metrics != metricsLogin && c.Metrics != metricsOff {
		bad("metrics", strconv.Quote(c.Metrics), `"open", "login" or "off"`, `"login" asks programs for the name and password of a user with a role in the console`)
	}
	for _, d := range []struct {
		key string
		is  conf.Duration
	}{{"session", c.Session}, {"idle", c.Idle}} {
		if d.is.Std() < time.Minute || d.is.Std() > 366*24*time.Hour {
			bad(d.key, d.is.String(), "1m to 366d", "")
		}
	}
	return problems
}

// CheckFiles returns what is wrong with the certificate.
func (c Config) CheckFiles() []conf.Problem {
	if c.Bind == "" || c.Cert == "" || c.Key == "" {
		return nil
	}
	_, err := certs.New(c.Cert, c.Key, "", slog.New(slog.DiscardHandler))
	if pair, e := certs.Pair(c.Cert, c.Key); e == nil {
		err = cmp.Or(err, certs.Expired(c.Cert, pair))
	}
	if err == nil {
		return nil
	}
	return []conf.Problem{{Key: "cert", Value: strconv.Quote(c.Cert), Rule: "a certificate that can be used", Hint: err.Error()}}
}

func parseNetwork(text string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	return p.Masked(), err
}
