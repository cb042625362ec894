package uplink

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"time"
)

// The outcomes of a step.
const (
	StepOK      = "ok"
	StepWarning = "warning" // the gateway works all the same
	StepSkipped = "skipped"
	StepFailed  = "failed" // the endpoint is of no use
)

// ProbeStep is one step on the way to an endpoint.
type ProbeStep struct {
	Endpoint string  `json:"endpoint"` // as configured, with the address when DNS gave it; "" for what concerns all
	Name     string  `json:"step"`     // files, dns, tcp or proxy, tls, websocket, connect, limits, subscribe, canary, publish
	Outcome  string  `json:"outcome"`  // StepOK and so on
	Fault    Fault   `json:"fault,omitempty"`
	Words    string  `json:"words"` // what happened
	Do       string  `json:"do"`    // what to do about it; "" when nothing is to be done
	Seconds  float64 `json:"seconds"`
}

// ProbeOptions say what a probe may do.
type ProbeOptions struct {
	Gateway   string // its id, as in Options
	TakeOver  bool   // with single-client: use the one client id, which ends the connection of a running gateway
	NoPublish bool   // send nothing to the topics of the up routes

	now func() time.Time // nil for the system's
}

// ProbeID is the client id that a probe of c connects with. It is none of the
// links', but with single-client, where it is the only one there is.
func (c Config) ProbeID(gateway string) string {
	id := or(c.ClientID, gateway)
	if c.SingleClient {
		return id
	}
	return id + "-test"
}

// Probe walks the whole way to each endpoint of cfg as a link does, with a
// client id of its own, and reports each step as it ends. It needs no running
// Uplink and leaves nothing in the cloud: a clean session, no will, messages
// that are not retained and expire. Well says that every endpoint is of use; an
// error, that cfg is not valid or ctx ended. Report is called by this goroutine.
//
// It publishes at QoS 1 a small message to "tidegate-test" below each up route
// that has a wildcard, unless NoPublish; subscribes as the down routes do; and
// sends itself a canary. With single-client and no TakeOver it ends before
// CONNECT.
func Probe(ctx context.Context, cfg Config, opt ProbeOptions, report func(ProbeStep)) (well bool, err error) {
	if err := check(cfg); err != nil {
		return false, err
	}
	if opt.now == nil {
		opt.now = time.Now
	}
	p := &probe{opt: opt, report: report, well: true}
	p.begin("", "files")
	if p.set, err = newSettings(cfg, opt.Gateway, opt.now); err != nil {
		p.failed(fault(FaultFiles, err))
		return false, nil
	}
	if _, err := cfg.password(); err != nil {
		p.failed(fault(FaultFiles, err))
		return false, nil
	}
	p.identity()
	for _, listed := range p.set.listed {
		for _, e := range p.resolve(ctx, listed) {
			if ctx.Err() == nil {
				p.walk(ctx, e)
			}
		}
	}
	return p.well, context.Cause(ctx)
}

// probe is one run of Probe.
type probe struct {
	opt    ProbeOptions
	set    *settings
	report func(ProbeStep)
	well   bool
	step   ProbeStep // the present one
	began  time.Time
}

func (p *probe) begin(endpoint, name string) {
	p.step, p.began = ProbeStep{Endpoint: endpoint, Name: name}, time.Now()
}

func (p *probe) end(outcome, words, do string) {
	p.step.Outcome, p.step.Words, p.step.Do = outcome, words, do
	p.step.Seconds = time.Since(p.began).Seconds()
	p.well = p.well && outcome != StepFailed
	p.report(p.step)
}

func (p *probe) ok(words string) { p.end(StepOK, words, "") }

func (p *probe) warn(kind Fault, words, do string) {
	p.step.Fault = kind
	p.end(StepWarning, words, do)
}

// failed ends the step with an error: the advice is the table's.
func (p *probe) failed(err error) {
	p.step.Fault = faultOf(err)
	words := err.Error()
	switch p.step.Fault {
	case FaultRefused:
		words = fmt.Sprintf("the machine is there, and nobody listens on that port (%s)", words)
	case FaultUnreachable:
		words = fmt.Sprintf("there is no way to that address from here (%s)", words)
	}
	p.end(StepFailed, words, remedies[p.step.Fault])
}

// soon is how near the end of a certificate is worth a word.
const soon = 14 * 24 * time.Hour

