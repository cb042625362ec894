// Package certs keeps the certificate of a TLS listener as its files say.
package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"
)

// files keeps the certificate of one TLS listener as the files say, so that a
// renewed certificate is used without a restart.
type files struct {
	cert, key, clientCA string // paths; clientCA may be empty
	log                 *slog.Logger

	mu     sync.Mutex // guards what follows
	looked time.Time  // when the files were last looked at
	seen   [3]fileMark
	config *tls.Config
}

// fileMark tells one state of a file from another.
type fileMark struct {
	size int64
	mod  time.Time
}

// certLook is how often at most a handshake looks at the files.
const certLook = time.Second

// New returns the TLS configuration of a listener: TLS 1.2 or later, with
// certificate chain and key from two PEM files that are read again when they
// changed. With clientCA, a PEM file too, a client may present a certificate,
// and one that these authorities did not sign ends the handshake; whether a
// client may come without is decided at login. A changed file that cannot be
// used is logged once and the certificate in use stays.
func New(cert, key, clientCA string, log *slog.Logger) (*tls.Config, error) {
	c := &files{cert: cert, key: key, clientCA: clientCA, log: log}
	seen := c.marks()
	config, err := c.read()
	if err != nil {
		return nil, err
	}
	c.config, c.seen, c.looked = config, seen, time.Now()
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.current(), nil },
	}, nil
}

// current returns the configuration for one handshake. Only one handshake in a
// second pays for looking at the files.
func (c *files) current() *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) < certLook {
		return c.config
	}
	c.looked = time.Now()
	seen := c.marks()
	if seen == c.seen {
		return c.config
	}
	// Certificate and key are two files and not replaced in one instant: a
	// pair that does not fit together now may fit at the next look.
	config, err := c.read()
	if err != nil {
		c.log.Warn("new certificate cannot be used, the old one stays", "err", err)
		c.seen = seen
		return c.config
	}
	c.log.Info("certificate read again", "path", c.cert)
	c.config, c.seen = config, seen
	return c.config
}

func (c *files) marks() (marks [3]fileMark) {
	for i, path := range []string{c.cert, c.key, c.clientCA} {
		if info, err := os.Stat(path); err == nil {
			marks[i] = fileMark{info.Size(), info.ModTime()}
		}
	}
	return marks
}

func (c *files) read() (*tls.Config, error) {
	pair, err := Pair(c.cert, c.key)
	if err != nil {
		return nil, err
	}
	if err := Expired(c.cert, pair); err != nil {
		c.log.Warn("clients will refuse the certificate", "err", err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if c.clientCA == "" {
		return config, nil
	}
	pem, err := readFile("client CA", c.clientCA)
	if err != nil {
		return nil, err
	}
	config.ClientCAs = x509.NewCertPool()
	if !config.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("client CA %s: no certificate in PEM form in it", c.clientCA)
	}
	config.ClientAuth = tls.VerifyClientCertIfGiven
	// A resumed handshake would bring back a client that an authority taken
	// out of the file had signed.
	config.SessionTicketsDisabled = true
	return config, nil
}

// Pair reads a certificate chain and its key, PEM both.
func Pair(certPath, keyPath string) (pair tls.Certificate, err error) {
	cert, err := readFile("certificate", certPath)
	if err != nil {
		return pair, err
	}
	key, err := readFile("key", keyPath)
	if err != nil {
		return pair, err
	}
	pair, err = tls.X509KeyPair(cert, key)
	if err != nil {
		return pair, fmt.Errorf("certificate %s with key %s: %w", certPath, keyPath, err)
	}
	return pair, nil
}

// Expired returns an error if the certificate has expired. It is used all the
// same: clients refuse it and say why, and the rest of the home must not stay
// dark for it after a power cut. Only the end is judged: a Pi without a clock
// thinks that every certificate is from the future.
func Expired(path string, pair tls.Certificate) error {
	if end := pair.Leaf.NotAfter; time.Now().After(end) {
		return fmt.Errorf("certificate %s expired on %s; renew it, the gateway reads the new files by itself", path, end.UTC().Format("2006-01-02 15:04 MST"))
	}
	return nil
}

func readFile(what, path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s %s: there is no such file; put it there, or correct the path in the configuration", what, path)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%s %s: not readable by user id %d; give the file to the gateway's user", what, path, os.Getuid())
	case err != nil:
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return text, nil
}
