package uplink

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"tidegate/internal/conf"
	"tidegate/internal/topic"
)

// Check returns everything wrong with c. Keys are relative to the [[uplink]].
func (c Config) Check() []conf.Problem {
	p := problems{}
	if c.Name == "" || strings.ContainsFunc(c.Name, func(r rune) bool { return !nameRune(r) }) || c.Name[0] == '.' {
		p.add("name", quote(c.Name), "letters, digits, '.', '-' and '_', not beginning with '.'", "it names a folder of the data directory")
	}
	c.checkEndpoints(&p)
	p.within("links", int64(c.Links), 1, 16)
	c.checkClient(&p)
	c.checkFiles(&p)
	p.lasting("resolve-every", c.ResolveEvery, time.Second, 24*time.Hour)
	c.checkDNSServer(&p)
	c.checkProxy(&p)
	if c.RateLimit != 0 {
		p.size("rate-limit", c.RateLimit, 256, 1<<30)
		p.unless("rate-limit", "0B for no limit")
	}
	p.lasting("keepalive", c.KeepAlive, time.Second, 18*time.Hour)
	p.lasting("connect-timeout", c.ConnectTimeout, 100*time.Millisecond, 5*time.Minute)
	p.lasting("ack-timeout", c.AckTimeout, 100*time.Millisecond, 10*time.Minute)
	p.lasting("patience", c.Patience, time.Second, 24*time.Hour)
	p.lasting("reconnect-max", c.ReconnectMax, 100*time.Millisecond, time.Hour)
	if after := c.StableAfter.Std(); after != 0 {
		p.lasting("stable-after", c.StableAfter, 100*time.Millisecond, 24*time.Hour)
		p.unless("stable-after", "0s for links that never return")
	}
	p.lasting("drain-timeout", c.DrainTimeout, 0, time.Minute)
	p.lasting("session-expiry", c.SessionExpiry, time.Second, 1<<31*time.Second)
	p.within("in-flight", int64(c.InFlight), 1, 16384)
	p.size("in-flight-bytes", c.InFlightBytes, 1<<10, 1<<30)
	p.size("max-packet", c.MaxPacket, 1<<10, 256<<20)
	p.within("down-in-flight", int64(c.DownInFlight), 1, 65535)
	p.lasting("wait-for-devices", c.WaitForDevices, 0, time.Hour)
	if !slices.Contains(placements, c.Placement) {
		p.add("placement", quote(c.Placement), strings.Join(placements, ", "), "")
	}
	c.checkWeights(&p)
	p.within("pause-after", int64(c.PauseAfter), 1, 1_000_000)
	p.lasting("pause-for", c.PauseFor, time.Second, 24*time.Hour)
	c.checkRedirect(&p)
	c.checkOwn(&p)
	c.checkRoutes(&p)
	for _, q := range c.Spool.Check() {
		q.Key = "spool." + q.Key
		p = append(p, q)
	}
	return p
}

func (c Config) checkClient(p *problems) {
	if c.SingleClient {
		c.checkSingle(p)
		return
	}
	if len(c.ClientID) > MaxClientID-3 || strings.ContainsFunc(c.ClientID, func(r rune) bool { return !nameRune(r) }) {
		p.add("client-id", quote(c.ClientID), fmt.Sprintf("at most %d letters, digits, '.', '-' and '_'", MaxClientID-3), "load balancers compare the first 32 bytes of a client id")
	}
}

func (c Config) checkOwn(p *problems) {
	prefix := strings.ReplaceAll(c.Prefix, "%g", "g")
	if prefix != "" && (!topic.ValidName(prefix) || strings.HasPrefix(prefix, "$") || strings.HasSuffix(prefix, "/") || len(prefix) > 256) {
		p.add("prefix", quote(c.Prefix), "a topic without + or #, at most 256 bytes, not beginning with $ nor ending with /", "PREFIX/status and PREFIX/canary are put behind it; %g stands for the gateway's id")
	}
	p.lasting("offline-after", c.OfflineAfter, 0, time.Hour)
	p.lasting("canary-every", c.CanaryEvery, time.Second, time.Hour)
}

