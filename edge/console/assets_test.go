package console

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"regexp"
	"strings"
	"testing"
)

// mostWeight is what the whole page may weigh, compressed, in bytes.
const mostWeight = 200_000

// raw asks without letting the client decompress.
func (b *browser) raw(path string, headers ...string) reply {
	return b.do("GET", path, "", append([]string{"Accept-Encoding: br, gzip;q=0.9"}, headers...)...)
}

func unpacked(t *testing.T, text string) string {
	t.Helper()
	z, err := gzip.NewReader(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}

var named = regexp.MustCompile(`/a/[0-9a-f]{16}/[a-z/.-]+`)

// Everything that the shell names is there, compressed, known by its tag, and kept
// for ever under its hash.
func TestPageIsServed(t *testing.T) {
	b := newHouse(t, nil).browser()
	shell := b.raw("/")
	if shell.header.Get("Cache-Control") != "no-cache" || shell.header.Get("Content-Encoding") != "gzip" {
		t.Errorf("shell: got %v", shell.header)
	}
	text := unpacked(t, shell.body)
	if strings.Contains(text, "{{") {
		t.Errorf("a mark is left in the shell: %s", text)
	}
	paths := named.FindAllString(text, -1)
	for _, module := range []string{"app.js", "pages/now.js", "parts/path.js", "parts/words.js"} { // each imports the next
		if !strings.Contains(text, "/"+module+`"`) {
			t.Errorf("the shell does not name %s", module)
		}
	}
	for _, path := range append(paths, "/favicon.ico") {
		r := b.raw(path)
		tag := r.header.Get("ETag")
		if r.code != 200 || !strings.HasSuffix(tag, `-gz"`) || r.header.Get("Vary") != "Accept-Encoding" || r.header.Get("Content-Type") == "" {
			t.Errorf("%s: got %d %v", path, r.code, r.header)
		}
		if strings.HasPrefix(path, "/a/") && !strings.Contains(r.header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: got %q", path, r.header.Get("Cache-Control"))
		}
		if again := b.raw(path, "If-None-Match: "+tag); again.code != 304 || again.body != "" {
			t.Errorf("%s again: got %d with %d bytes", path, again.code, len(again.body))
		}
		plain := b.do("GET", path, "", "Accept-Encoding: identity")
		if plain.body != unpacked(t, r.body) || plain.header.Get("ETag") == tag || plain.header.Get("Content-Encoding") != "" {
			t.Errorf("%s: what is not compressed differs, or has the same tag", path)
		}
	}
	if r := b.do("GET", "/a/0000000000000000/app.js", ""); r.code != 404 {
		t.Errorf("of other software: got %d", r.code)
	}
}

// All together weighs little, has a kind, and names no other host.
func TestWeight(t *testing.T) {
	weight := 0
	host := regexp.MustCompile(`["'(](https?:)?//[a-z0-9]`)
	err := fs.WalkDir(embedded, "assets", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := embedded.ReadFile(name)
		if err != nil {
			return err
		}
		a := newAsset(name, text)
		a.open = func() io.Reader { return bytes.NewReader(text) }
		a.pack()
		weight += len(a.packed)
		if a.kind == "" {
			t.Errorf("%s: of no known kind", name)
		}
		for _, found := range host.FindAllString(strings.ReplaceAll(string(text), "http://www.w3.org/", ""), -1) {
			t.Errorf("%s names another host: %s", name, found)
		}
		for _, bad := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("} {
			if bytes.Contains(text, []byte(bad)) && !strings.Contains(name, "/vendor/") {
				t.Errorf("%s has %s", name, bad)
			}
		}
		return nil
	})
	if err != nil || weight == 0 || weight > mostWeight {
		t.Errorf("the page weighs %d bytes (%v), want at most %d", weight, err, mostWeight)
	}
	t.Logf("the page weighs %d bytes", weight)
}

// A page that is linked is there, and begins as the shell wants it.
func TestPagesAreWhatTheShellWants(t *testing.T) {
	pages, err := fs.Glob(embedded, "assets/pages/*.js")
	if err != nil || len(pages) == 0 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	for _, name := range pages {
		text, err := embedded.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"export const title = ", "export function mount(root, app)"} {
			if !bytes.Contains(text, []byte(want)) {
				t.Errorf("%s lacks %q", name, want)
			}
		}
	}
}

func TestAcceptsGzip(t *testing.T) {
	b := newHouse(t, nil).browser()
	for accept, want := range map[string]string{"gzip": "gzip", "br, gzip": "gzip", "gzip;q=0": "", "gzip; q=0.0": "", "gzip; q=0.5": "gzip", "br": "", "x-gzip2": ""} {
		if got := b.do("GET", "/", "", "Accept-Encoding: "+accept).header.Get("Content-Encoding"); got != want {
			t.Errorf("%q: got %q, want %q", accept, got, want)
		}
	}
}

func TestCode(t *testing.T) {
	h := newHouse(t, nil)
	b := h.as("admin", adminPassword)
	r := b.do("POST", "/api/qr", `{"text":"HELLO"}`)
	got := r.json(t)
	path, _ := got["path"].(string)
	// Version 1 has 21 modules; the finder pattern begins with a bar of seven.
	if r.code != 200 || got["size"] != 29.0 || !strings.HasPrefix(path, "M4 4h7v1h-7z") {
		t.Errorf("got %d %v", r.code, got)
	}
	for _, body := range []string{`{"text":""}`, `{"text":"` + strings.Repeat("x", mostQR+1) + `"}`} {
		if r := b.do("POST", "/api/qr", body); r.code != 400 {
			t.Errorf("%.20s: got %d", body, r.code)
		}
	}
}
