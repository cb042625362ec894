package backup

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"filippo.io/age"

	"tidegate/edge"
)

// Place is a folder that is kept.
type Place struct {
	Name string   // in the backup: "config"
	Dir  string   // on this machine: "/data/config"
	As   string   // where the gateway sees it: "/etc/tidegate"; "" for nowhere
	Only []string // patterns of names directly in Dir; none: everything
}

// ConfigPlace is the name of the place that holds tidegate.toml.
const ConfigPlace = "config"

// statePlace is the data directory: the users that people added, and where a
// restore leaves the floor of the epochs.
const statePlace = "state"

// ofState are the files of the data directory that are kept.
var ofState = []string{edge.KeptFile, edge.AdministratorFile}

// Places returns what is kept on a machine: of an image the folders of its data
// partition, else the folder of the configuration, and the users in state, the
// data directory of the gateway.
func Places(data, configDir, state string) []Place {
	if !IsCard(data) {
		return []Place{{Name: ConfigPlace, Dir: configDir, As: configDir}, {Name: statePlace, Dir: state, Only: ofState}}
	}
	return CardPlaces(data)
}

// IsCard says whether data is the data partition of an image.
func IsCard(data string) bool {
	info, err := os.Stat(filepath.Join(data, "identity"))
	return err == nil && info.IsDir()
}

// CardPlaces returns what is kept of a card whose data partition is mounted at
// data. The folders need not be there.
func CardPlaces(data string) []Place {
	return []Place{
		{Name: ConfigPlace, Dir: filepath.Join(data, "config"), As: "/etc/tidegate"},
		{Name: "identity", Dir: filepath.Join(data, "identity"), As: "/data/identity"},
		{Name: "system", Dir: filepath.Join(data, "system"), Only: []string{"wifi*", "hostname*", "ssh*"}},
		{Name: statePlace, Dir: filepath.Join(data, "tidegate"), Only: ofState},
	}
}

// Manifest says what a backup is of.
type Manifest struct {
	Version  int       `json:"version"`  // of the file's form: 2; 1 has no state
	Gateway  string    `json:"gateway"`  // id
	Epoch    uint64    `json:"epoch"`    // boot epoch when it was made; 0: none so far
	Created  time.Time `json:"created"`  // by the gateway's clock, which may be wrong
	Tidegate string    `json:"tidegate"` // version of the program
}

const (
	version      = 2
	manifestName = "tidegate-backup.json"
)

// Bounds of a backup. A configuration has some KiB.
const (
	mostFile  = 4 << 20 // bytes
	mostTotal = 16 << 20
	mostNames = 1000
)

// workFactor is the logarithm of scrypt's cost: 64 MiB for a moment, where
// age's own 18 would take 256 MiB, half of a Pi Zero 2 W.
const workFactor = 16

// Write writes a backup of the places to w, encrypted unless the passphrase is
// empty. The manifest's version is filled in.
func Write(w io.Writer, m Manifest, places []Place, passphrase string) (err error) {
	m.Version = version
	out := w
	if passphrase != "" {
		to, err := age.NewScryptRecipient(passphrase)
		if err != nil {
			return err
		}
		to.SetWorkFactor(workFactor)
		sealed, err := age.Encrypt(w, to)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, sealed.Close()) }()
		out = sealed
	}
	zip := gzip.NewWriter(out)
	t := &writer{Writer: tar.NewWriter(zip), created: m.Created}
	err = t.all(m, places)
	return errors.Join(err, t.Close(), zip.Close())
}

type writer struct {
	*tar.Writer
	created time.Time
	total   int64
	names   int
}

func (w *writer) all(m Manifest, places []Place) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := w.entry(&tar.Header{Typeflag: tar.TypeReg, Name: manifestName, Mode: 0o600}, text); err != nil {
		return err
	}
	for _, p := range places {
		if err := w.place(p); err != nil {
			return err
		}
	}
	return nil
}

// place adds a folder; one that is not there has nothing.
func (w *writer) place(p Place) error {
	list, err := os.ReadDir(p.Dir)
	if errors.Is(err, fs.ErrNotExist) && p.Name != ConfigPlace {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range list {
		if p.keeps(e.Name()) {
			if err := w.tree(filepath.Join(p.Dir, e.Name()), path.Join(p.Name, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// keeps says whether a name directly in the place belongs to the backup. What a
// run that was killed left half written does not.
func (p Place) keeps(name string) bool {
	if strings.Contains(name, ".new-") {
		return false
	}
	return len(p.Only) == 0 || slices.ContainsFunc(p.Only, func(pattern string) bool {
		ok, _ := path.Match(pattern, name)
		return ok
	})
}

// tree adds a file or a folder with all in it. A link to a file is kept as the
// file.
func (w *writer) tree(file, name string) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: int64(info.Mode().Perm())}
	h.Uname, h.Gname = ownerNames(info)
	switch {
	case info.IsDir():
		if link, err := os.Lstat(file); err != nil || link.Mode()&fs.ModeSymlink != 0 {
			return errors.Join(err, fmt.Errorf("%s is a link to a folder; put the folder itself there", file))
		}
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
		if err := w.entry(h, nil); err != nil {
			return err
		}
		list, err := os.ReadDir(file)
		for _, e := range list {
			err = errors.Join(err, w.tree(filepath.Join(file, e.Name()), path.Join(name, e.Name())))
		}
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is neither a file nor a folder; take it away", file)
	case info.Size() > mostFile:
		return fmt.Errorf("%s has %d bytes, and a backup takes files up to %d; take it away", file, info.Size(), mostFile)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return w.entry(h, data)
}

func (w *writer) entry(h *tar.Header, data []byte) error {
	w.total += int64(len(data))
	w.names++
	if w.total > mostTotal || w.names > mostNames {
		return fmt.Errorf("there is more than a configuration: over %d files or %d bytes; take away what does not belong there", mostNames, mostTotal)
	}
	h.Size, h.ModTime, h.Format = int64(len(data)), w.created.Truncate(time.Second), tar.FormatPAX
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err := w.Writer.Write(data)
	return err
}

// ownerNames are names because another card may number its users otherwise.
func ownerNames(info fs.FileInfo) (owner, group string) {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", ""
	}
	if u, err := user.LookupId(strconv.Itoa(int(s.Uid))); err == nil {
		owner = u.Username
	}
	if g, err := user.LookupGroupId(strconv.Itoa(int(s.Gid))); err == nil {
		group = g.Name
	}
	return owner, group
}