func (c Config) checkEndpoints(p *problems) {
	if len(c.Endpoints) == 0 {
		p.add("endpoints", "[]", "a list of at least one URL", `for example endpoints = ["mqtts://node1.example.com:8883"]`)
	}
	named := map[endpoint]bool{}
	for i, text := range c.Endpoints {
		key := fmt.Sprintf("endpoints[%d]", i)
		e, err := parseEndpoint(text)
		if err != nil {
			p.add(key, quote(redact(text)), endpointRule, err.Error())
			continue
		}
		if e.url = ""; named[e] {
			p.add(key, quote(redact(text)), "named once", "take the repetition out; links of one gateway sit on distinct endpoints")
		}
		named[e] = true
	}
}

func (c Config) checkDNSServer(p *problems) {
	host, _, err := net.SplitHostPort(c.DNSServer)
	if err != nil {
		host = strings.Trim(c.DNSServer, "[]")
	}
	if c.DNSServer != "" && !literal(host) {
		p.add("dns-server", quote(c.DNSServer), "an address such as 192.0.2.53 or 192.0.2.53:53", "a name would need another name server to be found")
	}
}

func (c Config) checkWeights(p *problems) {
	value := fmt.Sprint(c.Weights)
	switch {
	case len(c.Weights) == 0:
		return
	case len(c.Weights) != len(c.Endpoints):
		p.add("weights", value, fmt.Sprintf("one number for each of the %d endpoints", len(c.Endpoints)), "in the order of endpoints")
	case c.Placement != Weighted:
		p.add("weights", value, `given with placement = "weighted" only`, "the other placements know no weights")
	}
	for i, w := range c.Weights {
		if w < 1 || w > 65535 {
			p.add(fmt.Sprintf("weights[%d]", i), strconv.Itoa(w), "from 1 to 65535", "take an endpoint off the list to give it nothing")
		}
	}
}

func (c Config) checkProxy(p *problems) {
	const rule = `http://[user@]host[:port], https://..., "none", or "" for the environment's`
	if c.Proxy == "" || c.Proxy == noProxy {
		if c.ProxyPasswordFile != "" {
			p.add("proxy", quote(c.Proxy), "given when proxy-password-file is", `for example proxy = "http://gateway@proxy.example.com:3128"`)
		}
		return
	}
	u, err := url.Parse(c.Proxy)
	switch {
	case err != nil:
		p.add("proxy", quote("..."), rule, "it is not a URL") // it may hold a password
	case checkProxy(u) != nil:
		p.add("proxy", quote(redact(c.Proxy)), rule, checkProxy(u).Error())
	case u.Path != "" && u.Path != "/" || u.RawQuery != "":
		p.add("proxy", quote(redact(c.Proxy)), rule, "a proxy has no path: take it off")
	default:
		if _, given := u.User.Password(); given {
			p.add("proxy", quote(redact(c.Proxy)), rule, "put the password into proxy-password-file")
		} else if (u.User.Username() == "") != (c.ProxyPasswordFile == "") {
			p.add("proxy", quote(c.Proxy), "with a user when there is a proxy-password-file, and without when there is none", "")
		}
	}
}

// redact hides what somebody wrote as user, password or query into a URL.
func redact(s string) string {
	if u, err := url.Parse(s); err == nil {
		if u.RawQuery != "" {
			u.RawQuery = "***"
		}
		return u.Redacted()
	}
	return s
}

func (c Config) checkFiles(p *problems) {
	for _, f := range []struct{ key, path string }{
		{"password-file", c.PasswordFile}, {"ca-file", c.CAFile}, {"cert-file", c.CertFile}, {"key-file", c.KeyFile},
		{"proxy-password-file", c.ProxyPasswordFile},
	} {
		if f.path == "" {
			continue
		}
		if file, err := os.Open(f.path); err != nil {
			p.add(f.key, quote(f.path), "a file that the gateway can read", err.Error())
		} else {
			file.Close()
		}
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		p.add("cert-file", quote(c.CertFile), "given together with key-file", "a client certificate needs its private key")
	}
	if c.PasswordFile != "" && c.User == "" {
		p.add("user", quote(c.User), "given when password-file is", "the cloud wants to know whose password it is")
	}
	if len(*p) > 0 {
		return
	}
	for i, name := range c.ALPN {
		if name == "" || len(name) > 255 {
			p.add(fmt.Sprintf("alpn[%d]", i), quote(name), "the name of a protocol", `most clouds that want one call it "mqtt"`)
		}
	}
	if _, err := c.roots(); err != nil {
		p.add("ca-file", quote(c.CAFile), "certificates in PEM", err.Error())
	}
	if _, err := c.pair(); err != nil {
		p.add("cert-file", quote(c.CertFile), "a certificate in PEM that fits key-file", err.Error())
	}
}

