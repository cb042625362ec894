package backup

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"tidegate/internal/whole"
)

// Check finds what is wrong with a configuration file; nil is good.
type Check func(file string) error

// Two folders of a restore, beside each other in a folder that survives a power
// cut: one that is being filled, and one that is whole and must be put in place.
func stagedIn(work string) string { return filepath.Join(work, "tidegate-restore.new") }
func readyIn(work string) string  { return filepath.Join(work, "tidegate-restore.ready") }

const indexName = "index.json"

// record is an entry in the index of a restore.
type record struct {
	Name   string      `json:"name"`
	Folder bool        `json:"folder,omitempty"`
	Perm   fs.FileMode `json:"perm"`
	Owner  string      `json:"owner,omitempty"`
	Group  string      `json:"group,omitempty"`
}

// Restore checks the configuration of the archive with check, stores everything
// in a folder below work, and puts it in place. After an error that is no
// HalfError all files are as they were.
func (a *Archive) Restore(places []Place, work string, check Check) error {
	staged := stagedIn(work)
	if err := errors.Join(os.RemoveAll(staged), os.MkdirAll(staged, 0o700)); err != nil {
		return err
	}
	defer os.RemoveAll(staged)
	if err := a.layOut(places, staged); err != nil {
		return err
	}
	if err := a.check(places, staged, check); err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(readyIn(work)), os.Rename(staged, readyIn(work)), whole.SyncDir(work)); err != nil {
		return err
	}
	_, err := Finish(places, work)
	return err
}

// Missed returns the places of the archive that this machine does not have: a
// card's identity on a machine with the package alone.
func (a *Archive) Missed(places []Place) []string {
	var all []string
	for _, e := range a.entries {
		name, _, _ := strings.Cut(e.name, "/")
		if placeOf(places, e.name) == nil && !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}

// placeOf returns where an entry goes; nil for nowhere.
func placeOf(places []Place, name string) *Place {
	first, _, _ := strings.Cut(name, "/")
	for i := range places {
		if places[i].Name == first {
			return &places[i]
		}
	}
	return nil
}

// layOut writes what has a place into dir, to the disk.
func (a *Archive) layOut(places []Place, dir string) error {
	var index []record
	folders := []string{dir}
	for _, e := range append(a.entries[:len(a.entries):len(a.entries)], a.floor()) {
		if placeOf(places, e.name) == nil {
			continue
		}
		file := filepath.Join(dir, e.name)
		up := filepath.Dir(file)
		if e.folder {
			up = file
		}
		if err := os.MkdirAll(up, 0o700); err != nil {
			return err
		}
		folders = append(folders, up)
		if !e.folder {
			if err := writeFile(file, e.data); err != nil {
				return err
			}
		}
		index = append(index, record{e.name, e.folder, e.perm, e.owner, e.group})
	}
	text, err := json.Marshal(index)
	if err != nil {
		return err
	}
	err = writeFile(filepath.Join(dir, indexName), text)
	slices.Sort(folders)
	for _, f := range slices.Compact(folders) {
		err = errors.Join(err, whole.SyncDir(f))
	}
	return err
}

// epochsAhead is more starts than a gateway makes after a backup.
const epochsAhead = 1 << 20

// floor is the file from which the restored gateway learns which boot epochs
// the other one may have used: an id of a message must not come twice.
func (a *Archive) floor() entry {
	return entry{name: statePlace + "/epoch-floor", perm: 0o644, data: strconv.AppendUint(nil, a.Epoch+epochsAhead, 10)}
}

// check shows check the configuration, with paths that lead to the files of the
// backup where it names some.
func (a *Archive) check(places []Place, staged string, check Check) error {
	if placeOf(places, tomlName) == nil {
		return fmt.Errorf("%w: it has no configuration for this machine", ErrNoBackup)
	}
	var there, back []string
	for _, p := range places {
		if dir := filepath.Join(staged, p.Name); p.As != "" {
			there, back = append(there, p.As+"/", dir+"/"), append(back, dir+"/", p.As+"/")
		}
	}
	file := filepath.Join(staged, "tidegate.toml")
	text := strings.NewReplacer(there...).Replace(string(a.Config()))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	err := check(file)
	if err == nil {
		return os.Remove(file)
	}
	said := strings.NewReplacer(append(back, file, "tidegate.toml")...).Replace(err.Error())
	return fmt.Errorf("nothing was restored, because the configuration in the backup has errors:\n%s", said)
}

// HalfError is a restore that Finish must end.
type HalfError struct{ Err error }

func (e HalfError) Error() string {
	return fmt.Sprintf("only a part was restored: %v; what is left is restored at the next try", e.Err)
}

// Unwrap returns what stopped the restore.
func (e HalfError) Unwrap() error { return e.Err }

// Finish puts in place what a restore has stored, and says whether there was
// anything. It is called at every start, before anything reads the files: a
// restore that a power cut interrupted ends here.
func Finish(places []Place, work string) (bool, error) {
	ready := readyIn(work)
	text, err := os.ReadFile(filepath.Join(ready, indexName))
	if errors.Is(err, fs.ErrNotExist) {
		return false, os.RemoveAll(stagedIn(work))
	}
	var index []record
	if err == nil {
		err = json.Unmarshal(text, &index)
	}
	if err != nil {
		return true, HalfError{err}
	}
	for _, p := range places {
		if err := putPlace(p, index, ready); err != nil {
			return true, HalfError{err}
		}
	}
	// First it is no order any more, then it goes.
	err = errors.Join(os.RemoveAll(stagedIn(work)), os.Rename(ready, stagedIn(work)), whole.SyncDir(work))
	return true, errors.Join(err, os.RemoveAll(stagedIn(work)))
}

// putPlace copies the files of one place. Nothing leaves the folder, whatever
// links are in it.
func putPlace(p Place, index []record, ready string) error {
	var mine []record
	for _, r := range index {
		if strings.HasPrefix(r.Name, p.Name+"/") {
			mine = append(mine, r)
		}
	}
	if len(mine) == 0 {
		return nil
	}
	if err := os.MkdirAll(p.Dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(p.Dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, r := range mine {
		name := strings.TrimPrefix(r.Name, p.Name+"/")
		if r.Folder {
			err = putFolder(root, name, r)
		} else {
			err = putFile(root, name, r, filepath.Join(ready, r.Name))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", filepath.Join(p.Dir, name), err)
		}
	}
	return nil
}

func putFolder(root *os.Root, name string, r record) error {
	if err := root.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(give(f, r), f.Sync(), f.Close())
}

// putFile replaces a file whole, in one step.
func putFile(root *os.Root, name string, r record, from string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	fresh := name + ".new-restore"
	if err := root.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := root.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, give(f, r), f.Sync(), f.Close()); err != nil {
		return errors.Join(err, root.Remove(fresh))
	}
	if err := root.Rename(fresh, name); err != nil {
		return err
	}
	up, err := root.Open(path.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(up.Sync(), up.Close())
}
