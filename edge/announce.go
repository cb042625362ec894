package edge

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"tidegate/edge/internal/mdns"
	"tidegate/internal/conf"
)

// MDNSConfig says what the home's network is told (mDNS and DNS-SD).
type MDNSConfig struct {
	// Enabled: the host name, and a service for each listener that others can
	// reach: _mqtt._tcp or _secure-mqtt._tcp; and _http._tcp for the page.
	Enabled bool `toml:"enabled"`

	// Host is told as HOST.local; HOST-2.local and so on when another machine has
	// it. Empty: the machine's own name.
	Host string `toml:"host"`

	// Name is what people see in a list of services. Empty: "Tidegate on" and the
	// machine's name.
	Name string `toml:"name"`
}

var hostLabel = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,56}[A-Za-z0-9])?$`)

// Check returns every problem of c.
func (c MDNSConfig) Check() []conf.Problem {
	var problems []conf.Problem
	if c.Host != "" && !hostLabel.MatchString(c.Host) {
		problems = append(problems, conf.Problem{Key: "host", Value: strconv.Quote(c.Host), Rule: "a name of at most 58 letters, digits and -", Hint: `without ".local", which is added`})
	}
	if len(c.Name) > 48 || strings.ContainsAny(c.Name, ".\x00\n") {
		problems = append(problems, conf.Problem{Key: "name", Value: strconv.Quote(c.Name), Rule: "at most 48 bytes without a dot", Hint: `for example "Lights of the pump house"`})
	}
	return problems
}

// announceAgain is how long after a failure the network is told again.
const announceAgain = time.Minute

// announce tells the network of the broker until ctx ends.
func (b *Broker) announce(ctx context.Context) {
	failed := false
	for ctx.Err() == nil {
		opt, any := b.announced()
		if !any {
			select {
			case <-ctx.Done():
			case <-b.reannounce:
			}
			continue
		}
		err := b.announceUntilChanged(ctx, opt)
		if err == nil {
			failed = false
			continue
		}
		if !failed {
			b.log.Warn("the network is not told of the broker", "after", announceAgain, "err", err)
		}
		failed = true
		select {
		case <-ctx.Done():
		case <-time.After(announceAgain):
		}
	}
}

// announceUntilChanged tells opt until something else is to be told.
func (b *Broker) announceUntilChanged(ctx context.Context, opt mdns.Options) error {
	r := mdns.New(opt)
	b.responder.Store(r)
	defer b.responder.Store(nil)
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	for {
		select {
		case err := <-ended:
			stop()
			return err
		case <-b.reannounce:
			if now, any := b.announced(); !any || told(now) != told(opt) {
				stop()
				return <-ended
			}
		}
	}
}

// told is all of opt that can be compared.
func told(opt mdns.Options) string { return fmt.Sprintf("%q %q %v", opt.Host, opt.Name, opt.Services) }

// LocalName is the name under which the network finds the broker, such as
// "tidegate.local"; empty when it is not told, or not yet.
func (b *Broker) LocalName() string {
	if r := b.responder.Load(); r != nil {
		return r.Host()
	}
	return ""
}

// OfferPage has the network told of a page of the gateway's, where others can
// reach it: _http._tcp with path=/ (RFC 6763). nil: there is none any more. A
// page in TLS sends those on who come in plain HTTP.
func (b *Broker) OfferPage(at net.Addr) {
	b.page.Store(&at)
	b.announceAnew()
}

func (b *Broker) announceAnew() {
	select {
	case b.reannounce <- struct{}{}:
	default:
	}
}

// announced returns what is to be told; false for nothing.
func (b *Broker) announced() (opt mdns.Options, any bool) {
	cfg := b.config().MDNS
	if !cfg.Enabled {
		return opt, false
	}
	machine, _ := os.Hostname()
	machine, _, _ = strings.Cut(machine, ".")
	machine = cmp.Or(machine, "tidegate")
	opt = mdns.Options{Host: cmp.Or(cfg.Host, machine), Name: cmp.Or(cfg.Name, "Tidegate on "+machine), Log: b.log}
	var text []string
	if b.opt.Gateway != "" {
		text = []string{"gateway=" + b.opt.Gateway}
	}
	system := systemServices("/run/systemd/dnssd", "/etc/systemd/dnssd")
	seen := map[string]bool{}
	if at := b.page.Load(); at != nil {
		s, reachable := serviceAt(*at)
		s.Type, s.Text = "_http._tcp", append([]string{"path=/"}, text...)
		if any = reachable; reachable && !system[fmt.Sprint(s.Type, " ", s.Port)] {
			opt.Services = append(opt.Services, s)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.listeners {
		s, reachable := l.service()
		any = any || reachable
		if !reachable || s.Type == "" || system[fmt.Sprint(s.Type, " ", s.Port)] {
			continue
		}
		if s.Text = text; seen[s.Type] {
			s.Name = fmt.Sprint(", port ", s.Port)
		}
		seen[s.Type] = true
		opt.Services = append(opt.Services, s)
	}
	return opt, any
}

// service is what a listener offers to others, if they can reach it, and not only
// a proxy; one without a type has no name in DNS-SD: MQTT in WebSockets.
func (l *listener) service() (s mdns.Service, reachable bool) {
	if l.ln == nil || len(l.terms.Load().cfg.Proxies) > 0 {
		return s, false
	}
	if s, reachable = serviceAt(l.ln.Addr()); !reachable {
		return s, false
	}
	switch t := l.terms.Load(); {
	case t.path != "":
	case t.tls != nil:
		s.Type = "_secure-mqtt._tcp"
	default:
		s.Type = "_mqtt._tcp"
	}
	return s, true
}

// serviceAt is something without a type yet that listens at an address, if others
// can reach that.
func serviceAt(addr net.Addr) (s mdns.Service, reachable bool) {
	at, ok := addr.(*net.TCPAddr)
	if !ok || at.IP.IsLoopback() {
		return s, false
	}
	s.Port = uint16(at.Port)
	if ip, ok := netip.AddrFromSlice(at.IP); ok && !ip.IsUnspecified() {
		s.Addr = ip.Unmap()
	}
	return s, true
}

// systemServices are those, as "type port", that systemd-resolved tells from its
// files: as on the SD-card image, where it has the host's name too.
func systemServices(folders ...string) map[string]bool {
	found := map[string]bool{}
	for _, folder := range folders {
		files, _ := filepath.Glob(filepath.Join(folder, "*.dnssd"))
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				continue
			}
			var kind, port string
			for line := range strings.Lines(string(text)) {
				if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && key == "Type" {
					kind = value
				} else if ok && key == "Port" {
					port = value
				}
			}
			found[kind+" "+port] = true
		}
	}
	return found
}
