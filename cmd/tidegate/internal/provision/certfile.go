package provision

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// Use is what the configuration wants a file for.
type Use int

// What files are used for.
const (
	Secret      Use = iota // the first line is a password
	Certificate            // PEM, the gateway's own first, then who signed it
	Key                    // PEM
	Authorities            // PEM, who is believed
	Users                  // TOML, checked by edge
	PublicKey              // PEM, Ed25519: who may order updates
)

var errDER = errors.New("is not in PEM form (text that begins with -----BEGIN)")

// badFile says what is wrong with the content of one file by itself.
func badFile(use Use, text []byte) (what, do string) {
	switch use {
	case Secret:
		if first, _, _ := strings.Cut(string(text), "\n"); strings.TrimSpace(first) == "" {
			return "has no password in its first line", "write it there, and nothing else"
		}
	case Certificate, Authorities:
		if _, err := certificates(text); err != nil {
			return err.Error(), "ask for the certificate in PEM form; openssl x509 -inform der -in FILE -out NAME.pem makes it of another one"
		}
	case PublicKey:
		b, _ := pem.Decode(text)
		if b == nil {
			return errDER.Error(), "openssl pkey -in update.key -pubout -out update.pem makes it"
		}
		if key, err := x509.ParsePKIXPublicKey(b.Bytes); err != nil {
			return "is not a public key", "openssl pkey -in update.key -pubout -out update.pem makes it"
		} else if _, ok := key.(ed25519.PublicKey); !ok {
			return "is a public key, but not of Ed25519", "openssl genpkey -algorithm ed25519 -out update.key makes one"
		}
	case Key:
		if _, err := privateKey(text); err != nil {
			return err.Error(), "the key must be in PEM form, without a password: openssl pkey -in FILE -out NAME.key"
		}
	}
	return "", ""
}

func certificates(text []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	rest := text
	for {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		if b.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, fmt.Errorf("has a certificate (number %d) that cannot be read: %s", len(all)+1, short(err))
		}
		all = append(all, c)
	}
	switch {
	case len(all) > 0:
		return all, nil
	case bytes.Contains(text, []byte("CERTIFICATE REQUEST")):
		return nil, errors.New("is a request for a certificate, not the certificate")
	case bytes.Contains(text, []byte("PRIVATE KEY")):
		return nil, errors.New("is a key; a certificate was expected")
	case bytes.Contains(text, []byte("-----BEGIN")):
		return nil, errors.New("has no complete certificate in it")
	}
	return nil, errDER
}

func privateKey(text []byte) (crypto.Signer, error) {
	rest := text
	for {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		if b.Type == "ENCRYPTED PRIVATE KEY" || b.Headers["DEK-Info"] != "" {
			return nil, errors.New("is a key with a password, and nobody is there to type it")
		}
		if !strings.HasSuffix(b.Type, "PRIVATE KEY") {
			continue
		}
		key, err := parsePrivate(b.Bytes)
		if err != nil {
			return nil, errors.New("has a key that cannot be read")
		}
		return key, nil
	}
	switch {
	case bytes.Contains(text, []byte("PUBLIC KEY")):
		return nil, errors.New("is a public key; the private one was expected")
	case bytes.Contains(text, []byte("CERTIFICATE")):
		return nil, errors.New("is a certificate; a key was expected")
	case bytes.Contains(text, []byte("-----BEGIN")):
		return nil, errors.New("has no complete key in it")
	}
	return nil, errDER
}

func parsePrivate(der []byte) (crypto.Signer, error) {
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("a key that cannot sign")
	}
	return signer, nil
}

// badPair says what is wrong with a certificate and its key together.
func badPair(cert, key []byte) (what, do string) {
	if _, err := tls.X509KeyPair(cert, key); err != nil {
		return "certificate and key do not belong together", "put both of them here, from the same order"
	}
	all, _ := certificates(cert)
	for i, c := range all[:max(len(all)-1, 0)] {
		if err := c.CheckSignatureFrom(all[i+1]); err != nil {
			return fmt.Sprintf("certificate %d (%s) is not signed by the next one (%s)", i+1, c.Subject, all[i+1].Subject),
				"the order is: the own certificate, who signed it, who signed that"
		}
	}
	return "", ""
}

// days says how long certificates last. Without a synchronised clock now is a
// lower bound: what has ended by it has ended, and nothing else is known.
func days(all []*x509.Certificate, now time.Time, synced bool) (what string, bad bool) {
	for _, c := range all {
		left := int(c.NotAfter.Sub(now).Hours() / 24)
		name := c.Subject.CommonName
		switch {
		case now.After(c.NotAfter):
			return fmt.Sprintf("the certificate of %s ended on %s", name, c.NotAfter.UTC().Format(time.DateOnly)), true
		case !synced:
		case now.Before(c.NotBefore):
			return fmt.Sprintf("the certificate of %s begins only on %s", name, c.NotBefore.UTC().Format(time.DateOnly)), true
		case left < 30:
			return fmt.Sprintf("the certificate of %s ends in %d days, on %s", name, left, c.NotAfter.UTC().Format(time.DateOnly)), true
		}
	}
	return "", false
}

// short is an error without the name of the package that it comes from.
func short(err error) string {
	text := err.Error()
	for _, prefix := range []string{"x509: ", "asn1: ", "tls: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	return text
}

// validity warns of certificates of the user that end soon.
func (r *run) validity() (found []Finding) {
	c, problems := r.opt.Check([]byte(r.readData("config/"+tomlFile)), r.place(nil))
	if len(problems) > 0 {
		return nil
	}
	for _, f := range c.Files {
		if f.Use != Certificate && f.Use != Authorities {
			continue
		}
		all, err := certificates(readFile(r.place(nil)(f.Path)))
		if err != nil {
			continue
		}
		if f.Use == Authorities && len(all) > 3 {
			continue // a whole list of authorities has always one that ends
		}
		if what, bad := days(all, r.opt.Now(), r.opt.Synced()); bad {
			found = append(found, Finding{File: filepath.Base(f.Path), What: what, Do: "put a new one on this partition; the gateway takes it at its next start", Code: codeConfig})
		}
	}
	return found
}
