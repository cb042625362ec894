package update

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// flaky serves content with ranges, and breaks each connection after some bytes
// as long as it has breaks left.
func flaky(t *testing.T, content []byte, breaks int, ranges bool) (url string, requests *atomic.Int64, first *atomic.Value) {
	t.Helper()
	requests, first = new(atomic.Int64), new(atomic.Value)
	left := atomic.Int64{}
	left.Store(int64(breaks))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		first.Store(r.Header.Get("Range"))
		if !ranges {
			r.Header.Del("Range")
		}
		if left.Add(-1) >= 0 {
			w = &breaking{ResponseWriter: w, left: len(content) / (breaks + 1)}
		}
		http.ServeContent(w, r, "bundle.raucb", time.Time{}, bytes.NewReader(content))
	}))
	t.Cleanup(s.Close)
	return s.URL + "/bundle.raucb", requests, first
}

type breaking struct {
	http.ResponseWriter
	left int
}

func (b *breaking) Write(p []byte) (int, error) {
	n := min(len(p), b.left)
	b.left -= n
	b.ResponseWriter.Write(p[:n])
	if b.left == 0 {
		panic(http.ErrAbortHandler)
	}
	return n, nil
}

func (g *gateway) download(url, sum string) *download {
	d := g.newDownload(url, sum, func(int, string) {})
	d.pause = time.Millisecond
	g.t.Cleanup(d.client.CloseIdleConnections)
	return d
}

func content(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * i >> 3)
	}
	return b
}

func TestDownload(t *testing.T) {
	whole := content(1 << 20)
	sum := fmt.Sprintf("%X", sha256.Sum256(whole))
	for _, c := range []struct {
		name     string
		breaks   int
		ranges   bool
		requests int64
	}{
		{"at once", 0, true, 1},
		{"interrupted", 3, true, 4},
		{"interrupted, and the server begins anew", 2, false, 3},
	} {
		g := newGateway(t, "v1.0.0")
		url, requests, _ := flaky(t, whole, c.breaks, c.ranges)
		path, err := g.download(url, sum).run(t.Context())
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, whole) || requests.Load() != c.requests {
			t.Errorf("%s: got %d bytes, %v, after %d requests, want %d", c.name, len(got), err, requests.Load(), c.requests)
		}
	}
}

// A restart of the machine goes on where the download was.
func TestDownloadGoesOn(t *testing.T) {
	whole := content(300_000)
	g := newGateway(t, "v1.0.0")
	url, _, asked := flaky(t, whole, 0, true)
	d := g.download(url, "")
	path := filepath.Join(g.State, downloading)
	if err := d.sameSource(path); err != nil {
		t.Fatal(err)
	}
	g.write(path, string(whole[:100_000]), 0o600)
	if _, err := g.download(url, "").run(t.Context()); err != nil || asked.Load() != "bytes=100000-" {
		t.Errorf("got %v and asked for %q, want the rest", err, asked.Load())
	}
	if _, err := g.download(url, "").run(t.Context()); err != nil { // all is there
		t.Error(err)
	}
	if _, err := g.download(url+"?v=2", "").run(t.Context()); err != nil || asked.Load() != "" {
		t.Errorf("another file: got %v and asked for %q, want all of it", err, asked.Load())
	}
	if got, _ := os.ReadFile(path); !bytes.Equal(got, whole) {
		t.Errorf("got %d bytes that differ", len(got))
	}
}

func TestDownloadRefused(t *testing.T) {
	whole := content(1 << 20)
	url, _, _ := flaky(t, whole, 0, true)
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush() // chunked: no length
	}))
	defer endless.Close()
	huge := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "99999999999")
	}))
	defer huge.Close()
	never := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
	}))
	defer never.Close()
	for _, c := range []struct {
		name, url, sum, want string
		free                 uint64
	}{
		{"checksum", url, strings.Repeat("0", 64), "is not what was announced", 1 << 40},
		{"no room", url, "", "MB are missing on the data partition", 20 << 20},
		{"not found", strings.Replace(url, "bundle", "other", 1) + "\x7f", "", "invalid", 1 << 40},
		{"no length", endless.URL, "", "a bundle has a size that the server says", 1 << 40},
		{"too large", huge.URL, "", "at most", 1 << 40},
		{"no range is right", never.URL, "", "to a request for all", 1 << 40},
	} {
		g := newGateway(t, "v1.0.0")
		d := g.download(c.url, c.sum)
		d.free = func(string) (uint64, error) { return c.free, nil }
		_, err := d.run(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q in it", c.name, err, c.want)
		}
		if _, err := os.Stat(filepath.Join(g.State, downloading)); err == nil {
			t.Errorf("%s: the file is still there", c.name)
		}
	}
}

// A server that is away is tried until there is no time left.
func TestDownloadGivesUp(t *testing.T) {
	g := newGateway(t, "v1.0.0")
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	d, tries := g.download(s.URL, ""), 0
	d.pause = 50 * time.Millisecond
	d.say = func(int, string) {
		if tries++; tries == 3 {
			cancel()
		}
	}
	if _, err := d.run(ctx); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("got %v, want it to say that the connection was refused", err)
	}
}
