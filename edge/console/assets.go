package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

//go:embed assets
var embedded embed.FS

// assets are the page. All but its shell lie below their common hash, so that
// modules find each other by relative names and a browser asks once for each:
// new software is a new hash.
type assets struct {
	hash  string
	shell *asset
	files map[string]*asset // "pages/now.js"
}

// asset is one file.
type asset struct {
	open func() io.Reader
	size int
	kind string
	tag  string // hash

	once   sync.Once
	packed []byte // after once
}

var kinds = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
	".svg": "image/svg+xml", ".txt": "text/plain; charset=utf-8",
}

const (
	shellFile = "index.html"
	iconFile  = "icon.svg"
	firstPage = "pages/now.js" // of who names none
)

// readAssets hashes what is embedded. Nothing is compressed yet.
func readAssets() (*assets, error) {
	a := &assets{files: map[string]*asset{}}
	all := sha256.New()
	var pages []string
	err := fs.WalkDir(embedded, "assets", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		short := strings.TrimPrefix(name, "assets/")
		text, err := embedded.ReadFile(name)
		if err != nil {
			return err
		}
		one := newAsset(short, text)
		one.open = func() io.Reader { f, _ := embedded.Open(name); return f } // it was there
		a.files[short] = one
		fmt.Fprintf(all, "%s %s\n", short, one.tag)
		if dir, file := path.Split(short); dir == "pages/" {
			pages = append(pages, strings.TrimSuffix(file, ".js"))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the page: %w", err)
	}
	a.hash = hex.EncodeToString(all.Sum(nil)[:8])
	text, err := io.ReadAll(a.files[shellFile].open())
	if err != nil {
		return nil, fmt.Errorf("read the page: %w", err)
	}
	shell := []byte(strings.NewReplacer("{{assets}}", "/a/"+a.hash, "{{pages}}", strings.Join(pages, " "), "{{preload}}", a.preload("app.js", firstPage)).Replace(string(text)))
	a.shell = newAsset(shellFile, shell)
	a.shell.open = func() io.Reader { return bytes.NewReader(shell) }
	delete(a.files, shellFile)
	return a, nil
}

var imported = regexp.MustCompile(`(?m)^import .* from "([^"]+)";$`)

// preload lets a browser fetch modules and what they import all at once, rather
// than one level of imports after the other.
func (a *assets) preload(modules ...string) string {
	var links []string
	for seen := map[string]bool{}; len(modules) > 0; modules = modules[1:] {
		module := modules[0]
		one := a.files[module]
		if one == nil || seen[module] {
			continue
		}
		seen[module] = true
		links = append(links, fmt.Sprintf(`<link rel="modulepreload" href="/a/%s/%s">`, a.hash, module))
		text, _ := io.ReadAll(one.open())
		for _, m := range imported.FindAllSubmatch(text, -1) {
			modules = append(modules, path.Join(path.Dir(module), string(m[1])))
		}
	}
	return strings.Join(links, "\n")
}

func newAsset(name string, text []byte) *asset {
	sum := sha256.Sum256(text)
	return &asset{size: len(text), kind: kinds[path.Ext(name)], tag: hex.EncodeToString(sum[:8])}
}

func (a *assets) index(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-cache")
	a.shell.serve(w, r)
}

func (a *assets) icon(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-cache")
	a.files[iconFile].serve(w, r)
}

func (a *assets) serve(w http.ResponseWriter, r *http.Request) {
	one := a.files[r.PathValue("name")]
	if one == nil || r.PathValue("hash") != a.hash {
		refuse(w, r, http.StatusNotFound, "there is nothing at this address", "reload the page")
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	one.serve(w, r)
}

func (a *asset) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Add("Vary", "Accept-Encoding")
	packed := acceptsGzip(r)
	tag := `"` + a.tag + `"`
	if packed {
		tag = `"` + a.tag + `-gz"`
	}
	h.Set("ETag", tag)
	if strings.Contains(r.Header.Get("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if !packed {
		h.Set("Content-Length", strconv.Itoa(a.size))
		_, _ = io.Copy(w, a.open())
		return
	}
	a.once.Do(a.pack)
	h.Set("Content-Encoding", "gzip")
	h.Set("Content-Length", strconv.Itoa(len(a.packed)))
	_, _ = w.Write(a.packed)
}

// pack compresses the file. That of a page that nobody opens costs nothing.
func (a *asset) pack() {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is a good one
	_, _ = io.Copy(z, a.open())
	_ = z.Close() // a buffer takes everything
	a.packed = bytes.Clone(b.Bytes())
}
