package update

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func keys(t *testing.T) (ed25519.PublicKey, ed25519.PrivateKey) {
	t.Helper()
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	return key.Public().(ed25519.PublicKey), key
}

func manifest() Manifest {
	return Manifest{URL: "https://example.com/tidegate-v1.1.0.raucb", SHA256: strings.Repeat("ab", 32), Version: "v1.1.0", Compatible: Compatible, Serial: 8}
}

func TestAccept(t *testing.T) {
	public, private := keys(t)
	_, other, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signed := func(change func(*Manifest)) []byte {
		m := manifest()
		change(&m)
		data, err := m.Sign(private)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	plain := signed(func(*Manifest) {})
	foreign, err := manifest().Sign(other)
	if err != nil {
		t.Fatal(err)
	}
	last := func(serial uint64, p Phase) Record {
		return Record{Serial: serial, Update: Update{Phase: p, Serial: serial}}
	}
	for _, c := range []struct {
		name   string
		signed []byte
		record Record
		want   string
	}{
		{"good", plain, last(7, Confirmed), ""},
		{"from this version on", signed(func(m *Manifest) { m.From = "v1.0.0" }), Record{}, ""},
		{"again, after it failed", plain, last(8, Failed), ""},
		{"again, after it was done", plain, last(8, Confirmed), "is old"},
		{"again, after it did not get well", plain, last(8, Returned), "is old"},
		{"old", plain, last(9, Failed), "is old"},
		{"by another", foreign, Record{}, "signature is wrong"},
		{"changed", bytes.Replace(plain, []byte("example.com"), []byte("example.org"), 1), Record{}, "signature is wrong"},
		{"garbage", []byte("\x00\xff"), Record{}, "no manifest"},
		{"empty", nil, Record{}, "no manifest"},
		{"only a signature", plain[:bytes.IndexByte(plain, '\n')], Record{}, "no manifest"},
		{"huge", append(plain, make([]byte, mostManifest)...), Record{}, "at most"},
		{"compatible", signed(func(m *Manifest) { m.Compatible = "toaster" }), Record{}, `is for "toaster"`},
		{"downgrade", signed(func(m *Manifest) { m.Version = "v0.9.0" }), Record{}, "older than v1.0.0"},
		{"downgrade, permitted", signed(func(m *Manifest) { m.Version, m.Downgrade = "v0.9.0", true }), Record{}, ""},
		{"for newer gateways", signed(func(m *Manifest) { m.From = "v1.0.5" }), Record{}, "from version v1.0.5 on"},
		{"no serial", signed(func(m *Manifest) { m.Serial = 0 }), Record{}, "no serial"},
		{"no checksum", signed(func(m *Manifest) { m.SHA256 = "" }), Record{}, "sha256"},
		{"a file", signed(func(m *Manifest) { m.URL = "file:///etc/passwd" }), Record{}, "http"},
		{"while another is under way", plain, Record{Update: Update{Phase: Installing, Version: "v1.0.9"}}, "under way"},
	} {
		g := newGateway(t, "v1.0.0")
		if err := g.change(func(r *Record) { r.Serial, r.Update = c.record.Serial, c.record.Update }); err != nil {
			t.Fatal(err)
		}
		if c.record.Update.Phase == Installing {
			unlock, err := g.lock()
			if err != nil {
				t.Fatal(err)
			}
			defer unlock()
		}
		_, err := g.Accept(c.signed, public)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func FuzzOpen(f *testing.F) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	signed, err := manifest().Sign(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed)
	f.Add([]byte("tidegate-update-1 \n{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := Open(b, key.Public().(ed25519.PublicKey)); err == nil && !bytes.Equal(b, signed) && m != manifest() {
			t.Errorf("%q was accepted as %+v", b, m)
		}
	})
}

func TestReadKey(t *testing.T) {
	public, _ := keys(t)
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "update.pem")
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadKey(name); err != nil || !got.Equal(public) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"} {
		if err := os.WriteFile(name, []byte(bad), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadKey(name); err == nil {
			t.Errorf("%q: got no error", bad)
		}
	}
}

