package doctor

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// person is whom the kernel checks rights for.
type person struct {
	name   string
	uid    uint32
	groups []uint32
}

// user returns the gateway's user, nil when this machine has none of that name.
func (m *machine) user() *person {
	for line := range strings.Lines(m.read("etc/passwd")) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) < 4 || f[0] != m.User {
			continue
		}
		uid, err := strconv.ParseUint(f[2], 10, 32)
		gid, gerr := strconv.ParseUint(f[3], 10, 32)
		if err != nil || gerr != nil {
			return nil
		}
		p := &person{name: f[0], uid: uint32(uid), groups: []uint32{uint32(gid)}}
		for line := range strings.Lines(m.read("etc/group")) {
			g := strings.Split(strings.TrimSpace(line), ":")
			if len(g) == 4 && slices.Contains(strings.Split(g[3], ","), p.name) {
				if id, err := strconv.ParseUint(g[2], 10, 32); err == nil {
					p.groups = append(p.groups, uint32(id))
				}
			}
		}
		return p
	}
	return nil
}

// may says whether the rights of a file allow p what want asks for: 4 to read,
// 2 to write, 1 to enter.
func (p *person) may(info fs.FileInfo, want fs.FileMode) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	mode := info.Mode().Perm()
	switch {
	case !ok:
		return true
	case p.uid == 0:
		return true
	case st.Uid == p.uid:
		mode >>= 6
	case slices.Contains(p.groups, st.Gid):
		mode >>= 3
	}
	return mode&want == want
}

// reach says what on the way to a file keeps p from it: a folder, or the file
// itself. "" for nothing.
func (m *machine) reach(p *person, name string) (at string, err error) {
	for dir := filepath.Dir(name); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(m.path(dir))
		if err != nil {
			return dir, err
		}
		if !p.may(info, 1) {
			return dir, fs.ErrPermission
		}
		if dir == "/" || dir == "." {
			break
		}
	}
	info, err := os.Stat(m.path(name))
	if err != nil {
		return name, err
	}
	if !p.may(info, 4) {
		return name, fs.ErrPermission
	}
	return "", nil
}

func files(m *machine, _ context.Context) {
	who := m.user()
	if who == nil {
		who = &person{name: "this user", uid: uint32(os.Geteuid()), groups: []uint32{uint32(os.Getegid())}}
		m.say(Info, "files", "", "there is no user %s here: looked with the rights of user %d", m.User, who.uid)
	}
	good := 0
	for _, f := range m.Files {
		at, err := m.reach(who, f.Path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			m.say(Trouble, "files", "put it there, or change "+f.Key, "%s (%s) is not there", f.Path, f.Key)
			continue
		case errors.Is(err, fs.ErrPermission) && !m.sees(at):
			m.say(Info, "files", "use sudo", "%s (%s) can be looked at by root only", f.Path, f.Key)
			continue
		case errors.Is(err, fs.ErrPermission) && at != f.Path:
			m.say(Trouble, "files", "let it enter: chmod o+x "+at+", or put the file into /etc/tidegate", "%s may not enter %s, where %s lies", who.name, at, f.Key)
			continue
		case err != nil:
			m.say(Trouble, "files", "chown "+m.User+" "+f.Path, "%s (%s) cannot be read by %s", f.Path, f.Key, who.name)
			continue
		}
		if info, err := os.Stat(m.path(f.Path)); err == nil && f.Secret && info.Mode().Perm()&0o004 != 0 {
			m.say(Attention, "files", "chown "+m.User+" "+f.Path+"; chmod 600 "+f.Path, "%s (%s) is a secret, and everybody on this machine can read it", f.Path, f.Key)
			continue
		}
		good++
	}
	if good > 0 {
		m.say(OK, "files", "", "%d of %d files of the configuration can be read by %s, and secrets by nobody else", good, len(m.Files), who.name)
	}
	m.folder(who)
}

// sees says whether the doctor itself can tell.
func (m *machine) sees(name string) bool {
	_, err := os.Stat(m.path(name))
	return err == nil
}

// folder looks at the data directory.
func (m *machine) folder(who *person) {
	if info, err := os.Stat(m.path(m.DataDir)); err == nil && !who.may(info, 7) {
		m.say(Trouble, "files", "chown -R "+m.User+" "+m.DataDir, "%s may not write to %s", who.name, m.DataDir)
	}
}

// How long before its end a certificate is worth a word.
const (
	soon = 14 * 24 * time.Hour
)

func certificates(m *machine, _ context.Context) {
	now := m.Now()
	if now.Before(written) {
		return // the clock is the trouble
	}
	for _, f := range m.Files {
		if !f.Certificate {
			continue
		}
		all := m.certificates(f.Path)
		if len(all) == 0 {
			continue // files has said that it cannot be read, or check what it is
		}
		if f.Authority {
			m.authorities(f, all, now)
			continue
		}
		const renew = "renew it; the gateway takes a new one without a restart"
		left, until := all[0].NotAfter.Sub(now), all[0].NotAfter.UTC().Format(time.DateOnly)
		switch {
		case left < 0:
			m.say(Trouble, "certificates", renew, "%s (%s) expired on %s", f.Path, f.Key, until)
		case now.Before(all[0].NotBefore):
			m.say(Trouble, "certificates", "if the clock is right, wait", "%s (%s) is not valid before %s", f.Path, f.Key, all[0].NotBefore.UTC().Format(time.DateOnly))
		case left < soon:
			m.say(Attention, "certificates", renew, "%s (%s) expires in %d days, on %s", f.Path, f.Key, left/(24*time.Hour), until)
		default:
			m.say(OK, "certificates", "", "%s (%s) has %d days left, until %s", f.Path, f.Key, left/(24*time.Hour), until)
		}
	}
}

// authorities looks at a bundle: one good certificate may be the one that
// counts.
func (m *machine) authorities(f File, all []*x509.Certificate, now time.Time) {
	good := 0
	for _, c := range all {
		if now.Before(c.NotAfter) {
			good++
		}
	}
	switch good {
	case 0:
		m.say(Trouble, "certificates", "get the authority's new certificate", "every certificate in %s (%s) has expired", f.Path, f.Key)
	case len(all):
		m.say(OK, "certificates", "", "%s (%s) has %d authorities, all valid", f.Path, f.Key, good)
	default:
		m.say(Info, "certificates", "", "%s (%s) has %d authorities, %d of them expired", f.Path, f.Key, len(all), len(all)-good)
	}
}

// certificates returns those of a file in PEM.
func (m *machine) certificates(name string) (all []*x509.Certificate) {
	rest := []byte(m.read(name))
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return all
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			all = append(all, c)
		}
	}
}
