package edge

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"tidegate/internal/inorder"
	"tidegate/internal/whole"
)

// User is a device or a person with a name.
type User struct {
	Name        string
	Publish     []string // filters, with those of its groups
	Subscribe   []string
	Groups      []string
	Console     string // role there: ConsoleRead, ConsoleAdmin or ""
	Kept        bool   // by the gateway, which can change it; else by the users file of the configuration
	Certificate string // common name; "": none
	Connected   int    // connections of now
}

// UserChange is what a user may do. nil: as it is.
type UserChange struct {
	Publish, Subscribe *[]string // filters, as in a users file; instead of groups too
	Console            *string
}

// UserRefusal is why a change of users is refused.
type UserRefusal int

// The reasons.
const (
	UserBad       UserRefusal = iota // what was asked for cannot be
	UserUnknown                      // there is none of that name
	UserTaken                        // there is one of that name
	UserElsewhere                    // it stands in the users file of the configuration
	UserLastAdmin                    // nobody could change anything in the console any more
	UsersDamaged                     // the file of users cannot be read
)

// UserError is a refusal in words: what is wrong, and what to do.
type UserError struct {
	Reason     UserRefusal
	What, Hint string
}

func (e *UserError) Error() string { return e.What + "; " + e.Hint }

// Users returns all users by name, each once: as log-ins see them.
func (b *Broker) Users() []User {
	who, connected := b.access.Load(), map[string]int{}
	for _, c := range b.connections() {
		if g := c.grant.Load(); c.joined.Load() && g != nil {
			connected[g.user]++
		}
	}
	var all []User
	if who.users != nil {
		for _, a := range who.users.byName {
			all = append(all, a.user(connected[a.name]))
		}
	}
	if a := b.administrator.Load(); a != nil && a.hash != nil && (who.users == nil || who.users.byName[a.name] == nil) {
		one := a.user(0)
		one.Kept = true
		all = append(all, one)
	}
	inorder.Sort(all, func(a, b User) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

func (a *account) user(connected int) User {
	return User{
		Name: a.name, Publish: slices.Clone(a.rules.Publish), Subscribe: slices.Clone(a.rules.Subscribe), Groups: slices.Clone(a.groups),
		Console: a.console, Kept: a.kept, Certificate: a.cert, Connected: connected,
	}
}

// UsersFault says what is wrong with the file of the users that were added, or with
// that of the console's administrator; "" when nothing is.
func (b *Broker) UsersFault() string {
	if a := b.administrator.Load(); a != nil && a.fault != nil {
		return a.fault.Error()
	}
	if k := b.access.Load().kept; k != nil && k.fault != nil {
		return k.fault.Error()
	}
	return ""
}

// LetsAnybodyIn says whether devices may do something here without a password.
func (b *Broker) LetsAnybodyIn() bool { return b.access.Load().letsAnybodyIn(b.config()) }

// LetsNobodyIn says whether no device may do anything here, with a password or
// without, as on a gateway that nobody has configured yet.
func (b *Broker) LetsNobodyIn() bool { return b.access.Load().letsNobodyIn(b.config()) }

func (a *access) letsAnybodyIn(cfg *Config) bool {
	if a.users != nil && len(a.users.anonymous.Publish)+len(a.users.anonymous.Subscribe) == 0 {
		return false
	}
	return slices.ContainsFunc(cfg.Listeners, func(l ListenerConfig) bool { return l.Anonymous })
}

func (a *access) letsNobodyIn(cfg *Config) bool {
	if a.users != nil {
		for _, u := range a.users.byName {
			if len(u.rules.Publish)+len(u.rules.Subscribe) > 0 {
				return false
			}
		}
	}
	return !a.letsAnybodyIn(cfg)
}

// AddUser adds a user and returns its password, which is kept nowhere: only its
// hash is, on disk before AddUser returns. On a gateway whose configuration names no
// users file nobody who was let in before is sent away by that: the first user is
// added together with the rights of all others. Refusals are *UserError.
func (b *Broker) AddUser(name string, what UserChange) (password string, err error) {
	if err := checkUserName(name); err != nil {
		return "", err
	}
	password, hash := typedPassword()
	err = b.changeUsers("user added", name, func(f *usersFile) error {
		switch {
		case f.find(name) >= 0, b.person(name) != nil:
			return &UserError{UserTaken, fmt.Sprintf("there is a user %s already", name), "take another name, or give that one a new password"}
		case name == Administrator && (what.Console == nil || *what.Console != ConsoleAdmin):
			return &UserError{UserBad, "admin is the name of the console's administrator", "take another name for the device"}
		case len(f.User) >= maxKept:
			return &UserError{UserBad, fmt.Sprintf("there are %d users, and the gateway keeps no more", maxKept), "remove those that are not needed any more, or let like devices share one"}
		}
		u := userRule{Name: name, Password: hash}
		if err := what.apply(&u); err != nil {
			return err
		}
		f.put(u)
		return nil
	})
	if err != nil {
		return "", err
	}
	return password, nil
}

// RemoveUser removes a user that was added here; its clients are disconnected.
// Refusals are *UserError.
func (b *Broker) RemoveUser(name string) error {
	if mine, err := b.ofAdministrator(name, b.dropAdministrator); mine {
		return err
	}
	return b.changeUsers("user removed", name, func(f *usersFile) error {
		i, err := b.keptUser(f, name)
		if err == nil {
			f.User = slices.Delete(f.User, i, i+1)
		}
		return err
	})
}

// RenewPassword gives a user that was added here another password: the one given,
// or when that is empty, one that it makes; it returns the password. Clients that
// came in with the old one are disconnected. Refusals are *UserError.
func (b *Broker) RenewPassword(name, chosen string) (password string, err error) {
	password, hash := typedPassword()
	if chosen != "" {
		if n := utf8.RuneCountInString(chosen); n < 10 || n > 128 {
			return "", &UserError{UserBad, fmt.Sprintf("the password has %d characters", n), "take 10 to 128, or none: then the gateway makes one"}
		}
		password, hash = chosen, HashPassword([]byte(chosen))
	}
	if mine, err := b.ofAdministrator(name, func() error { return b.setAdministrator(hash) }); mine {
		return password, err
	}
	return password, b.changeUsers("user has a new password", name, func(f *usersFile) error {
		i, err := b.keptUser(f, name)
		if err == nil {
			f.User[i].Password = hash
		}
		return err
	})
}

// ChangeUser changes what a user that was added here may do. Clients that may not
// do any more what they did are disconnected. Refusals are *UserError.
func (b *Broker) ChangeUser(name string, what UserChange) error {
	if mine, err := b.ofAdministrator(name, func() error {
		return &UserError{UserBad, name + " is the administrator of the console and no device", "add a user of another name for the device"}
	}); mine {
		return err
	}
	return b.changeUsers("user has other permissions", name, func(f *usersFile) error {
		i, err := b.keptUser(f, name)
		if err != nil {
			return err
		}
		u := &f.User[i]
		if what.Publish != nil || what.Subscribe != nil {
			u.Publish, u.Subscribe, u.Groups = f.rulesOf(u).Publish, f.rulesOf(u).Subscribe, nil
		}
		return what.apply(u)
	})
}

// rulesOf are those of a user with those of its groups.
func (f *usersFile) rulesOf(u *userRule) ruleLists {
	r := ruleLists{slices.Clone(u.Publish), slices.Clone(u.Subscribe)}
	for _, g := range f.Group {
		if slices.Contains(u.Groups, g.Name) {
			r.Publish, r.Subscribe = append(r.Publish, g.Publish...), append(r.Subscribe, g.Subscribe...)
		}
	}
	return r
}

// keptUser returns the place of a user in the kept file, unless it is not there or
// means nothing.
func (b *Broker) keptUser(f *usersFile, name string) (int, error) {
	if who := b.access.Load(); who.file != nil && who.file.byName[name] != nil {
		return 0, &UserError{UserElsewhere, name + " stands in the users file of the configuration, " + who.cfg.UsersFile,
			"change it there and reload (systemctl reload tidegate); on the SD card devices.txt and admin-password.txt on the boot partition do it"}
	}
	if i := f.find(name); i >= 0 {
		return i, nil
	}
	return 0, &UserError{UserUnknown, "there is no user " + name, "it may have been removed in the meantime"}
}

// changeUsers has f change the kept file, and puts it into force: on disk before it
// returns.
func (b *Broker) changeUsers(what, name string, f func(*usersFile) error) error {
	cut, err := b.changed(f)
	if err != nil {
		return err
	}
	b.log.Info(what, "user", name)
	b.cutOff(cut)
	return nil
}

// changed begins with what is on disk, so that nobody's own change of the file is
// lost.
func (b *Broker) changed(f func(*usersFile) error) (cut []*conn, err error) {
	b.changing.Lock()
	defer b.changing.Unlock()
	if b.opt.Dir == "" {
		return nil, errors.New("there is no data directory to keep users in")
	}
	path := filepath.Join(b.opt.Dir, KeptFile)
	k, err := readKeptFile(b.opt.Dir)
	if err != nil {
		return nil, &UserError{UsersDamaged, "the file of users is damaged: " + err.Error(), "put it right or remove it, and reload (systemctl reload tidegate)"}
	}
	var file usersFile
	old := b.access.Load()
	switch {
	case k != nil:
		file = k.file
	case old.file == nil: // who came in without users still does
		file.Anonymous = anonymous{ruleLists: everything, AnyName: true}
	}
	if err := f(&file); err != nil {
		return nil, err
	}
	text := file.render()
	if len(text) > maxKeptBytes {
		return nil, &UserError{UserBad, fmt.Sprintf("the file of users would have more than %d bytes", maxKeptBytes), "write fewer or shorter filters"}
	}
	if k, err = parseKept(path, text); err != nil {
		return nil, err
	}
	who := old.with(k)
	admin := b.administrator.Load()
	if admins(who.users, admin) == 0 && admins(old.users, admin) > 0 {
		return nil, errLastAdmin
	}
	if err := whole.Write(filepath.Join(b.opt.Dir, KeptFile), whole.Bytes(text)); err != nil {
		return nil, fmt.Errorf("keep the users: %w", err)
	}
	b.access.Store(who)
	return b.reviewAll(), nil
}

var errLastAdmin = &UserError{UserLastAdmin, "that is the only one who may change anything in the console", "give somebody else the role admin first"}

// admins counts who may log in to the console and change things.
func admins(u *users, administrator *account) (n int) {
	if u != nil {
		for _, a := range u.byName {
			if a.console == ConsoleAdmin && a.hash != nil {
				n++
			}
		}
	}
	if administrator != nil && administrator.hash != nil && (u == nil || u.byName[administrator.name] == nil) {
		n++
	}
	return n
}

// ofAdministrator calls f when the name means the console's administrator.
func (b *Broker) ofAdministrator(name string, f func() error) (mine bool, err error) {
	b.changing.Lock()
	defer b.changing.Unlock()
	a := b.administrator.Load()
	if a == nil || b.person(name) != a {
		return false, nil
	}
	if err := f(); err != nil {
		return true, err
	}
	b.log.Info("the console's administrator was changed", "user", name)
	return true, nil
}

func (b *Broker) dropAdministrator() error {
	if admins(b.access.Load().users, nil) == 0 {
		return errLastAdmin
	}
	if err := errors.Join(os.Remove(filepath.Join(b.opt.Dir, AdministratorFile)), whole.SyncDir(b.opt.Dir)); err != nil {
		return fmt.Errorf("forget the administrator: %w", err)
	}
	b.administrator.Store(nil)
	return nil
}

// apply checks what was asked for and writes it into u.
func (c *UserChange) apply(u *userRule) error {
	for _, one := range []struct {
		to   *[]string
		from *[]string
		what string
	}{{&u.Publish, c.Publish, "publish to"}, {&u.Subscribe, c.Subscribe, "subscribe to"}} {
		if one.from == nil {
			continue
		}
		if n := len(*one.from); n > maxRules {
			return &UserError{UserBad, fmt.Sprintf("%d filters of what it may %s", n, one.what), fmt.Sprintf("take %d at most; # stands for all that follows", maxRules)}
		}
		for _, rule := range *one.from {
			if err := checkRule(rule); err != nil || len(rule) > mostRule {
				return &UserError{UserBad, fmt.Sprintf("it may %s %q: that is no topic filter", one.what, rule), "write topics such as home/hall-lamp/#; + stands for one level, # for all that follow, %u for its name, %c for its client id"}
			}
		}
		*one.to = slices.Clone(*one.from)
	}
	if c.Console == nil {
		return nil
	}
	if role := *c.Console; role != "" && role != ConsoleRead && role != ConsoleAdmin {
		return &UserError{UserBad, fmt.Sprintf("%q is no role in the console", role), `take "read" to look, "admin" to change things, or none`}
	}
	u.Console = *c.Console
	return nil
}

// mostRule bounds one filter, in bytes.
const mostRule = 256

// IsUserName says whether a name is what devices and people can type, and what %u
// can stand for: 1 to 32 bytes. One that is all dots would be no name in the path of
// a URL, and one that begins with - a flag on the command line.
func IsUserName(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"
	return name != "" && len(name) <= 32 && strings.Trim(name, letters) == "" && strings.IndexByte(".-_", name[0]) < 0
}

func checkUserName(name string) error {
	if !IsUserName(name) {
		return &UserError{UserBad, fmt.Sprintf("%q cannot be the name of a device", name), "take 1 to 32 letters, digits, dots, - or _, the first a letter or a digit, such as hall-lamp"}
	}
	return nil
}
