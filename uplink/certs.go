package uplink

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"syscall"
	"time"
)

// trust is what the files of a configuration say for TLS: whom the gateway
// believes, and who it is. A renewed file takes effect when all of them fit
// together again; until then the old ones serve.
type trust struct {
	roots *x509.CertPool // nil for the system's
	pair  []tls.Certificate
	marks marks
	print [sha256.Size]byte // of what was read
}

// certLook is how often the files are looked at.
const certLook = 2 * time.Second

var errRenewed = fmt.Errorf("the certificates are new (%w)", errRolled)

// marks tell one state of the files from another, without reading them. Links
// are followed, so that one that points elsewhere is a change.
type marks [3]struct {
	size     int64
	mod      time.Time
	dev, ino uint64
}

func (c Config) marks() (m marks) {
	for i, path := range []string{c.CAFile, c.CertFile, c.KeyFile} {
		if path == "" {
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			continue
		}
		m[i].size, m[i].mod = info.Size(), info.ModTime()
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			m[i].dev, m[i].ino = uint64(s.Dev), s.Ino
		}
	}
	return m
}

func (c Config) hasFiles() bool { return c.CAFile != "" || c.CertFile != "" || c.KeyFile != "" }

// trust reads the files.
func (c Config) trust() (*trust, error) {
	t := &trust{marks: c.marks()}
	var err error
	if t.roots, err = c.roots(); err != nil {
		return nil, err
	}
	if t.pair, err = c.pair(); err != nil {
		return nil, err
	}
	sum := sha256.New()
	for _, path := range []string{c.CAFile, c.CertFile, c.KeyFile} {
		if path == "" {
			continue
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(sum, "%d:", len(b))
		sum.Write(b)
	}
	t.print = [sha256.Size]byte(sum.Sum(nil))
	return t, nil
}

// roots returns nil for the system's.
func (c Config) roots() (*x509.CertPool, error) {
	if c.CAFile == "" {
		return nil, nil
	}
	return c.addRoots(x509.NewCertPool())
}

func (c Config) addRoots(pool *x509.CertPool) (*x509.CertPool, error) {
	pem, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read ca-file: %w", err)
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca-file %s has no certificate in PEM", c.CAFile)
	}
	return pool, nil
}

func (c Config) pair() ([]tls.Certificate, error) {
	if c.CertFile == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("read cert-file and key-file: %w", err)
	}
	return []tls.Certificate{pair}, nil
}

// watchFiles takes over renewed certificates until ctx ends. What cannot be
// used is said once.
func (u *Uplink) watchFiles(ctx context.Context) {
	var last *trust // whose files are watched
	var seen marks
	said := ""
	for every := certLook; ctx.Err() == nil; sleep(ctx, every, u.files) {
		set := u.settings.Load()
		if every = certLook; !set.cfg.hasFiles() {
			every = time.Hour // a configuration that has some wakes
		}
		if set.trust != last {
			last, seen, said = set.trust, set.trust.marks, ""
		}
		if set.cfg.marks() == seen && said == "" {
			continue
		}
		t, err := set.cfg.trust()
		if err != nil {
			if said != err.Error() {
				said = err.Error()
				u.log.Warn("renewed certificates cannot be used, the old ones stay", "err", err)
			}
			continue
		}
		if seen, said = t.marks, ""; t.print != set.trust.print {
			u.renew(set.trust, t)
		}
	}
}

// renew makes t the trust instead of old. The links connect anew one by one;
// as long as one of them does not succeed the others stay.
func (u *Uplink) renew(old, t *trust) {
	u.mu.Lock()
	next := *u.settings.Load()
	if next.trust != old { // the configuration changed meanwhile
		u.mu.Unlock()
		return
	}
	next.trust = t
	next.edition++
	u.install(&next)
	u.mu.Unlock()
	u.log.Info("certificates read again, the links connect anew")
	u.wantRoll(errRenewed)
}
