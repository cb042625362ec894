package edge

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"tidegate/internal/inorder"
)

// KeptFile is the file in the data directory with the users whom people added, in
// the form of the users file of the configuration. The gateway writes it.
const KeptFile = "users.toml"

// Limits on it: a small file, which is written whole at each change.
const (
	maxKept      = 1000    // users
	maxRules     = 100     // filters of one list
	maxKeptBytes = 1 << 20 // bytes
)

// kept are the users whom people added. It never changes.
type kept struct {
	file  usersFile
	users *users // nil: nobody was added before its file was damaged
	fault error  // the file is damaged; users are those of before
}

// readKept reads the file; nil when there is none. Of one that cannot be read is
// said in the log: the home goes on with the users of the configuration.
func (b *Broker) readKept() *kept {
	if b.opt.Dir == "" {
		return nil
	}
	k, err := readKeptFile(b.opt.Dir)
	if err != nil {
		b.log.Error("the devices that were added cannot log in: their file is damaged", "err", err)
		return &kept{users: &users{}, fault: err}
	}
	return k
}

func readKeptFile(dir string) (*kept, error) {
	name := filepath.Join(dir, KeptFile)
	doc, err := readLimited(name, maxKeptBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the users that were added: %w", err)
	}
	return parseKept(name, doc)
}

// parseKept takes no file that is cut off: half a list of users may be good TOML, and
// without its people the console would be the next visitor's.
func parseKept(name string, doc []byte) (*kept, error) {
	file, err := decodeUsers(name, doc)
	if err != nil {
		return nil, err
	}
	u, err := checkUsers(name, doc, file)
	if err != nil {
		return nil, err
	}
	if !bytes.Contains(doc, []byte("\n"+keptEnd)) {
		return nil, fmt.Errorf("%s: it is cut off: the line %q is missing, which ends what the gateway writes", name, strings.TrimSpace(keptEnd))
	}
	for _, a := range u.byName {
		a.kept = true
	}
	return &kept{file: *file, users: u}, nil
}

// orElse is k, or when its file is damaged the users of before, who may be none.
func (k *kept) orElse(old *kept) *kept {
	if k == nil || k.fault == nil {
		return k
	}
	if old == nil {
		return &kept{fault: k.fault}
	}
	return &kept{users: old.users, fault: k.fault}
}

// mergeUsers is both in one. Where both have a name or a certificate, it is that of the
// configuration's file; anonymous clients have its rights, too.
func mergeUsers(file *users, k *kept) *users {
	switch {
	case k == nil || k.users == nil:
		return file
	case file == nil:
		return k.users
	}
	u := &users{anonymous: file.anonymous, byName: maps.Clone(file.byName), byCert: maps.Clone(file.byCert), hashes: slices.Clone(file.hashes)}
	for name, a := range k.users.byName {
		if u.byName[name] != nil {
			continue
		}
		u.byName[name] = a
		if a.hash != nil {
			u.hashes = append(u.hashes, a.hash)
		}
		if a.cert != "" && u.byCert[a.cert] == nil {
			u.byCert[a.cert] = a
		}
	}
	return u
}

// clashes are names of users, or of their certificates, that both files have.
func (a *access) clashes() (names []string) {
	if a.file == nil || a.kept == nil || a.kept.users == nil {
		return nil
	}
	for name, k := range a.kept.users.byName {
		if a.file.byName[name] != nil || k.cert != "" && a.file.byCert[k.cert] != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// keptHead begins the file.
const keptHead = `# Written by tidegate: the devices and people that were added on its page or with
# "tidegate device". Change them there: comments here are lost at the next change.
`

// keptEnd ends it. What somebody adds may stand behind it.
const keptEnd = "# These are all.\n"

// render is the file in TOML.
func (f *usersFile) render() []byte {
	var b strings.Builder
	b.WriteString(keptHead)
	list := func(key string, values []string) {
		if len(values) > 0 {
			quoted := make([]string, len(values))
			for i, v := range values {
				quoted[i] = quoteTOML(v)
			}
			fmt.Fprintf(&b, "%s = [%s]\n", key, strings.Join(quoted, ", "))
		}
	}
	text := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s = %s\n", key, quoteTOML(value))
		}
	}
	if a := f.Anonymous; a.AnyName || len(a.Publish)+len(a.Subscribe) > 0 {
		b.WriteString("\n[anonymous]\n")
		list("publish", a.Publish)
		list("subscribe", a.Subscribe)
		if a.AnyName {
			b.WriteString("any-name = true\n")
		}
	}
	for _, g := range f.Group {
		b.WriteString("\n[[group]]\n")
		text("name", g.Name)
		list("publish", g.Publish)
		list("subscribe", g.Subscribe)
	}
	for _, u := range f.User {
		b.WriteString("\n[[user]]\n")
		text("name", u.Name)
		text("password", u.Password)
		text("certificate", u.Certificate)
		list("groups", u.Groups)
		list("publish", u.Publish)
		list("subscribe", u.Subscribe)
		text("console", u.Console)
	}
	b.WriteString("\n" + keptEnd)
	return []byte(b.String())
}

// quoteTOML is a basic string [TOML 1.0, String]: Go's own escapes are others.
func quoteTOML(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"', r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ', r == 0x7f:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// find returns the place of a user in the file; -1 for none.
func (f *usersFile) find(name string) int {
	return slices.IndexFunc(f.User, func(u userRule) bool { return u.Name == name })
}

// put adds a user, or replaces the one of that name, by name.
func (f *usersFile) put(u userRule) {
	if i := f.find(u.Name); i >= 0 {
		f.User[i] = u
		return
	}
	f.User = append(f.User, u)
	inorder.Sort(f.User, func(a, b userRule) int { return cmp.Compare(a.Name, b.Name) })
}
