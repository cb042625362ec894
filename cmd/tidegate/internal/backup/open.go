package backup

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"filippo.io/age"
)

// What a file that is no use says.
var (
	ErrNoBackup   = errors.New("is no backup of tidegate")
	ErrDamaged    = errors.New("is a damaged backup: it was not copied whole, or its medium is failing; take another copy")
	ErrPassphrase = errors.New("needs another passphrase")
	ErrNewer      = errors.New("was made by a newer tidegate; update this one first")
)

// Archive is a backup that was read and found whole.
type Archive struct {
	Manifest
	entries []entry
}

type entry struct {
	name         string // "config/tidegate.toml", clean, below its place
	folder       bool
	perm         fs.FileMode
	owner, group string // names; may be empty
	data         []byte
}

const sealedMark = "age-encryption.org/"

// Open reads a backup to its end. Its errors are the package's, or of reading.
func Open(r io.Reader, passphrase string) (*Archive, error) {
	in := bufio.NewReader(io.LimitReader(r, 2*mostTotal))
	head, err := in.Peek(len(sealedMark))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var plain io.Reader = in
	if sealed := string(head) == sealedMark; sealed {
		if plain, err = unseal(in, passphrase); err != nil {
			return nil, err
		}
	}
	zip, err := gzip.NewReader(plain)
	switch {
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, io.EOF):
		return nil, ErrNoBackup
	case err != nil:
		return nil, fmt.Errorf("%w (%v)", ErrDamaged, err)
	}
	zip.Multistream(false)
	// One entry too many is seen as such; what unpacks to more is cut.
	bounded := io.LimitReader(zip, mostTotal+mostFile+mostNames*4096)
	a, err := read(tar.NewReader(bounded))
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(io.Discard, bounded); err != nil { // to the check sum
		return nil, fmt.Errorf("%w (%v)", ErrDamaged, err)
	}
	return a, nil
}

func unseal(in io.Reader, passphrase string) (io.Reader, error) {
	if passphrase == "" {
		return nil, fmt.Errorf("%w: it is encrypted", ErrPassphrase)
	}
	identity, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, err
	}
	identity.SetMaxWorkFactor(workFactor + 2) // of one that `age -p` made
	plain, err := age.Decrypt(in, identity)
	var none *age.NoIdentityMatchError
	switch {
	case errors.As(err, &none):
		return nil, fmt.Errorf("%w: this is not it", ErrPassphrase)
	case err != nil:
		return nil, fmt.Errorf("%w (%v)", ErrDamaged, err)
	}
	return plain, nil
}

func read(t *tar.Reader) (*Archive, error) {
	a := &Archive{}
	if err := a.readManifest(t); err != nil {
		return nil, err
	}
	total, seen := 0, map[string]bool{}
	for {
		h, err := t.Next()
		if err == io.EOF {
			return a, a.whole(seen)
		}
		if err != nil {
			return nil, fmt.Errorf("%w (%v)", ErrDamaged, err)
		}
		e, err := newEntry(h)
		if err != nil {
			return nil, err
		}
		if seen[e.name] || len(seen) == mostNames {
			return nil, fmt.Errorf("%w: it has %q twice, or too many names", ErrNoBackup, e.name)
		}
		seen[e.name] = true
		if e.data, err = readEntry(t, h); err != nil {
			return nil, err
		}
		if total += len(e.data); total > mostTotal {
			return nil, fmt.Errorf("%w: it has more than %d bytes", ErrNoBackup, mostTotal)
		}
		a.entries = append(a.entries, e)
	}
}

func (a *Archive) readManifest(t *tar.Reader) error {
	h, err := t.Next()
	if err != nil || h.Name != manifestName || h.Typeflag != tar.TypeReg {
		return ErrNoBackup
	}
	text, err := readEntry(t, h)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &a.Manifest); err != nil || a.Version < 1 {
		return fmt.Errorf("%w: its manifest cannot be read", ErrNoBackup)
	}
	if a.Version > version {
		return fmt.Errorf("%w (it has form %d by %q, and this program knows up to %d)", ErrNewer, a.Version, a.Tidegate, version)
	}
	return nil
}

func readEntry(t *tar.Reader, h *tar.Header) ([]byte, error) {
	if h.Size > mostFile {
		return nil, fmt.Errorf("%w: %q has %d bytes", ErrNoBackup, h.Name, h.Size)
	}
	data, err := io.ReadAll(io.LimitReader(t, mostFile))
	if err != nil {
		return nil, fmt.Errorf("%w (%v)", ErrDamaged, err)
	}
	return data, nil
}

// newEntry refuses every name that is not below a known place, in the one way
// to write it.
func newEntry(h *tar.Header) (entry, error) {
	name := strings.TrimSuffix(h.Name, "/")
	place, below, _ := strings.Cut(name, "/")
	known := slices.ContainsFunc(CardPlaces("/"), func(p Place) bool { return p.Name == place && p.keeps(firstOf(below)) })
	folder := h.Typeflag == tar.TypeDir
	if !known || below == "" || name != path.Clean(name) || !filepath.IsLocal(name) || strings.ContainsAny(name, "\\\x00\n") ||
		!folder && h.Typeflag != tar.TypeReg {
		return entry{}, fmt.Errorf("%w: it has %q, which no backup has", ErrNoBackup, h.Name)
	}
	return entry{name: name, folder: folder, perm: fs.FileMode(h.Mode) & 0o777, owner: h.Uname, group: h.Gname}, nil
}

func firstOf(below string) string {
	first, _, _ := strings.Cut(below, "/")
	return first
}

// whole checks what the entries are together: a file has a folder around it,
// never another file, and there is a configuration.
func (a *Archive) whole(seen map[string]bool) error {
	folders := map[string]bool{}
	for _, e := range a.entries {
		up := path.Dir(e.name)
		if strings.Contains(up, "/") && !folders[up] {
			return fmt.Errorf("%w: %q comes before its folder", ErrNoBackup, e.name)
		}
		if e.folder {
			folders[e.name] = true
		}
	}
	if !seen[tomlName] || folders[tomlName] {
		return fmt.Errorf("%w: it has no tidegate.toml", ErrNoBackup)
	}
	return nil
}

const tomlName = ConfigPlace + "/tidegate.toml"

// Names returns the files in the backup, without folders.
func (a *Archive) Names() []string {
	var all []string
	for _, e := range a.entries {
		if !e.folder {
			all = append(all, e.name)
		}
	}
	return all
}

// Config returns the configuration as it was.
func (a *Archive) Config() []byte {
	for _, e := range a.entries {
		if e.name == tomlName {
			return e.data
		}
	}
	return nil
}
