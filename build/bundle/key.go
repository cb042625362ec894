package bundle

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// Pair is a key and its certificate, as files in PEM.
type Pair struct{ Key, Cert string }

// DevelopmentPair returns the pair for development of this user, and makes it
// if there is none. It says so on warn, loudly: what is signed with it is for
// nobody else.
func DevelopmentPair(warn io.Writer) (Pair, error) {
	dir := os.Getenv("XDG_DATA_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return Pair{}, err
		}
		dir = filepath.Join(home, ".local", "share")
	}
	dir = filepath.Join(dir, "tidegate-development-key")
	p := Pair{filepath.Join(dir, "key.pem"), filepath.Join(dir, "cert.pem")}
	fmt.Fprintf(warn, "\n*** WARNING: signed with a key for development, %s.\n*** Whoever has this file can put software on gateways that trust it.\n*** For a release: make image bundle KEY=... CERT=...\n\n", p.Key)
	if _, err := os.Stat(p.Cert); err == nil {
		return p, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Pair{}, err
	}
	return p, p.make("development")
}

// make writes a new pair; the certificate last, so that there is none without
// its key. It is valid from before any clock of a Pi says.
func (p Pair) make(name string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{Organization: []string{"Tidegate"}, CommonName: "updates (" + name + ")"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(2106, 1, 1, 0, 0, 0, 0, time.UTC),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(p.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600),
		os.WriteFile(p.Cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o644))
}
