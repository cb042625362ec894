package console

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"path"
	"testing"
)

// vendored are the files of others, byte for byte as npm has them: uplot 1.6.32,
// integrity sha512-KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==.
// The script is the one that makes a global: the ES module comes only in a form
// twice as heavy.
var vendored = map[string]string{
	"uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
	"uPlot.min.css":     "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
	"uPlot.LICENSE.txt": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
}

const uplotVersion = "v1.6.32"

// What others wrote is what they published, and says so.
func TestVendoredFiles(t *testing.T) {
	files, err := fs.Glob(embedded, "assets/vendor/*")
	if err != nil || len(files) != len(vendored) {
		t.Fatalf("got %q, %v, want %d files", files, err, len(vendored))
	}
	for _, name := range files {
		text, err := embedded.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(text)
		if got, want := hex.EncodeToString(sum[:]), vendored[path.Base(name)]; got != want {
			t.Errorf("%s: got SHA-256 %s, want %q", name, got, want)
		}
		if path.Ext(name) == ".js" && !bytes.Contains(text[:min(len(text), 100)], []byte("("+uplotVersion+")")) {
			t.Errorf("%s does not say that it is %s", name, uplotVersion)
		}
	}
}
