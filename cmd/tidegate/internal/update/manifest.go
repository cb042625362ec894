package update

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
)

// Manifest is an order to update that comes from outside. It is signed with a
// key of its own (Ed25519), and only that makes it count, whoever brings it:
//
//	tidegate-update-1 SIGNATURE
//	{"url":"https://...","sha256":"...","version":"v1.3.0","compatible":"tidegate-arm64","serial":7}
//
// SIGNATURE is base64, of "tidegate-update-1\n" and all bytes after the first
// line. The bundle itself is signed, too, by another key.
type Manifest struct {
	URL        string `json:"url"`
	SHA256     string `json:"sha256"` // of the bundle, in hexadecimal
	Version    string `json:"version"`
	Compatible string `json:"compatible"`
	// Serial must be higher than that of every manifest before, so that nobody
	// can bring an old one again. The one that failed last may be repeated.
	Serial uint64 `json:"serial"`
	// From is the oldest version that may be updated with it; "" for any.
	From string `json:"from,omitempty"`
	// Downgrade permits a version that is older, or cannot be compared.
	Downgrade bool `json:"downgrade,omitempty"`
}

const (
	manifestMark = "tidegate-update-1"
	mostManifest = 8 << 10 // bytes
)

// ReadKey reads the public key that manifests are signed with: PEM, as `openssl
// pkey -pubout` writes it.
func ReadKey(file string) (ed25519.PublicKey, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, fmt.Errorf("%s is no public key in PEM", file)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if key, ok := key.(ed25519.PublicKey); ok {
		return key, nil
	}
	return nil, fmt.Errorf("%s is not an Ed25519 key: openssl genpkey -algorithm ed25519", file)
}

// Sign returns the manifest as it is sent.
func (m Manifest) Sign(key ed25519.PrivateKey) ([]byte, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	sig := ed25519.Sign(key, append([]byte(manifestMark+"\n"), body...))
	return fmt.Appendf(nil, "%s %s\n%s", manifestMark, base64.StdEncoding.EncodeToString(sig), body), nil
}

// Open checks the signature of a manifest and returns it.
func Open(signed []byte, key ed25519.PublicKey) (Manifest, error) {
	var m Manifest
	if len(signed) > mostManifest {
		return m, fmt.Errorf("a manifest of %d bytes: at most %d are read", len(signed), mostManifest)
	}
	head, body, ok := bytes.Cut(signed, []byte("\n"))
	mark, text, _ := strings.Cut(strings.TrimSuffix(string(head), "\r"), " ")
	if !ok || mark != manifestMark {
		return m, fmt.Errorf("no manifest: it begins with %q", manifestMark)
	}
	sig, err := base64.StdEncoding.DecodeString(text)
	if err != nil || !ed25519.Verify(key, append([]byte(manifestMark+"\n"), body...), sig) {
		return m, errors.New("the manifest's signature is wrong")
	}
	in := json.NewDecoder(bytes.NewReader(body))
	in.DisallowUnknownFields() // one that this version does not know may forbid what it allows
	if err := in.Decode(&m); err != nil {
		return m, fmt.Errorf("the manifest is signed, and still cannot be read: %w", err)
	}
	return m, m.check()
}

func (m Manifest) check() error {
	u, err := url.Parse(m.URL)
	sum, err2 := hex.DecodeString(m.SHA256)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("the manifest's url %q is none of http or https", m.URL)
	case err2 != nil || len(sum) != 32:
		return fmt.Errorf("the manifest's sha256 %q is not 64 hexadecimal digits", m.SHA256)
	case m.Version == "":
		return errors.New("the manifest has no version")
	case m.Serial == 0:
		return errors.New("the manifest has no serial")
	}
	return nil
}

// accept says why a manifest is not to be obeyed now, or nil.
func (s System) accept(m Manifest, r Record) error {
	ended := r.Update.Phase == Failed || r.Update.Phase == Downloading || r.Update.Phase == Installing
	repeated := m.Serial == r.Serial && r.Update.Serial == m.Serial && ended
	if m.Serial <= r.Serial && !repeated {
		return fmt.Errorf("the manifest with serial %d is old: one with %d came before", m.Serial, r.Serial)
	}
	if m.Compatible != s.Compatible {
		return fmt.Errorf("the manifest is for %q, and this gateway is %q", m.Compatible, s.Compatible)
	}
	if s.underWay(r.Update) {
		return fmt.Errorf("another update is under way: %s, %s", r.Update.Version, r.Update.Phase)
	}
	if m.From != "" && m.From != s.Version {
		if is, ok := newer(s.Version, m.From); !ok || !is {
			return fmt.Errorf("the manifest is for gateways from version %s on, and this one runs %s", m.From, s.Version)
		}
	}
	if err := s.upward(m.Version, Permit{Downgrade: m.Downgrade}); err != nil {
		return err
	}
	return nil
}

// Accept checks a signed manifest against what runs here and what came before.
// Its error says what to publish.
func (s System) Accept(signed []byte, key ed25519.PublicKey) (Manifest, error) {
	m, err := Open(signed, key)
	if err != nil {
		return m, err
	}
	if _, err := s.Booted(); err != nil {
		return m, err
	}
	r, err := s.Read()
	if err != nil {
		return m, err
	}
	return m, s.accept(m, r)
}
