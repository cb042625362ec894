package backup

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// card makes a data partition with the given files.
func card(t *testing.T, files map[string]string) string {
	t.Helper()
	data := t.TempDir()
	for name, content := range files {
		file := filepath.Join(data, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	return data
}

// contents returns every file below a folder.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(file)
		name, _ := filepath.Rel(dir, file)
		all[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func same(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	got := contents(t, dir)
	for _, name := range slices.Sorted(keys(got, want)) {
		if got[name] != want[name] {
			t.Errorf("%s: got %q, want %q", name, got[name], want[name])
		}
	}
}

func keys(maps ...map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		seen := map[string]bool{}
		for _, m := range maps {
			for k := range m {
				if !seen[k] && !yield(k) {
					return
				}
				seen[k] = true
			}
		}
	}
}

var old = map[string]string{
	"config/tidegate.toml":       "users = \"/etc/tidegate/users.toml\"\nid = \"/data/identity/gateway-id\"\n",
	"config/users.toml":          "secret",
	"config/tls/server.key":      "key",
	"identity/gateway-id":        "house-17",
	"identity/ssh/host_key":      "private",
	"system/wifi/wlan0.conf":     "psk",
	"system/ssh/authorized_keys": "ssh-ed25519 AAAA",
	"system/journal/old.log":     "not kept",
	"system/clock":               "not kept",
	"tidegate/users.toml":        "hashes",
	"tidegate/administrator":     "hash",
	"tidegate/edge.db":           "not kept",
}

func backupOf(t *testing.T, data, passphrase string) []byte {
	t.Helper()
	var b bytes.Buffer
	m := Manifest{Gateway: "house-17", Epoch: 41, Created: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC), Tidegate: "v1"}
	if err := Write(&b, m, Places(data, "", ""), passphrase); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func good(string) error { return nil }

func TestAnotherCardBecomesTheSameGateway(t *testing.T) {
	for _, passphrase := range []string{"", "correct horse"} {
		t.Run("passphrase "+passphrase, func(t *testing.T) {
			packed := backupOf(t, card(t, old), passphrase)
			fresh := card(t, map[string]string{"config/tidegate.toml": "# shipped\n", "identity/gateway-id": "other", "system/clock": "now"})
			a, err := Open(bytes.NewReader(packed), passphrase)
			if err != nil {
				t.Fatal(err)
			}
			if a.Gateway != "house-17" || a.Epoch != 41 || a.Version != version {
				t.Errorf("got %+v", a.Manifest)
			}
			checked := false
			err = a.Restore(CardPlaces(fresh), fresh, func(file string) error {
				text, err := os.ReadFile(file)
				named := strings.Split(string(text), `"`)
				secret, err2 := os.ReadFile(named[1])
				id, err3 := os.ReadFile(named[3])
				checked = string(secret) == "secret" && string(id) == "house-17"
				return errors.Join(err, err2, err3)
			})
			if err != nil {
				t.Fatal(err)
			}
			if !checked {
				t.Error("the check did not see the files that the configuration names")
			}
			want := map[string]string{"system/clock": "now", "tidegate/epoch-floor": "1048617"}
			for name, content := range old {
				if content != "not kept" {
					want[name] = content
				}
			}
			same(t, fresh, want)
			info, err := os.Stat(filepath.Join(fresh, "config/users.toml"))
			if err != nil || info.Mode().Perm() != 0o640 {
				t.Errorf("got %v, %v, want the mode it had", info.Mode(), err)
			}
		})
	}
}

func TestWithTheDebianPackageTheConfigurationIsKept(t *testing.T) {
	home := card(t, old)
	etc := filepath.Join(home, "config")
	var b bytes.Buffer
	if err := Write(&b, Manifest{}, Places(filepath.Join(t.TempDir(), "none"), etc, filepath.Join(home, "tidegate")), ""); err != nil {
		t.Fatal(err)
	}
	a, err := Open(&b, "")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := a.Names(), []string{"config/tidegate.toml", "config/tls/server.key", "config/users.toml", "state/administrator", "state/users.toml"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestACardsBackupOnAMachineWithThePackage(t *testing.T) {
	a, err := Open(bytes.NewReader(backupOf(t, card(t, old), "")), "")
	if err != nil {
		t.Fatal(err)
	}
	etc := filepath.Join(t.TempDir(), "tidegate")
	places := []Place{{Name: ConfigPlace, Dir: etc, As: etc}}
	if got, want := a.Missed(places), []string{"identity", "system", "state"}; !slices.Equal(got, want) {
		t.Errorf("missed: got %v, want %v", got, want)
	}
	if err := a.Restore(places, t.TempDir(), good); err != nil {
		t.Fatal(err)
	}
	same(t, etc, map[string]string{"tidegate.toml": old["config/tidegate.toml"], "users.toml": "secret", "tls/server.key": "key"})
}

func TestABadConfigurationRestoresNothing(t *testing.T) {
	a, err := Open(bytes.NewReader(backupOf(t, card(t, old), "")), "")
	if err != nil {
		t.Fatal(err)
	}
	before := map[string]string{"config/tidegate.toml": "mine", "identity/gateway-id": "mine"}
	data := card(t, before)
	err = a.Restore(CardPlaces(data), data, func(file string) error {
		return errors.New(file + ":2: " + filepath.Dir(file) + "/config/users.toml: wrong")
	})
	if want := "tidegate.toml:2: /etc/tidegate/users.toml: wrong"; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("got %v, want ...%s", err, want)
	}
	same(t, data, before)
}

// The power fails between any two files: what was begun is ended at the next
// start, by Finish.
func TestARestoreThatWasInterruptedIsFinished(t *testing.T) {
	a, err := Open(bytes.NewReader(backupOf(t, card(t, old), "")), "")
	if err != nil {
		t.Fatal(err)
	}
	data := card(t, map[string]string{"config/tidegate.toml": "mine", "identity/ssh/host_key/in-the-way": "x"})
	var half HalfError
	if err := a.Restore(CardPlaces(data), data, good); !errors.As(err, &half) {
		t.Fatalf("got %v, want a HalfError: a folder is where a file goes", err)
	}
	if err := os.RemoveAll(filepath.Join(data, "identity/ssh")); err != nil {
		t.Fatal(err)
	}
	if done, err := Finish(CardPlaces(data), data); !done || err != nil {
		t.Fatalf("got %v, %v", done, err)
	}
	if got := contents(t, data); got["identity/ssh/host_key"] != "private" || got["config/tidegate.toml"] != old["config/tidegate.toml"] || got["identity/gateway-id"] != "house-17" {
		t.Errorf("got %v", got)
	}
	if done, err := Finish(CardPlaces(data), data); done || err != nil {
		t.Errorf("again: got %v, %v, want nothing to do", done, err)
	}
}

// Before everything is stored nothing has begun.
func TestARestoreThatWasNotStoredIsForgotten(t *testing.T) {
	a, err := Open(bytes.NewReader(backupOf(t, card(t, old), "")), "")
	if err != nil {
		t.Fatal(err)
	}
	before := map[string]string{"config/tidegate.toml": "mine"}
	data := card(t, before)
	if err := errors.Join(os.Mkdir(stagedIn(data), 0o700), a.layOut(CardPlaces(data), stagedIn(data))); err != nil {
		t.Fatal(err)
	}
	if done, err := Finish(CardPlaces(data), data); done || err != nil {
		t.Fatalf("got %v, %v, want nothing done", done, err)
	}
	same(t, data, before)
}

// A link in the folders of the gateway leads nowhere else.
func TestRestoreStaysInItsFolders(t *testing.T) {
	a, err := Open(bytes.NewReader(backupOf(t, card(t, old), "")), "")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := t.TempDir()
	data := card(t, map[string]string{"config/tidegate.toml": "mine"})
	if err := os.Symlink(elsewhere, filepath.Join(data, "config/tls")); err != nil {
		t.Fatal(err)
	}
	if err := a.Restore(CardPlaces(data), data, good); err == nil {
		t.Error("got no error, want one about the link")
	}
	same(t, elsewhere, nil)
}

func TestABrokenCopyIsRefusedWhereverItBreaks(t *testing.T) {
	packed := backupOf(t, card(t, old), "")
	whole, err := Open(bytes.NewReader(packed), "")
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(packed) {
		if _, err := Open(bytes.NewReader(packed[:n]), ""); !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNoBackup) {
			t.Fatalf("the first %d bytes: got %v", n, err)
		}
	}
	for n := 10; n < len(packed); n++ { // the header of gzip has bytes that mean nothing
		bad := bytes.Clone(packed)
		bad[n] ^= 0x10
		if a, err := Open(bytes.NewReader(bad), ""); err == nil && !reflect.DeepEqual(a, whole) { // some bits mean nothing
			t.Fatalf("byte %d changed: got another backup and no error", n)
		}
	}
}

func TestAnEncryptedBackup(t *testing.T) {
	packed := backupOf(t, card(t, old), "correct horse")
	if bytes.Contains(packed, []byte("secret")) || bytes.Contains(packed, []byte("house-17")) {
		t.Error("it can be read without the passphrase")
	}
	for passphrase, want := range map[string]error{"": ErrPassphrase, "wrong": ErrPassphrase} {
		if _, err := Open(bytes.NewReader(packed), passphrase); !errors.Is(err, want) {
			t.Errorf("passphrase %q: got %v, want %v", passphrase, err, want)
		}
	}
	bad := bytes.Clone(packed)
	bad[len(bad)-20] ^= 1
	if _, err := Open(bytes.NewReader(bad), "correct horse"); err == nil {
		t.Error("changed: got no error")
	}
	if _, err := Open(bytes.NewReader(packed[:len(packed)-30]), "correct horse"); err == nil {
		t.Error("cut: got no error")
	}
}

// made is a backup as an enemy, or a newer program, would make it.
func made(t testing.TB, manifest string, entries ...*tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	w := tar.NewWriter(zip)
	all := append([]*tar.Header{{Name: manifestName, Size: int64(len(manifest)), Typeflag: tar.TypeReg}}, entries...)
	for i, h := range all {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			io.WriteString(w, manifest)
		} else if h.Size > 0 {
			io.CopyN(w, zeros{}, h.Size)
		}
	}
	if err := errors.Join(w.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestFilesOfAnEnemyAreRefused(t *testing.T) {
	file := func(name string) *tar.Header { return &tar.Header{Name: name, Typeflag: tar.TypeReg} }
	toml := file("config/tidegate.toml")
	many := []*tar.Header{toml}
	for i := range mostNames {
		many = append(many, file("config/"+strings.Repeat("a", i/26)+string(rune('a'+i%26))))
	}
	for name, c := range map[string]struct {
		manifest string
		entries  []*tar.Header
		want     error
	}{
		"newer":             {`{"version":3}`, []*tar.Header{toml}, ErrNewer},
		"no version":        {`{}`, []*tar.Header{toml}, ErrNoBackup},
		"no manifest":       {`[]`, []*tar.Header{toml}, ErrNoBackup},
		"no configuration":  {`{"version":1}`, nil, ErrNoBackup},
		"upward":            {`{"version":1}`, []*tar.Header{toml, file("config/../../etc/passwd")}, ErrNoBackup},
		"absolute":          {`{"version":1}`, []*tar.Header{toml, file("/etc/passwd")}, ErrNoBackup},
		"not clean":         {`{"version":1}`, []*tar.Header{toml, file("config//tidegate.toml")}, ErrNoBackup},
		"backslash":         {`{"version":1}`, []*tar.Header{toml, file(`config/..\x`)}, ErrNoBackup},
		"another place":     {`{"version":1}`, []*tar.Header{toml, file("tidegate/edge.db")}, ErrNoBackup},
		"not of the system": {`{"version":1}`, []*tar.Header{toml, file("system/rauc.status")}, ErrNoBackup},
		"messages":          {`{"version":2}`, []*tar.Header{toml, file("state/edge.db")}, ErrNoBackup},
		"floor":             {`{"version":2}`, []*tar.Header{toml, file("state/epoch-floor")}, ErrNoBackup},
		"place as file":     {`{"version":1}`, []*tar.Header{toml, file("identity")}, ErrNoBackup},
		"twice":             {`{"version":1}`, []*tar.Header{toml, toml}, ErrNoBackup},
		"no folder":         {`{"version":1}`, []*tar.Header{toml, file("config/a/b")}, ErrNoBackup},
		"link":              {`{"version":1}`, []*tar.Header{toml, {Name: "config/a", Linkname: "/etc", Typeflag: tar.TypeSymlink}}, ErrNoBackup},
		"hard link":         {`{"version":1}`, []*tar.Header{toml, {Name: "config/a", Linkname: "config/tidegate.toml", Typeflag: tar.TypeLink}}, ErrNoBackup},
		"device":            {`{"version":1}`, []*tar.Header{toml, {Name: "config/a", Typeflag: tar.TypeBlock}}, ErrNoBackup},
		"large":             {`{"version":1}`, []*tar.Header{toml, {Name: "config/a", Size: mostFile + 1, Typeflag: tar.TypeReg}}, ErrNoBackup},
		"bomb":              {`{"version":1}`, []*tar.Header{toml, {Name: "config/a", Size: mostFile, Typeflag: tar.TypeReg}, {Name: "config/b", Size: mostFile, Typeflag: tar.TypeReg}, {Name: "config/c", Size: mostFile, Typeflag: tar.TypeReg}, {Name: "config/d", Size: mostFile, Typeflag: tar.TypeReg}, {Name: "config/e", Size: mostFile, Typeflag: tar.TypeReg}}, ErrNoBackup},
		"many":              {`{"version":1}`, many, ErrNoBackup},
		"good":              {`{"version":1}`, []*tar.Header{toml}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(bytes.NewReader(made(t, c.manifest, c.entries...)), "")
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	for _, text := range []string{"", "hello", "\x1f\x8b", strings.Repeat("\x00", 1024)} {
		if _, err := Open(strings.NewReader(text), ""); !errors.Is(err, ErrNoBackup) && !errors.Is(err, ErrDamaged) {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func TestFindOnBoot(t *testing.T) {
	for name, c := range map[string]struct {
		files []string
		want  []string
		bad   bool
	}{
		"none":       {files: []string{"config.txt", "backup-password.txt"}},
		"one":        {files: []string{"tidegate-backup-house-17.tgz", "config.txt"}, want: []string{"tidegate-backup-house-17.tgz"}},
		"upper case": {files: []string{"TIDEGATE-BACKUP.AGE", "Backup-Password.TXT"}, want: []string{"TIDEGATE-BACKUP.AGE", "Backup-Password.TXT"}},
		"of a Mac":   {files: []string{"tidegate-backup.tgz", "._tidegate-backup.tgz"}, want: []string{"tidegate-backup.tgz"}},
		"two":        {files: []string{"tidegate-backup.tgz", "tidegate-backup (1).tgz"}, bad: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, f := range c.files {
				if err := os.WriteFile(filepath.Join(dir, f), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			b, err := FindOnBoot(dir)
			var got []string
			if b != nil {
				for _, f := range b.Files {
					got = append(got, filepath.Base(f))
				}
			}
			if c.bad != (err != nil) || !slices.Equal(got, c.want) {
				t.Errorf("got %v, %v, want %v", got, err, c.want)
			}
		})
	}
}

func TestRestoreFromTheBootPartition(t *testing.T) {
	boot, data := t.TempDir(), t.TempDir()
	file := filepath.Join(boot, "tidegate-backup.age")
	if err := os.WriteFile(file, backupOf(t, card(t, old), "correct horse"), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := FindOnBoot(boot)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Restore(data, good); err == nil || !strings.Contains(err.Error(), "backup-password.txt") {
		t.Errorf("without a passphrase: got %v", err)
	}
	if err := os.WriteFile(filepath.Join(boot, bootPassphrase), []byte("\ufeffcorrect horse\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err = FindOnBoot(boot); err != nil {
		t.Fatal(err)
	}
	m, err := b.Restore(data, good)
	if err != nil || m.Gateway != "house-17" {
		t.Fatalf("got %+v, %v", m, err)
	}
	if got := contents(t, data)["identity/gateway-id"]; got != "house-17" {
		t.Errorf("got %q", got)
	}
}

// Whatever Open takes lies below a place.
func FuzzOpen(f *testing.F) {
	toml := &tar.Header{Name: "config/tidegate.toml", Typeflag: tar.TypeReg}
	unpack := func(packed []byte) []byte {
		z, _ := gzip.NewReader(bytes.NewReader(packed))
		plain, _ := io.ReadAll(z)
		return plain
	}
	f.Add(unpack(made(f, `{"version":1}`, toml, &tar.Header{Name: "config/a/", Typeflag: tar.TypeDir, Mode: 0o777}, &tar.Header{Name: "config/a/b", Typeflag: tar.TypeReg, Uname: "root"})))
	f.Add(unpack(made(f, `{"version":1}`, toml, &tar.Header{Name: "config/../x", Typeflag: tar.TypeReg})))
	f.Fuzz(func(t *testing.T, plain []byte) {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		z.Write(plain)
		z.Close()
		a, err := Open(&b, "")
		if err != nil {
			return
		}
		for _, e := range a.entries {
			if p := placeOf(CardPlaces("/"), e.name); p == nil || !filepath.IsLocal(e.name) || e.name == p.Name {
				t.Errorf("took %q", e.name)
			}
		}
		if _, err := json.Marshal(a.Manifest); err != nil {
			t.Error(err)
		}
	})
}