// identity says who the gateway is.
func (p *probe) identity() {
	c, now := p.set.cfg, p.opt.now()
	words := "no user and no certificate: the cloud must let anybody in"
	if c.User != "" {
		words = fmt.Sprintf("user %q", c.User)
		if c.PasswordFile == "" {
			words += ", without a password"
		}
	}
	if len(p.set.trust.pair) == 0 {
		p.ok(words)
		return
	}
	leaf, err := x509.ParseCertificate(p.set.trust.pair[0].Certificate[0])
	if err != nil {
		p.failed(fault(FaultFiles, fmt.Errorf("read cert-file: %w", err)))
		return
	}
	if c.User == "" {
		words = "no user"
	}
	words += fmt.Sprintf(", certificate of %q, issued by %q, %s", leaf.Subject.CommonName, leaf.Issuer.CommonName, daysLeft(leaf, now))
	if left := leaf.NotAfter.Sub(now); left < soon || now.Before(leaf.NotBefore) {
		p.warn(FaultOwnCertificate, words, remedies[FaultOwnCertificate])
		return
	}
	p.ok(words)
}

// daysLeft says how long a certificate is valid.
func daysLeft(c *x509.Certificate, now time.Time) string {
	switch left := c.NotAfter.Sub(now); {
	case left < 0:
		return "expired on " + date(c.NotAfter)
	case now.Before(c.NotBefore):
		return "not valid before " + date(c.NotBefore)
	case left < 48*time.Hour:
		return "valid until " + date(c.NotAfter)
	default:
		return fmt.Sprintf("%d days left", left/(24*time.Hour))
	}
}

// mostWalks bounds the addresses of one name that are walked to.
const mostWalks = 8

// resolve asks DNS as the links do. Nil: there is nowhere to go.
func (p *probe) resolve(ctx context.Context, e endpoint) []endpoint {
	if !e.lookup {
		return []endpoint{e}
	}
	p.begin(e.url, "dns")
	all, err := lookupPatiently(ctx, p.set.cfg.resolver(), e, p.set.way)
	if err != nil {
		p.failed(err)
		return nil
	}
	words := ""
	for i, a := range all {
		if i > 0 {
			words += ", "
		}
		if host, _, err := net.SplitHostPort(a.host); err == nil && !e.srv {
			words += host
		} else {
			words += a.host
		}
	}
	if len(all) > mostWalks {
		words += fmt.Sprintf("; the first %d are tried", mostWalks)
	}
	p.ok(words)
	return all[:min(len(all), mostWalks)]
}

// walk goes the way to one endpoint until a step fails.
func (p *probe) walk(ctx context.Context, e endpoint) {
	nc := p.reach(ctx, e)
	if nc == nil {
		return
	}
	if p.set.cfg.SingleClient && !p.opt.TakeOver {
		nc.Close()
		p.begin(e.url, "connect")
		p.end(StepSkipped, fmt.Sprintf("single-client: the cloud knows one client id, %q, and the running gateway has it", p.set.cfg.ProbeID(p.opt.Gateway)),
			"stop the gateway and test again, or let the test take its place for a moment: -take-over")
		return
	}
	p.converse(ctx, e, nc)
}

// reach opens what lies below MQTT. Nil: a step failed.
func (p *probe) reach(ctx context.Context, e endpoint) net.Conn {
	ctx, cancel := context.WithTimeout(ctx, p.set.cfg.ConnectTimeout.Std())
	defer cancel()
	through, _ := p.set.way(e.host)
	p.begin(e.url, "tcp")
	if through != nil {
		p.begin(e.url, "proxy")
	}
	nc, err := p.set.carry(ctx, e.host)
	if err != nil {
		p.failed(err)
		return nil
	}
	if through != nil {
		p.ok(fmt.Sprintf("the proxy %s opens the way to %s", through.Redacted(), e.host))
	} else {
		p.ok(fmt.Sprintf("connected to %s", nc.RemoteAddr()))
	}
	if e.tls {
		if nc = p.secure(ctx, e, nc); nc == nil {
			return nil
		}
	}
	if e.path == "" {
		return nc
	}
	p.begin(e.url, "websocket")
	if nc, err = openWebSocket(ctx, nc, e); err != nil {
		p.failed(err)
		return nil
	}
	p.ok("opened at " + e.path)
	return nc
}

// again opens another connection like the one whose step failed, to see what is
// there. Nil: there is none to be had.
func (p *probe) again(ctx context.Context, e endpoint) net.Conn {
	nc, err := p.set.dial(ctx, e)
	if err != nil {
		return nil
	}
	return nc
}
