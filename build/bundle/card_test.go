//go:build image

package bundle

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// An image that is there already saves its making.
var (
	packages = flag.String("deb", "", "the gateway's package for arm64 to make the image of, instead of building it")
	cuts     = flag.Int("cuts", 20, "how often the power is cut")
)

// house is a machine with an image whose updates we sign, and a cloud that is
// away until the end.
type house struct {
	*machine
	pair   Pair
	key    ed25519.PrivateKey // of manifests
	root   string             // a pristine root file system, of which bundles are made
	serial uint64
	web    string // URL of a folder with bundles
	dir    string // that folder
	cloud  *cloud
}

const configuration = `[gateway]
id = "house-1"
[edge]
sync-interval = "1s"
[[edge.listener]]
bind = ":1883"
anonymous = true
[[uplink]]
name = "cloud"
endpoints = ["mqtt://10.0.2.2:%d"]
up = [{filter = "home/#", add = "cloud/"}]
[update]
topic = "gateway/update"
key = "/etc/tidegate/update.pem"
`

// sooner is a part of a unit that has no patience: the test has not three
// quarters of an hour for software that never gets healthy.
const sooner = "[Service]\nExecStart=\nExecStart=/usr/bin/tidegate update confirm -wait -healthy 10s -deadline 4m\nStandardError=journal+console\n"

const soonerFile = "/etc/systemd/system/tidegate-confirm.service.d/sooner.conf"

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{dir: t.TempDir(), pair: pair(t, "ours"), key: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, 32)), cloud: newCloud(t)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s := &http.Server{Handler: http.FileServer(http.Dir(h.dir))}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	h.web = fmt.Sprintf("http://10.0.2.2:%d/", l.Addr().(*net.TCPAddr).Port)

	card := filepath.Join(t.TempDir(), "card.img")
	makeCard(t, card, h.pair.Cert)
	h.root = filepath.Join(t.TempDir(), "root")
	must(t, Slot(card, h.root))
	change(t, h.root, map[string]string{soonerFile: sooner})
	place(t, h.root, card, 1)
	files := t.TempDir()
	der, err := x509.MarshalPKIXPublicKey(h.key.Public())
	must(t, err)
	for name, text := range map[string]string{
		"tidegate.toml": fmt.Sprintf(configuration, h.cloud.port),
		"update.pem":    string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
	} {
		file := filepath.Join(files, name)
		must(t, os.WriteFile(file, []byte(text), 0o644))
		cmd := exec.Command("mcopy", "-o", "-i", fmt.Sprintf("%s@@%d", card, start(t, card, 0)), file, "::"+name)
		cmd.Env = append(os.Environ(), "MTOOLS_SKIP_CHECK=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("mcopy: %v: %s", err, out)
		}
	}
	h.machine = newMachine(t, card)
	return h
}

// makeCard builds the image of this source, version v1.0.0.
func makeCard(t *testing.T, file, keyring string) {
	t.Helper()
	begin := time.Now()
	deb := *packages
	if deb == "" {
		deb = makePackage(t)
	}
	command(t, "go", "run", "./build/image/make", "-compress=false", "-deb", deb, "-keyring", keyring, "-o", file)
	t.Logf("made an image in %v", time.Since(begin).Round(time.Second))
}

func makePackage(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	command(t, "env", "MAKEFLAGS=", "MFLAGS=", "make", "deb", "DIST="+dir, "VERSION=v1.0.0", "COUNT=1")
	found, err := filepath.Glob(filepath.Join(dir, "*_arm64.deb"))
	if err != nil || len(found) != 1 {
		t.Fatalf("got packages %q, %v", found, err)
	}
	return found[0]
}

// command runs a program in the root of the source.
func command(t *testing.T, argv ...string) {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1795000000")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", argv, err, out)
	}
}

// change writes files into an ext4 file system.
func change(t *testing.T, root string, files map[string]string) {
	t.Helper()
	var script strings.Builder
	dir := t.TempDir()
	i := 0
	for name, text := range files {
		at := ""
		for _, part := range strings.Split(filepath.Dir(name), "/")[1:] {
			at += "/" + part
			fmt.Fprintf(&script, "mkdir %s\n", at) // an error if it is there already
		}
		i++
		local := filepath.Join(dir, fmt.Sprint(i))
		must(t, os.WriteFile(local, []byte(text), 0o644))
		fmt.Fprintf(&script, "rm %s\nwrite %s %s\n", name, local, name)
	}
	cmd := exec.Command("debugfs", "-w", "-f", "-", root)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	cmd.Stdin = strings.NewReader(script.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("debugfs: %v: %s", err, out)
	}
}

// start is where a partition of a card begins, in bytes.
func start(t *testing.T, card string, partition int) int64 {
	t.Helper()
	f, err := os.Open(card)
	must(t, err)
	defer f.Close()
	b := make([]byte, 4)
	_, err = f.ReadAt(b, int64(446+16*partition+8))
	must(t, err)
	return (int64(b[0]) | int64(b[1])<<8 | int64(b[2])<<16 | int64(b[3])<<24) * 512
}

func place(t *testing.T, root, card string, partition int) {
	t.Helper()
	out, err := exec.Command("dd", "if="+root, "of="+card, "bs=1M", fmt.Sprintf("seek=%d", start(t, card, partition)>>20), "conv=notrunc", "status=none").CombinedOutput()
	if err != nil {
		t.Fatalf("dd: %v: %s", err, out)
	}
}

