package bundle

import (
	"bytes"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tidegate/internal/formats"
)

// tool runs a program that must succeed.
func tool(t *testing.T, argv ...string) {
	t.Helper()
	if err := run(t.Context(), argv...); err != nil {
		t.Fatal(err)
	}
}

// rootFile is a small root file system in a large file.
func rootFile(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	noise := make([]byte, 1<<20)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	tree := filepath.Join(dir, "tree")
	if err := os.Mkdir(tree, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tree, "file"), noise, 0o644); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "root")
	tool(t, "mke2fs", "-q", "-t", "ext4", "-O", "^has_journal,^resize_inode", "-d", tree, file, "64M")
	return file
}

func pair(t *testing.T, name string) Pair {
	t.Helper()
	dir := t.TempDir()
	p := Pair{filepath.Join(dir, "key.pem"), filepath.Join(dir, "cert.pem")}
	if err := p.make(name); err != nil {
		t.Fatal(err)
	}
	return p
}

// info is what a gateway asks RAUC about a bundle.
func info(cert, file string) (out, stderr []byte, err error) {
	cmd := exec.Command("rauc", "--keyring="+cert, "info", "--output-format=json", file)
	var b bytes.Buffer
	cmd.Stderr = &b
	out, err = cmd.Output()
	return out, b.Bytes(), err
}

// RAUC itself reads what we make, and refuses what it must.
func TestBundle(t *testing.T) {
	p, other := pair(t, "ours"), pair(t, "theirs")
	root, file := rootFile(t), filepath.Join(t.TempDir(), "update.raucb")
	if err := Make(t.Context(), file, Options{Root: root, Version: "v1.2.3", Pair: p, Quick: true}); err != nil {
		t.Fatal(err)
	}
	out, stderr, err := info(p.Cert, file)
	if err != nil {
		t.Fatalf("%v: %s", err, stderr)
	}
	var got struct {
		Compatible, Version, Build string
		Images                     []map[string]struct {
			Filename string
			Size     int64
		}
	}
	if err := json.Unmarshal(out, &got); err != nil || len(got.Images) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	image := got.Images[0]["rootfs"]
	if got.Compatible != Compatible || got.Version != "v1.2.3" || got.Build != "formats "+formats.Ours().String() || image.Filename != "rootfs.ext4" {
		t.Errorf("got %s", out)
	}
	if image.Size > 8<<20 {
		t.Errorf("got a root of %d bytes, want it shrunk from 64 MiB", image.Size)
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		cert string
		data []byte
		want string // the words that `tidegate update` looks for
	}{
		{"signed by another", other.Cert, whole, "signature verification failed"},
		{"truncated", p.Cert, whole[:len(whole)/2], "exceeds bundle size"},
		{"without its end", p.Cert, whole[:len(whole)-1], ""},
		{"manifest changed", p.Cert, bytes.Replace(bytes.Clone(whole), []byte("v1.2.3"), []byte("v1.2.4"), 1), ""},
		{"empty", p.Cert, nil, ""},
	} {
		bad := filepath.Join(t.TempDir(), "bad.raucb")
		if err := os.WriteFile(bad, c.data, 0o644); err != nil {
			t.Fatal(err)
		}
		out, stderr, err := info(c.cert, bad)
		if err == nil || !strings.Contains(string(stderr), c.want) {
			t.Errorf("%s: got %v, %s, %s, want %q", c.name, err, out, stderr, c.want)
		}
	}
}

func TestDevelopmentPair(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_DATA_HOME", dir)
	var warning bytes.Buffer
	p, err := DevelopmentPair(&warning)
	if err != nil || !strings.Contains(warning.String(), "*** WARNING") {
		t.Fatalf("got %v, %s", err, &warning)
	}
	if info, err := os.Stat(p.Key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key: got %v, %v, want it for its owner only", info, err)
	}
	was, err := os.ReadFile(p.Cert)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := DevelopmentPair(io.Discard); err != nil || again != p {
		t.Errorf("got %v, %v, want the same pair", again, err)
	}
	if is, _ := os.ReadFile(p.Cert); !bytes.Equal(is, was) {
		t.Error("the certificate was made anew")
	}
}

func TestSlot(t *testing.T) {
	dir := t.TempDir()
	card, out := filepath.Join(dir, "card"), filepath.Join(dir, "root")
	if err := os.WriteFile(card, make([]byte, 4<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Slot(card, out); err == nil {
		t.Error("a card without partitions: got no error")
	}
	cmd := exec.Command("sfdisk", "-q", "-X", "dos", card)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	cmd.Stdin = strings.NewReader("start=2048,size=2048,type=c\nstart=4096,size=2048,type=83\n")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	f, err := os.OpenFile(card, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("root"), 2<<20+100_000); err != nil {
		t.Fatal(err)
	}
	if err := Slot(card, out); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(out); err != nil || len(got) != 1<<20 || string(got[100_000:100_004]) != "root" {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}
