package edge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"tidegate/internal/whole"
)

// Roles of people in the gateway's console, as in a users file: console = "read".
const (
	ConsoleRead  = "read"
	ConsoleAdmin = "admin"
)

// Administrator is the user whom the first visitor of the console makes.
const Administrator = "admin"

// AdministratorFile is in the data directory: the hash of the administrator's
// password, for a gateway whose users file gives nobody a role. That user is for
// the console only and is no MQTT user.
const AdministratorFile = "administrator"

// What Authenticate and ClaimConsole may answer.
var (
	ErrWrongPassword = errors.New("wrong name or password")
	ErrNoPerson      = errors.New("the user has no role in the console")
	ErrClaimed       = errors.New("somebody has a role already")
	ErrUsersDamaged  = fmt.Errorf("%w, or a good one in a damaged file", ErrWrongPassword)
)

// loadAdministrator reads the file. With one that cannot be read nobody may log in
// as the administrator, and nobody may claim to be the first visitor; the home
// goes on.
func (b *Broker) loadAdministrator() {
	if b.opt.Dir == "" {
		return
	}
	a, err := readAdministrator(b.opt.Dir)
	if err != nil {
		b.log.Error("no administrator in the console", "err", err)
		a = &account{name: Administrator, fault: err}
	}
	b.administrator.Store(a)
}

// readAdministrator reads the file; no account when there is none.
func readAdministrator(dir string) (*account, error) {
	name := filepath.Join(dir, AdministratorFile)
	text, err := readLimited(name, 4096)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the console's administrator: %w", err)
	}
	hash, err := parseHash(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w; give the administrator another password: sudo tidegate device passwd admin", name, err)
	}
	return &account{name: Administrator, hash: hash, console: ConsoleAdmin}, nil
}

// person is the account that a name means in the console: that of the users file,
// else the one that a first visitor made; nil for neither.
func (b *Broker) person(name string) *account {
	if u := b.access.Load().users; u != nil && u.byName[name] != nil {
		return u.byName[name]
	}
	if a := b.administrator.Load(); a != nil && a.name == name {
		return a
	}
	return nil
}

// Authenticate returns the role in the console of a user who knows the password:
// ConsoleRead or ConsoleAdmin. from is where the user comes from; who guesses there
// is slowed, together with log-ins of devices. It errs with ErrWrongPassword, of
// which ErrUsersDamaged is one, with ErrNoPerson, or when ctx ended before the password was checked.
func (b *Broker) Authenticate(ctx context.Context, name, password, from string) (role string, err error) {
	access, by := b.access.Load(), b.person(name)
	var hashes []*passwordHash
	if u := access.users; u != nil {
		hashes = u.hashes
	}
	if a := b.administrator.Load(); len(hashes) == 0 && a != nil {
		hashes = []*passwordHash{a.hash}
	}
	switch code := access.checkPassword(ctx, by, hashes, name, []byte(password), from); {
	case code == loginBadPassword && b.UsersFault() != "":
		return "", ErrUsersDamaged
	case code == loginBadPassword:
		return "", ErrWrongPassword
	case code != loginOK:
		return "", errors.New("too many log-ins at once, or too many that failed")
	case by.console == "":
		return "", ErrNoPerson
	}
	return by.console, nil
}

// ConsoleRole returns a user's role in the console, "" for none, and a mark that is
// another one when the password is.
func (b *Broker) ConsoleRole(name string) (role, mark string) {
	by := b.person(name)
	if by == nil || by.hash == nil {
		return "", ""
	}
	return by.console, by.hash.text
}

// ConsoleUnclaimed says whether nobody has a role in the console.
func (b *Broker) ConsoleUnclaimed() bool {
	who := b.access.Load()
	if b.administrator.Load() != nil || who.kept != nil && who.kept.fault != nil {
		return false // what cannot be read may name somebody
	}
	u := who.users
	if u == nil {
		return true
	}
	for _, a := range u.byName {
		if a.console != "" {
			return false
		}
	}
	return true
}

// ClaimConsole makes the administrator with that password, on disk before it
// returns, and returns the name. ErrClaimed when somebody has a role, or when the
// users file has a user of that name.
func (b *Broker) ClaimConsole(password string) (name string, err error) {
	b.changing.Lock()
	defer b.changing.Unlock()
	if !b.ConsoleUnclaimed() || b.person(Administrator) != nil {
		return "", ErrClaimed
	}
	if b.opt.Dir == "" {
		return "", errors.New("there is no data directory to keep the password in")
	}
	return Administrator, b.setAdministrator(HashPassword([]byte(password)))
}

// setAdministrator gives the administrator another password. changing is held.
func (b *Broker) setAdministrator(text string) error {
	hash, err := parseHash(text)
	if err != nil {
		return err
	}
	if err := whole.Write(filepath.Join(b.opt.Dir, AdministratorFile), whole.Bytes([]byte(text+"\n"))); err != nil {
		return fmt.Errorf("keep the administrator's password: %w", err)
	}
	b.administrator.Store(&account{name: Administrator, hash: hash, console: ConsoleAdmin})
	return nil
}