// bundle makes a bundle of the pristine root, changed, and returns its name on
// the web.
func (h *house) bundle(version string, p Pair, files map[string]string) string {
	h.t.Helper()
	root := filepath.Join(h.t.TempDir(), "root")
	must(h.t, copyFile(h.root, root))
	files["/usr/lib/tidegate/test-version"] = version
	change(h.t, root, files)
	name := version + ".raucb"
	must(h.t, Make(h.t.Context(), filepath.Join(h.dir, name), Options{Root: root, Version: version, Pair: p, Quick: true}))
	return name
}

// copyFile copies a file with its holes.
func copyFile(from, to string) error {
	return exec.Command("cp", "--sparse=always", from, to).Run()
}

// order signs a manifest with a new serial and publishes it. Every order may go
// back: the program in all the bundles calls itself v1.0.0.
func (h *house) order(version, name string) {
	h.t.Helper()
	h.serial++
	data, err := os.ReadFile(filepath.Join(h.dir, name))
	must(h.t, err)
	body, err := json.Marshal(map[string]any{"url": h.web + name, "sha256": fmt.Sprintf("%x", sha256.Sum256(data)), "version": version,
		"compatible": Compatible, "serial": h.serial, "downgrade": true})
	must(h.t, err)
	sig := ed25519.Sign(h.key, append([]byte("tidegate-update-1\n"), body...))
	must(h.t, h.publish("gateway/update", fmt.Sprintf("tidegate-update-1 %s\n%s", base64.StdEncoding.EncodeToString(sig), body)))
}

// status is what the gateway publishes of the update.
type status struct {
	Serial           uint64
	Phase, To, Error string
}

func (s status) over() bool {
	return slices.Contains([]string{"confirmed", "failed", "returned"}, s.Phase)
}

func (h *house) status() (s status) {
	json.Unmarshal([]byte(h.retained("gateway/update/status")), &s)
	return s
}

// ended waits for the end of the update that was ordered last.
func (h *house) ended() (s status) {
	h.t.Helper()
	h.eventually(fmt.Sprintf("order %d has ended", h.serial), func() bool {
		s = h.status()
		return s.Serial == h.serial && s.over()
	})
	return s
}

// becomes waits for the end of an update, and looks at it.
func (h *house) becomes(phase, to, part string) {
	h.t.Helper()
	begin := time.Now()
	s := h.ended()
	if s.Phase != phase || to != "" && s.To != to || !strings.Contains(s.Error, part) {
		h.t.Fatalf("got %+v, want %s %s %s", s, phase, to, part)
	}
	h.t.Logf("%s %s after %v: %s", to, s.Phase, time.Since(begin).Round(time.Second), s.Error)
}

// cloud is a Mosquitto that the gateway reaches when the door is open.
type cloud struct {
	t    *testing.T
	port int // the gateway's
	unix string

	mu   sync.Mutex
	open bool
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	dir, err := os.MkdirTemp("", "cloud-")
	must(t, err)
	c := &cloud{t: t, unix: filepath.Join(dir, "mqtt")}
	conf := filepath.Join(dir, "conf")
	must(t, os.WriteFile(conf, fmt.Appendf(nil, "listener 0 %s\nallow_anonymous true\nuser root\nmax_queued_messages 0\n", c.unix), 0o600))
	p := exec.Command("mosquitto", "-c", conf)
	p.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	if p.Path, err = exec.LookPath("/usr/sbin/mosquitto"); err == nil {
		p.Err = nil
	}
	must(t, p.Start())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	c.port = l.Addr().(*net.TCPAddr).Port
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { c.pass(ctx, in) })
		}
	})
	t.Cleanup(func() {
		cancel()
		l.Close()
		wg.Wait()
		p.Process.Kill()
		p.Wait()
		os.RemoveAll(dir)
	})
	return c
}

func (c *cloud) pass(ctx context.Context, in net.Conn) {
	defer in.Close()
	c.mu.Lock()
	open := c.open
	c.mu.Unlock()
	if !open {
		return
	}
	out, err := net.Dial("unix", c.unix)
	if err != nil {
		return
	}
	defer out.Close()
	defer context.AfterFunc(ctx, func() { in.Close(); out.Close() })()
	var wg sync.WaitGroup
	wg.Go(func() { pour(out, in); out.Close() })
	wg.Go(func() { pour(in, out); in.Close() })
	wg.Wait()
}

func pour(to, from net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

// receive opens the door and returns the payloads of n messages.
func (c *cloud) receive(n int) []string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "mosquitto_sub", "--unix", c.unix, "-q", "1", "-t", "cloud/home/#", "-C", fmt.Sprint(n), "-F", "%p")
	var out bytes.Buffer
	cmd.Stdout = &out
	must(c.t, cmd.Start())
	time.Sleep(3 * time.Second) // it has subscribed; if not, the messages are missed and the test fails
	c.mu.Lock()
	c.open = true
	c.mu.Unlock()
	if err := cmd.Wait(); err != nil {
		c.t.Errorf("waiting for %d messages in the cloud: %v", n, err)
	}
	return strings.Fields(out.String())
}