func (c Config) checkRoutes(p *problems) {
	if len(c.Up)+len(c.Down) == 0 {
		p.add("up", "[]", "at least one route, [[uplink.up]] or [[uplink.down]]", `for example [[uplink.up]] with filter = "#"`)
	}
	for i, r := range c.Up {
		key := fmt.Sprintf("up[%d].", i)
		p.route(key, r.Filter, r.Strip, r.Add, r.QoS, r.Retain)
		if _, ok := classes[r.Class]; !ok {
			p.add(key+"class", quote(r.Class), "urgent, normal or bulk", "")
		}
	}
	for i, r := range c.Down {
		p.route(fmt.Sprintf("down[%d].", i), r.Filter, r.Strip, r.Add, r.QoS, r.Retain)
	}
	if c.LoopGuard || len(*p) > 0 {
		return
	}
	for i, d := range c.Down {
		for j, u := range c.Up {
			up, down := remap{u.Strip, u.Add}, remap{d.Strip, d.Add}
			if overlap(up.filter(u.Filter), d.Filter) && overlap(u.Filter, down.filter(d.Filter)) {
				p.add(fmt.Sprintf("down[%d].filter", i), quote(d.Filter), fmt.Sprintf("apart from up[%d] (%s)", j, u.Filter),
					"what goes up would come down and go up again: change a prefix, or set loop-guard = true")
			}
		}
	}
}

type problems []conf.Problem

func (p *problems) add(key, value, rule, hint string) {
	*p = append(*p, conf.Problem{Key: key, Value: value, Rule: rule, Hint: hint})
}

func (p *problems) within(key string, v, lo, hi int64) {
	if v < lo || v > hi {
		p.add(key, strconv.FormatInt(v, 10), fmt.Sprintf("from %d to %d", lo, hi), "")
	}
}

func (p *problems) lasting(key string, v conf.Duration, lo, hi time.Duration) {
	if v.Std() < lo || v.Std() > hi {
		p.add(key, v.String(), fmt.Sprintf("from %v to %v", lo, hi), "")
	}
}

func (p *problems) size(key string, v, lo, hi conf.Size) {
	if v < lo || v > hi {
		p.add(key, v.String(), fmt.Sprintf("from %v to %v", lo, hi), "")
	}
}

// unless adds the value that is allowed besides the range, if key was the last
// found wrong.
func (p problems) unless(key, besides string) {
	if n := len(p) - 1; n >= 0 && p[n].Key == key {
		p[n].Rule += ", or " + besides
	}
}

func (p *problems) route(key, filter, strip, add string, qos *int, retain string) {
	if strings.HasPrefix(filter, "$share/") || !topic.ValidFilter(filter) {
		p.add(key+"filter", quote(filter), "a topic filter such as home/+/temperature or home/#", "shared subscriptions are not routes")
	}
	plain, _, _ := strings.Cut(filter, "#")
	plain, _, _ = strings.Cut(plain, "+")
	if !strings.HasPrefix(plain, strip) {
		p.add(key+"strip", quote(strip), "the beginning of the filter, before any wildcard", fmt.Sprintf("the filter is %q", filter))
	}
	if add != "" && (!topic.ValidName(add) || len(add) > 1024) {
		p.add(key+"add", quote(add), "a prefix without + or #, at most 1024 bytes", "end it with / to begin a level")
	}
	if qos != nil && *qos != 0 && *qos != 1 {
		hint := ""
		if *qos == 2 {
			hint = "QoS 2 crosses the uplink as QoS 1 with the message's id; take 1"
		}
		p.add(key+"qos", strconv.Itoa(*qos), "0 or 1", hint)
	}
	if retain != "" && retain != "keep" && retain != "clear" {
		p.add(key+"retain", quote(retain), "keep or clear", "")
	}
}

func quote(s string) string { return strconv.Quote(s) }

func nameRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_'
}
