package scenario

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"tidegate/build/lab/balancer"
	"tidegate/build/lab/cert"
	"tidegate/build/lab/front"
	"tidegate/build/lab/gateway"
)

// behindFronts puts a front before each node, on the lab's host, and gives the
// gateway those. scheme is that of the endpoints.
func (t *take) behindFronts(cfg *gateway.Config, scheme string, tls *tls.Config) error {
	t.addrs, cfg.Endpoints = nil, nil
	for _, n := range t.cloud.Nodes {
		f, err := front.Start(front.Config{Addr: t.net.Lab.At(0), Target: n.Addr, TLS: tls})
		if err != nil {
			return err
		}
		t.closers = append(t.closers, f.Close)
		t.fronts = append(t.fronts, f)
		t.addrs = append(t.addrs, f.Addr())
		cfg.Endpoints = append(cfg.Endpoints, scheme+f.Addr())
	}
	return nil
}

func plainFronts(_ context.Context, t *take, cfg *gateway.Config) error {
	return t.behindFronts(cfg, "mqtt://", nil)
}

// balancerRestarted ends the one endpoint that the gateway has, and begins it
// again.
func balancerRestarted() Scenario {
	var b *balancer.Balancer
	return Scenario{
		Name: "balancer-restarted", Says: "HAProxy in front of the nodes is the only endpoint; kill -9, and back after 2 s",
		Whole: true, Hold: 2 * time.Second,
		Prepare: func(ctx context.Context, t *take, cfg *gateway.Config) (err error) {
			b, err = balancer.Start(ctx, "haproxy", t.cloud.Addrs(), balancer.Options{Host: t.net.Lab.Addr.String(), Output: t.Output})
			if err != nil {
				return err
			}
			t.closers = append(t.closers, func() error { b.Close(); return nil })
			cfg.Endpoints = []string{b.Addr}
			return nil
		},
		Break: func(context.Context, *take) error { b.Kill(); return nil },
		Heal:  func(ctx context.Context, _ *take) error { return b.Begin(ctx) },
	}
}

// drained sends the clients of a node to another one.
func drained() Scenario {
	return Scenario{
		Name: "node-drained", Says: "a node sends its clients to another with 0x9C (a front of the lab's does: no broker at hand)",
		Hold:    3 * time.Second,
		Prepare: plainFronts,
		Break: func(_ context.Context, t *take) error {
			other := (t.victim + 1) % len(t.fronts)
			t.fronts[t.victim].Drain(0x9C, t.addrs[other])
			return nil
		},
		Heal: func(_ context.Context, t *take) error { t.fronts[t.victim].Admit(); return nil },
	}
}

// rotation is TLS whose certificates are replaced while it is in use.
type rotation struct {
	authority         *cert.Authority
	certFile, keyFile string // the gateway's
	serving           atomic.Pointer[tls.Certificate]
	least             atomic.Int64 // serial of a client that is still welcome
}

var errRevoked = errors.New("this certificate was replaced")

func (r *rotation) prepare(_ context.Context, t *take, cfg *gateway.Config) (err error) {
	if r.authority, err = cert.NewAuthority(); err != nil {
		return err
	}
	ca := filepath.Join(t.Dir, t.name, "ca.pem")
	r.certFile, r.keyFile = filepath.Join(t.Dir, t.name, "client.pem"), filepath.Join(t.Dir, t.name, "client.key")
	if err := os.WriteFile(ca, r.authority.PEM, 0o600); err != nil {
		return err
	}
	r.least.Store(0)
	if err := errors.Join(r.renewServer(t), r.renewClient()); err != nil {
		return err
	}
	cfg.Uplink += fmt.Sprintf("ca-file = %q\ncert-file = %q\nkey-file = %q\n", ca, r.certFile, r.keyFile)
	return t.behindFronts(cfg, "mqtts://", &tls.Config{
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: r.authority.Pool,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return r.serving.Load(), nil },
		VerifyConnection: func(s tls.ConnectionState) error { // sees resumed ones too
			if s.PeerCertificates[0].SerialNumber.Int64() < r.least.Load() {
				return errRevoked
			}
			return nil
		},
	})
}

func (r *rotation) renewServer(t *take) error {
	pair, err := r.authority.Issue(t.net.Lab.Addr.String(), time.Now().Add(time.Hour))
	if err == nil {
		r.serving.Store(&pair.TLS)
	}
	return err
}

func (r *rotation) renewClient() error {
	pair, err := r.authority.Issue("lab", time.Now().Add(time.Hour))
	if err != nil {
		return err
	}
	return pair.Write(r.certFile, r.keyFile)
}

// certificateRotated replaces both sides' certificates; some time later the
// old one of the gateway is no longer believed, and connections made with it
// are cut. A gateway that rolled its links by then loses none.
func certificateRotated() Scenario {
	r := &rotation{}
	return Scenario{
		Name: "certificate-rotated", Says: "new certificates on both sides; 8 s later the gateway's old one is revoked",
		Hold:    12 * time.Second,
		Prepare: r.prepare,
		Break: func(ctx context.Context, t *take) error {
			if err := errors.Join(r.renewServer(t), r.renewClient()); err != nil {
				return err
			}
			pause(ctx, 8*time.Second)
			return r.revoke(t)
		},
		Heal: nothing,
	}
}

// revoke takes away what the gateway had before its present certificate.
func (r *rotation) revoke(t *take) error {
	pair, err := tls.LoadX509KeyPair(r.certFile, r.keyFile)
	if err != nil {
		return err
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return err
	}
	r.least.Store(leaf.SerialNumber.Int64())
	old := 0
	for _, f := range t.fronts {
		old += f.CutIf(func(c net.Conn) bool {
			s, ok := c.(*tls.Conn)
			if !ok {
				return false
			}
			peers := s.ConnectionState().PeerCertificates
			return len(peers) > 0 && peers[0].SerialNumber.Int64() < r.least.Load()
		})
	}
	t.note("%d connections with the old certificate when it was revoked", old)
	return nil
}
