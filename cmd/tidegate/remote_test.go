package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidegate/cmd/tidegate/internal/update"
	"tidegate/edge"
)

// A manifest on the topic becomes a request for root, and every refusal is
// published with its reason.
func TestRemote(t *testing.T) {
	dir := t.TempDir()
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{3}, ed25519.SeedSize))
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(dir, "update.pem")
	cmdline := filepath.Join(dir, "cmdline")
	run := filepath.Join(dir, "run")
	for name, text := range map[string]string{
		key: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), cmdline: "rauc.slot=A\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(run, 0o755); err != nil {
		t.Fatal(err)
	}
	sys := update.System{Version: "v1.0.0", Compatible: update.Compatible, State: filepath.Join(dir, "state"), Run: run, CommandLine: cmdline}
	m := update.Manifest{URL: "https://example.com/b", SHA256: strings.Repeat("ab", 32), Version: "v1.1.0", Compatible: update.Compatible, Serial: 1}
	good, err := m.Sign(private)
	if err != nil {
		t.Fatal(err)
	}
	m.Version = "v0.9.0"
	older, err := m.Sign(private)
	if err != nil {
		t.Fatal(err)
	}

	messages := make(chan *edge.Message)
	said := make(chan string, 8)
	r := &remote{cfg: UpdateConfig{Topic: "gateway/update", Key: key}, sys: sys, run: run, every: 5 * time.Millisecond,
		watch: func(ctx context.Context, filters []string, f func(*edge.Message)) {
			for {
				select {
				case <-ctx.Done():
					return
				case m := <-messages:
					f(m)
				}
			}
		},
		publish: func(topic string, payload []byte) {
			if topic != "gateway/update/status" {
				t.Errorf("published on %s", topic)
			}
			said <- string(payload)
		}}
	p := start("update", r.Run, make(chan *part, 1))
	defer func() {
		if err := p.stop(time.Now().Add(20 * time.Second)); err != nil {
			t.Error(err)
		}
	}()
	expect := func(want string) {
		t.Helper()
		select {
		case got := <-said:
			var s remoteStatus
			if err := json.Unmarshal([]byte(got), &s); err != nil || !strings.Contains(got, want) || s.Version != "v1.0.0" {
				t.Errorf("got %s, %v, want %q in it", got, err, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("nothing was published, want %q", want)
		}
	}
	for _, c := range []struct {
		payload []byte
		want    string
	}{
		{[]byte("garbage"), `"phase":"refused","error":"no manifest`},
		{bytes.Replace(good, []byte("v1.1.0"), []byte("v9.9.9"), 1), "signature is wrong"},
		{older, "older than v1.0.0"},
	} {
		messages <- &edge.Message{Topic: "gateway/update", Payload: c.payload}
		expect(c.want)
	}
	if left, _ := os.ReadDir(run); len(left) > 0 {
		t.Errorf("got a request for what was refused: %v", left)
	}
	messages <- &edge.Message{Topic: "gateway/update", Payload: []byte("old garbage"), Retain: true} // says nothing
	messages <- &edge.Message{Topic: "gateway/update", Payload: good}
	messages <- &edge.Message{Topic: "gateway/update", Payload: good} // the first has been dealt with
	expect("another request waits")
	if got, err := os.ReadFile(filepath.Join(run, "update-request")); err != nil || !bytes.Equal(got, good) {
		t.Errorf("got %q, %v, want the manifest", got, err)
	}
	record := `{"form":1,"serial":1,"update":{"phase":"installing","version":"v1.1.0"}}`
	if err := os.WriteFile(filepath.Join(run, "progress.json"), []byte(`{"percent":40,"doing":"Updating slots"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(sys.State, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(sys.State, "record.json"), []byte(record), 0o644); err != nil {
		t.Fatal(err)
	}
	expect(`"phase":"installing","to":"v1.1.0","percent":40,"doing":"Updating slots"`)
}