// What OpenSSL signs is a manifest, so that nobody needs our tools.
func TestOpenSSL(t *testing.T) {
	dir := t.TempDir()
	script := `set -eu
openssl genpkey -algorithm ed25519 -out update.key
openssl pkey -in update.key -pubout -out update.pem
printf '%s' "$MANIFEST" > manifest.json
{ echo tidegate-update-1; cat manifest.json; } > signed
openssl pkeyutl -sign -inkey update.key -rawin -in signed -out signature
{ echo "tidegate-update-1 $(base64 -w0 < signature)"; cat manifest.json; } > message
`
	cmd := exec.Command("sh", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), fmt.Sprintf(`MANIFEST={"url":"https://example.com/b","sha256":%q,"version":"v1.1.0","compatible":"tidegate-arm64","serial":8}`, strings.Repeat("ab", 32)))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	key, err := ReadKey(filepath.Join(dir, "update.pem"))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := os.ReadFile(filepath.Join(dir, "message"))
	if err != nil {
		t.Fatal(err)
	}
	if m, err := Open(signed, key); err != nil || m.Serial != 8 {
		t.Errorf("got %+v, %v", m, err)
	}
}

// serveRequest is what the service does.
func (g *gateway) serveRequest(run string, key ed25519.PublicKey, say func(int, string)) (bool, error) {
	signed, err := Take(run)
	if err != nil {
		return false, err
	}
	return g.Serve(g.t.Context(), signed, key, say)
}

// From the gateway's request to the installed bundle.
func TestServe(t *testing.T) {
	public, private := keys(t)
	g := newGateway(t, "v1.0.0")
	text := []byte(good)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(text) }))
	defer s.Close()
	m := manifest()
	m.URL, m.SHA256 = s.URL, sumOf(text)
	signed, err := m.Sign(private)
	if err != nil {
		t.Fatal(err)
	}
	run := t.TempDir()
	if err := Ask(run, signed); err != nil {
		t.Fatal(err)
	}
	if err := Ask(run, signed); err == nil || !strings.Contains(err.Error(), "another request waits") {
		t.Errorf("got %v, want a refusal of the second", err)
	}
	installed, err := g.serveRequest(run, public, func(int, string) {})
	if err != nil || !installed {
		t.Fatalf("got %v, %v", installed, err)
	}
	g.phase1(Installed, "")
	if left, _ := os.ReadDir(run); len(left) > 0 {
		t.Errorf("got %v left in the run directory", left)
	}
	if left, _ := filepath.Glob(filepath.Join(g.State, "bundle*")); len(left) > 0 {
		t.Errorf("got %q left of the download", left)
	}
	if r := g.record(); r.Serial != m.Serial {
		t.Errorf("got serial %d noted, want %d", r.Serial, m.Serial)
	}
}

// The bundle must be what the manifest announced.
func TestServeAnotherVersion(t *testing.T) {
	public, private := keys(t)
	g := newGateway(t, "v1.0.0")
	text := []byte(good)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(text) }))
	defer s.Close()
	m := manifest()
	m.URL, m.SHA256, m.Version = s.URL, sumOf(text), "v1.2.0"
	signed, err := m.Sign(private)
	if err != nil {
		t.Fatal(err)
	}
	run := t.TempDir()
	if err := Ask(run, signed); err != nil {
		t.Fatal(err)
	}
	if _, err := g.serveRequest(run, public, func(int, string) {}); err == nil || !strings.Contains(err.Error(), "was announced") {
		t.Errorf("got %v, want a refusal", err)
	}
	g.phase1(Failed, "was announced")
}

// Root reads no link, no pipe and no flood that somebody put there.
func TestTakeHostile(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, requestName)
	for what, make := range map[string]func() error{
		"link": func() error { return os.Symlink("/etc/passwd", name) },
		"pipe": func() error { return exec.Command("mkfifo", name).Run() },
	} {
		if err := make(); err != nil {
			t.Fatal(err)
		}
		if data, err := take(name); err == nil {
			t.Errorf("%s: got %q", what, data)
		}
		if _, err := os.Lstat(name); err == nil {
			t.Errorf("%s: is still there", what)
		}
	}
	if err := os.WriteFile(name, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if data, err := take(name); err != nil || len(data) != mostManifest+1 {
		t.Errorf("got %d bytes, %v", len(data), err)
	}
}

func sumOf(b []byte) string {
	return fmt.Sprintf("%x", sha256.Sum256(b))
}
