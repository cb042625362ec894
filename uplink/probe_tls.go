package uplink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
)

// secure is the step of TLS. Nil: it failed.
func (p *probe) secure(ctx context.Context, e endpoint, nc net.Conn) net.Conn {
	p.begin(e.url, "tls")
	safe, err := p.set.secure(ctx, nc, e.name)
	if err != nil {
		p.failed(p.shownInstead(ctx, e, err))
		return nil
	}
	state := safe.(*tls.Conn).ConnectionState()
	leaf, now := state.PeerCertificates[0], p.opt.now()
	words := fmt.Sprintf("%s, %s", tls.VersionName(state.Version), certificateWords(leaf))
	if state.NegotiatedProtocol != "" {
		words += ", protocol " + state.NegotiatedProtocol
	}
	words += ", " + daysLeft(leaf, now)
	if leaf.NotAfter.Sub(now) < soon {
		p.warn(FaultExpired, words, "it must be renewed there before that day")
		return safe
	}
	p.ok(words)
	return safe
}

// certificateWords say whose a certificate is.
func certificateWords(c *x509.Certificate) string {
	names := c.DNSNames
	for _, a := range c.IPAddresses {
		names = append(names[:len(names):len(names)], a.String())
	}
	if len(names) == 0 {
		names = []string{c.Subject.CommonName}
	}
	if len(names) > 4 {
		names = append(names[:4:4], fmt.Sprintf("%d more", len(names)-4))
	}
	issuer := c.Issuer.CommonName
	if issuer == "" {
		issuer = strings.Join(c.Issuer.Organization, " ")
	}
	if c.Subject.String() == c.Issuer.String() {
		return fmt.Sprintf("certificate for %s, signed by itself", strings.Join(names, ", "))
	}
	return fmt.Sprintf("certificate for %s, issued by %q", strings.Join(names, ", "), issuer)
}

// shownInstead adds to a failed handshake what the other side showed instead.
func (p *probe) shownInstead(ctx context.Context, e endpoint, err error) error {
	var record tls.RecordHeaderError
	var verify *tls.CertificateVerificationError
	switch kind := faultOf(err); {
	case errors.As(err, &record) && string(record.RecordHeader[:]) == "HTTP/":
		return fault(FaultHTTP, errors.New("an HTTP server answers there, without TLS: a log-in page of this network, a proxy, or another service"))
	case errors.As(err, &record):
		return fault(FaultNoTLS, errors.New("what answers there does not speak TLS"))
	case errors.As(err, &verify) && kind == FaultUntrusted && len(verify.UnverifiedCertificates) > 0:
		return p.untrusted(e, verify)
	case kind == FaultNoNode && p.speaksPlain(ctx, e):
		return fault(FaultNoTLS, errors.New("MQTT without TLS is spoken there"))
	}
	return err
}

// untrusted says whose certificate is not believed, and why.
func (p *probe) untrusted(e endpoint, why *tls.CertificateVerificationError) error {
	shown := certificateWords(why.UnverifiedCertificates[0])
	var host x509.HostnameError
	switch {
	case errors.As(why.Err, &host):
		return fault(FaultUntrusted, fmt.Errorf("%s is asked for, and a %s is shown: another machine answers (a log-in page of this network?), or the endpoint must be written by a name of the certificate", e.name, shown))
	case p.set.cfg.CAFile == "":
		return fault(FaultUntrusted, fmt.Errorf("nobody whom this system trusts vouches for the %s; for a cloud with an authority of its own set ca-file to that authority's certificate", shown))
	}
	return fault(FaultUntrusted, fmt.Errorf("the authorities in ca-file do not vouch for the %s", shown))
}

// speaksPlain says whether MQTT without TLS is spoken where TLS was expected.
// No user and no password are shown.
func (p *probe) speaksPlain(ctx context.Context, e endpoint) bool {
	e.tls = false
	return p.speaksOld(ctx, e) != ""
}

// speaksTLS says whether TLS is spoken where plain MQTT was expected.
func (p *probe) speaksTLS(ctx context.Context, e endpoint) bool {
	nc, err := p.set.carry(ctx, e.host)
	if err != nil {
		return false
	}
	defer nc.Close()
	seen := &firstBytes{Conn: nc}
	tc := tls.Client(seen, &tls.Config{MinVersion: tls.VersionTLS12, ServerName: e.name, RootCAs: p.set.trust.roots, NextProtos: p.set.cfg.ALPN})
	return tc.HandshakeContext(ctx) == nil || seen.tls()
}
