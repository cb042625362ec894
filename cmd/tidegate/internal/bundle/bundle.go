// Package bundle writes texts about a machine into one file that may be given
// away.
package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"tidegate/cmd/tidegate/internal/redact"
	"tidegate/internal/whole"
)

// Part is one text.
type Part struct {
	Name  string
	About string
	Make  func() (string, error) // an error becomes the text
	Size  int                    // bytes; set by Write
}

// leftOut stands for a part that still had a secret after it was redacted.
const leftOut = "left out: something in it could not be told from a secret\n"

// Write makes file, a .tar.gz that only its owner may read, whole or not at all:
// README.txt, which says what is in it, and the parts, without the secrets that
// scrub finds. It returns the parts with their sizes.
func Write(file string, scrub *redact.Scrubber, parts []Part) ([]Part, error) {
	err := whole.Write(file, func(f *os.File) (err error) {
		parts, err = pack(f, scrub, parts)
		return err
	})
	return parts, err
}

func pack(f *os.File, scrub *redact.Scrubber, parts []Part) ([]Part, error) {
	now := time.Now()
	readme := "What a gateway says about itself, for whoever helps. Made by: tidegate support\n" + now.UTC().Format(time.RFC3339) +
		"\n\nPasswords, keys, tokens and Wi-Fi keys were taken out (" + redact.Mark + "). Names of devices, topics and\naddresses are in it; messages are not.\n\n"
	for _, p := range parts {
		readme += fmt.Sprintf("%-16s %s\n", p.Name, p.About)
	}
	z := gzip.NewWriter(f)
	w := tar.NewWriter(z)
	all := append([]Part{{Name: "README.txt", About: "what is in it", Make: func() (string, error) { return readme, nil }}}, parts...)
	for i := range all {
		text := clean(scrub, &all[i])
		all[i].Size = len(text)
		head := &tar.Header{Name: "tidegate-support/" + all[i].Name, Mode: 0o600, Size: int64(len(text)), ModTime: now, Format: tar.FormatPAX}
		if err := w.WriteHeader(head); err != nil {
			return nil, err
		}
		if _, err := w.Write(text); err != nil {
			return nil, err
		}
	}
	return all, errors.Join(w.Close(), z.Close())
}

// clean makes a part's text and takes the secrets out.
func clean(scrub *redact.Scrubber, p *Part) []byte {
	text, err := p.Make()
	if err != nil {
		text = strings.TrimSpace(text+"\n(not all is there: "+err.Error()+")") + "\n"
	}
	text = scrub.Text(text)
	if scrub.Holds(text) {
		text = leftOut
	}
	return bytes.ToValidUTF8([]byte(text), []byte("?"))
}
