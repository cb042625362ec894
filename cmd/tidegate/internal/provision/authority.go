package provision

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"
)

// The authority that signs for this gateway's own listeners. It is valid from
// before any gateway was made, because the clock at first boot may say anything,
// and until the last day that every TLS library can write down (RFC 5280: dates
// from 2050 on have another form).
var (
	caBegin = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	caEnd   = time.Date(2049, 12, 31, 23, 59, 59, 0, time.UTC)
)

// serverDays is how long a server certificate is valid that was made with a
// synchronised clock: phones refuse more than 825 days. One made without a clock
// is valid as long as the authority: a home without internet has no other.
const serverDays = 820

// keyPair is a certificate with its key.
type keyPair struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func (p keyPair) certPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.cert.Raw})
}

func keyPEM(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func newAuthority(key *ecdsa.PrivateKey, id string) (keyPair, error) {
	t := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "Tidegate " + id, Organization: []string{"Tidegate, this gateway's own authority"}},
		NotBefore: caBegin, NotAfter: caEnd, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	return sign(t, keyPair{cert: t, key: key}, key)
}

// newServer signs a certificate for the names. Its lower end is the authority's:
// a client whose clock is behind believes it too.
func newServer(ca keyPair, key *ecdsa.PrivateKey, names []string, now time.Time, synced bool) (keyPair, error) {
	t := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: caBegin, NotAfter: caEnd, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if synced {
		t.NotBefore = now.AddDate(0, 0, -1).Truncate(time.Second)
		if end := t.NotBefore.AddDate(0, 0, serverDays); end.Before(caEnd) {
			t.NotAfter = end
		}
	}
	return sign(t, ca, key)
}

func sign(t *x509.Certificate, by keyPair, key *ecdsa.PrivateKey) (keyPair, error) {
	der, err := x509.CreateCertificate(rand.Reader, t, by.cert, &key.PublicKey, by.key)
	if err != nil {
		return keyPair{}, fmt.Errorf("make certificate for %s: %w", t.Subject.CommonName, err)
	}
	cert, err := x509.ParseCertificate(der)
	return keyPair{cert, key}, err
}

func serial() *big.Int {
	b := make([]byte, 16)
	rand.Read(b)
	b[0] = b[0]&0x7f | 1 // positive, and not zero
	return new(big.Int).SetBytes(b)
}

// renewal says why a server certificate has to be made anew, "" when it has not.
// Without a synchronised clock now is only a lower bound: it can prove that the
// end is near, and nothing else.
func renewal(cert, ca *x509.Certificate, names []string, now time.Time, synced bool) string {
	switch {
	case cert == nil:
		return "it is the first"
	case cert.CheckSignatureFrom(ca) != nil:
		return "another authority signed it"
	case !slices.Equal(cert.DNSNames, names):
		return "the gateway has another name"
	case cert.NotAfter.Sub(now) < serverDays*24*time.Hour/3 && cert.NotAfter.Before(caEnd):
		return "its end is near"
	case synced && cert.NotAfter.Sub(cert.NotBefore) > (serverDays+1)*24*time.Hour:
		return "the clock is right now"
	}
	return ""
}

// serverNames are those under which devices may know the gateway.
func serverNames(host string) []string {
	names := []string{host + ".local", host}
	if host != "tidegate" {
		names = append(names, "tidegate.local")
	}
	return names
}

// parsePair reads a certificate and its key; false when either is not there or
// damaged, or they do not belong together.
func parsePair(certText, keyText []byte) (keyPair, bool) {
	c, _ := pem.Decode(certText)
	k, _ := pem.Decode(keyText)
	if c == nil || k == nil {
		return keyPair{}, false
	}
	cert, err1 := x509.ParseCertificate(c.Bytes)
	any, err2 := x509.ParsePKCS8PrivateKey(k.Bytes)
	key, ok := any.(*ecdsa.PrivateKey)
	if err1 != nil || err2 != nil || !ok || !key.PublicKey.Equal(cert.PublicKey) {
		return keyPair{}, false
	}
	return keyPair{cert, key}, true
}

// serverKey reads a key alone; nil when it cannot be used.
func serverKey(text []byte) *ecdsa.PrivateKey {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil
	}
	any, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil
	}
	key, _ := any.(*ecdsa.PrivateKey)
	return key
}

// fingerprint is the SHA-256 of a certificate, as openssl and browsers show it.
func fingerprint(cert *x509.Certificate) string {
	var parts []string
	for _, b := range sha256.Sum256(cert.Raw) {
		parts = append(parts, fmt.Sprintf("%02X", b))
	}
	return strings.Join(parts, ":")
}
