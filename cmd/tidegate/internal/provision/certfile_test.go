package provision

import (
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"time"
)

func TestBadFiles(t *testing.T) {
	key, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	ca, err := newAuthority(key, "x")
	if err != nil {
		t.Fatal(err)
	}
	keyText, err := keyPEM(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := string(ca.certPEM())
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		use        Use
		text, want string
	}{
		"password":           {Secret, "hush\n", ""},
		"no password":        {Secret, "\nhush", "has no password in its first line"},
		"certificate":        {Certificate, "-- for me --\n" + cert, ""},
		"DER":                {Certificate, string(ca.cert.Raw), "is not in PEM form"},
		"cut off":            {Certificate, cert[:100], "has no complete certificate"},
		"damaged":            {Certificate, strings.Replace(cert, "MII", "MIH", 1), "cannot be read"},
		"key as certificate": {Certificate, string(keyText), "is a key; a certificate was expected"},
		"request":            {Certificate, "-----BEGIN CERTIFICATE REQUEST-----", "is a request"},
		"authorities":        {Authorities, cert + cert, ""},
		"key":                {Key, string(keyText), ""},
		"certificate as key": {Key, cert, "is a certificate; a key was expected"},
		"public key":         {Key, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})), "is a public key"},
		"locked key":         {Key, string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")})), "nobody is there to type it"},
		"users":              {Users, "", ""},
	} {
		what, do := badFile(c.use, []byte(c.text))
		if !strings.Contains(what, c.want) || (c.want == "") != (what == "") || what != "" && do == "" {
			t.Errorf("%s: got %q, %q, want %q", name, what, do, c.want)
		}
	}
	other, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	otherText, err := keyPEM(other)
	if err != nil {
		t.Fatal(err)
	}
	server, err := newServer(ca, key, []string{"a.local"}, time.Now(), false)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := newAuthority(other, "y")
	if err != nil {
		t.Fatal(err)
	}
	leaf := string(server.certPEM())
	for name, c := range map[string]struct{ cert, key, want string }{
		"pair":         {leaf + cert, string(keyText), ""},
		"wrong key":    {leaf, string(otherText), "do not belong together"},
		"broken chain": {leaf + string(stranger.certPEM()), string(keyText), "is not signed by the next one"},
	} {
		if what, _ := badPair([]byte(c.cert), []byte(c.key)); !strings.Contains(what, c.want) || (c.want == "") != (what == "") {
			t.Errorf("%s: got %q, want %q", name, what, c.want)
		}
	}
}

func TestDays(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c := []*x509.Certificate{{NotBefore: begin, NotAfter: begin.AddDate(1, 0, 0)}}
	for name, at := range map[string]struct {
		now    time.Time
		synced bool
		want   string
	}{
		"good":              {begin.AddDate(0, 6, 0), true, ""},
		"ends soon":         {begin.AddDate(0, 11, 20), true, "ends in 11 days, on 2027-01-01"},
		"soon, no clock":    {begin.AddDate(0, 11, 20), false, ""},
		"ended":             {begin.AddDate(1, 0, 1), true, "ended on 2027-01-01"},
		"ended, no clock":   {begin.AddDate(1, 0, 1), false, "ended on 2027-01-01"},
		"not yet":           {begin.AddDate(0, 0, -1), true, "begins only on 2026-01-01"},
		"not yet, no clock": {time.Unix(0, 0), false, ""},
	} {
		if got, bad := days(c, at.now, at.synced); !strings.Contains(got, at.want) || bad != (at.want != "") {
			t.Errorf("%s: got %q, %v, want %q", name, got, bad, at.want)
		}
	}
}
