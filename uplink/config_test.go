package uplink

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func good() Config {
	c := DefaultConfig()
	c.Endpoints = []string{"mqtt://a", "mqtts://b:8884"}
	c.Up = []Up{{Filter: "home/#", Strip: "home/", Add: "x/"}}
	return c
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	two := 2
	for _, c := range []struct {
		name   string
		change func(*Config)
		key    string
	}{
		{"nothing", func(*Config) {}, ""},
		{"no endpoints", func(c *Config) { c.Endpoints = nil }, "endpoints"},
		{"scheme", func(c *Config) { c.Endpoints[1] = "http://x" }, "endpoints[1]"},
		{"all schemes", func(c *Config) {
			c.Endpoints = []string{"mqtt://x", "mqtts://x", "ws://x/y", "wss://x:1/", "mqtt+srv://x", "mqtts+srv://x", "mqtt://[::1]:5"}
		}, ""},
		{"path without WebSocket", func(c *Config) { c.Endpoints[1] = "mqtts://x/mqtt" }, "endpoints[1]"},
		{"query", func(c *Config) { c.Endpoints[1] = "wss://x/mqtt?token=secret@" }, "endpoints[1]"},
		{"SRV with a port", func(c *Config) { c.Endpoints[1] = "mqtt+srv://x:1883" }, "endpoints[1]"},
		{"SRV of an address", func(c *Config) { c.Endpoints[1] = "mqtt+srv://192.0.2.1" }, "endpoints[1]"},
		{"SRV of a WebSocket", func(c *Config) { c.Endpoints[1] = "ws+srv://x" }, "endpoints[1]"},
		{"port", func(c *Config) { c.Endpoints[1] = "mqtt://x:70000" }, "endpoints[1]"},
		{"password in the URL", func(c *Config) { c.Endpoints[1] = "mqtt://me:secret@x" }, "endpoints[1]"},
		{"no host", func(c *Config) { c.Endpoints[1] = "mqtt://:1883" }, "endpoints[1]"},
		{"twice", func(c *Config) { c.Endpoints[1] = c.Endpoints[0] }, "endpoints[1]"},
		{"twice, with the port", func(c *Config) { c.Endpoints[1] = "tcp://A:1883" }, "endpoints[1]"},
		{"resolve-every", func(c *Config) { c.ResolveEvery = 5 }, "resolve-every"},
		{"dns-server by name", func(c *Config) { c.DNSServer = "dns.example.com" }, "dns-server"},
		{"dns-server", func(c *Config) { c.DNSServer = "[::1]:5353" }, ""},
		{"rate-limit", func(c *Config) { c.RateLimit = 5 }, "rate-limit"},
		{"alpn", func(c *Config) { c.ALPN = []string{"mqtt", ""} }, "alpn[1]"},
		{"no proxy", func(c *Config) { c.Proxy = "none" }, ""},
		{"proxy", func(c *Config) { c.Proxy = "https://x" }, ""},
		{"proxy with a user", func(c *Config) { c.Proxy, c.ProxyPasswordFile = "http://u@x:3128", secret }, ""},
		{"SOCKS proxy", func(c *Config) { c.Proxy = "socks5://x:1080" }, "proxy"},
		{"proxy with a path", func(c *Config) { c.Proxy = "http://x/y" }, "proxy"},
		{"proxy without scheme", func(c *Config) { c.Proxy = "x:3128" }, "proxy"},
		{"proxy with a password", func(c *Config) { c.Proxy = "http://u:secret@x" }, "proxy"},
		{"proxy that is no URL", func(c *Config) { c.Proxy = "http://u:secret@[x" }, "proxy"},
		{"proxy with a user only", func(c *Config) { c.Proxy = "http://u@x" }, "proxy"},
		{"proxy password without a proxy", func(c *Config) { c.ProxyPasswordFile = secret }, "proxy"},
		{"proxy password without a user", func(c *Config) { c.Proxy, c.ProxyPasswordFile = "http://x", secret }, "proxy"},
		{"name", func(c *Config) { c.Name = "../x" }, "name"},
		{"links", func(c *Config) { c.Links = 0 }, "links"},
		{"long client id", func(c *Config) { c.ClientID = strings.Repeat("x", 30) }, "client-id"},
		{"password file", func(c *Config) { c.User, c.PasswordFile = "u", "/nowhere/x" }, "password-file"},
		{"password without user", func(c *Config) { c.PasswordFile = secret }, "user"},
		{"key without certificate", func(c *Config) { c.KeyFile = secret }, "cert-file"},
		{"no certificate in it", func(c *Config) { c.KeyFile, c.CertFile = secret, secret }, "cert-file"},
		{"no ca in it", func(c *Config) { c.CAFile = secret }, "ca-file"},
		{"keepalive", func(c *Config) { c.KeepAlive = 5 }, "keepalive"},
		{"in-flight", func(c *Config) { c.InFlight = 0 }, "in-flight"},
		{"in-flight-bytes", func(c *Config) { c.InFlightBytes = 5 }, "in-flight-bytes"},
		{"down-in-flight", func(c *Config) { c.DownInFlight = 0 }, "down-in-flight"},
		{"wait-for-devices", func(c *Config) { c.WaitForDevices = -1 }, "wait-for-devices"},
		{"single client", func(c *Config) { c.SingleClient, c.Links = true, 1 }, ""},
		{"single client, its cloud's id", func(c *Config) {
			c.SingleClient, c.Links, c.ClientID = true, 1, "thing:$"+strings.Repeat("x", 100)
		}, ""},
		{"single client, two links", func(c *Config) { c.SingleClient = true }, "links"},
		{"single client, bad id", func(c *Config) { c.SingleClient, c.Links, c.ClientID = true, 1, "a b" }, "client-id"},
		{"placement", func(c *Config) { c.Placement = "fair" }, "placement"},
		{"weights", func(c *Config) { c.Placement, c.Weights = Weighted, make([]int, len(c.Endpoints)); fill(c.Weights, 3) }, ""},
		{"weights, too many", func(c *Config) { c.Placement, c.Weights = Weighted, make([]int, 9); fill(c.Weights, 1) }, "weights"},
		{"weights, sticky", func(c *Config) { c.Placement, c.Weights = Sticky, make([]int, len(c.Endpoints)); fill(c.Weights, 1) }, "weights"},
		{"weights, zero", func(c *Config) { c.Placement, c.Weights = Weighted, make([]int, len(c.Endpoints)); c.Weights[1] = 1 }, "weights[0]"},
		{"stable-after", func(c *Config) { c.StableAfter = 1 }, "stable-after"},
		{"stable-after, never", func(c *Config) { c.StableAfter = 0 }, ""},
		{"no routes", func(c *Config) { c.Up = nil }, "up"},
		{"filter", func(c *Config) { c.Up[0].Filter = "home/#/x" }, "up[0].filter"},
		{"shared", func(c *Config) { c.Down = []Down{{Filter: "$share/g/x"}} }, "down[0].filter"},
		{"strip", func(c *Config) { c.Up[0].Strip = "away/" }, "up[0].strip"},
		{"strip over a wildcard", func(c *Config) { c.Up[0].Filter, c.Up[0].Strip = "a/+/b", "a/x" }, "up[0].strip"},
		{"add", func(c *Config) { c.Up[0].Add = "x/#" }, "up[0].add"},
		{"qos", func(c *Config) { c.Up[0].QoS = &two }, "up[0].qos"},
		{"retain", func(c *Config) { c.Up[0].Retain = "maybe" }, "up[0].retain"},
		{"class", func(c *Config) { c.Up[0].Class = "first" }, "up[0].class"},
		{"loop, guarded", func(c *Config) { c.Down = []Down{{Filter: "x/#", Strip: "x/", Add: "home/"}} }, ""},
		{"loop", func(c *Config) { c.LoopGuard, c.Down = false, []Down{{Filter: "x/#", Strip: "x/", Add: "home/"}} }, "down[0].filter"},
		{"no loop", func(c *Config) { c.LoopGuard, c.Down = false, []Down{{Filter: "x/#", Strip: "x/", Add: "away/"}} }, ""},
	} {
		cfg := good()
		c.change(&cfg)
		var keys []string
		for _, p := range cfg.Check() {
			keys = append(keys, p.Key)
			if p.Value == "" || p.Rule == "" || strings.Contains(p.String(), "secret@") {
				t.Errorf("%s: got %q", c.name, p)
			}
		}
		var want []string
		if c.key != "" {
			want = []string{c.key}
		}
		if !slices.Equal(keys, want) {
			t.Errorf("%s: got problems with %v, want %v", c.name, keys, want)
		}
	}
}

func fill(list []int, v int) {
	for i := range list {
		list[i] = v
	}
}
