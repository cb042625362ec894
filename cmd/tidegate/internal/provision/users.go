package provision

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"

	"tidegate/edge"
)

// usersFile is who may connect, with the default configuration.
const usersFile = "identity/users.toml"

// adminName is the user that may do everything.
const adminName = "admin"

// mostChosen bounds the passwords that are hashed in one start: each takes a
// Pi Zero 2 about half a second.
const mostChosen = 40

// account is a user as the users file has it.
type account struct {
	Name     string   `toml:"name"`
	Password string   `toml:"password"`
	Groups   []string `toml:"groups"`
}

// told is a password that the gateway made and that its owner has to learn. It
// is kept, in a file that root alone reads, until it stands in the report.
type told struct {
	Name     string `toml:"name"`
	Password string `toml:"password"`
}

// device is one line of devices.txt.
type device struct {
	line           int
	name, password string // password "": make one
	remove         bool
}

// parseDevices reads devices.txt: "name = password", "name" for a password that
// the gateway makes, "name = delete".
func parseDevices(text string) (all []device, found []Finding) {
	bad := func(line int, what, do string) {
		found = append(found, Finding{File: devicesFile, Line: line, What: what, Do: do, Code: codeOther})
	}
	seen := map[string]int{}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, _ := strings.Cut(line, "=")
		d := device{line: n, name: strings.TrimSpace(name), password: unquote(strings.TrimSpace(value))}
		d.remove = strings.EqualFold(d.password, "delete")
		switch {
		case !edge.IsUserName(d.name):
			bad(n, "what stands before the equals sign cannot be the name of a device", "take 1 to 32 letters, digits, dots, - or _, the first a letter or a digit, such as hall-lamp; the line is name = password")
		case d.name == adminName:
			bad(n, "admin is no device", "its password is chosen with the file "+passwordFile)
		case seen[d.name] > 0:
			bad(n, strconv.Quote(d.name)+" is given twice", fmt.Sprintf("it is in line %d already; leave one of them", seen[d.name]))
		case d.password != "" && !d.remove && (utf8.RuneCountInString(d.password) < 8 || utf8.RuneCountInString(d.password) > 128):
			bad(n, fmt.Sprintf("the password of %s has %d characters", d.name, utf8.RuneCountInString(d.password)), "take 8 to 128, or leave it away: then the gateway makes one and writes it into the report")
		default:
			seen[d.name] = n
			all = append(all, d)
		}
	}
	return all, found
}

// renderUsers writes the users file as edge reads it.
func renderUsers(users []account) []byte {
	var b strings.Builder
	b.WriteString("# Written by tidegate. Users come from devices.txt and " + passwordFile + " on the boot\n" +
		"# partition; to have finer permissions, name a users file of your own in\n# tidegate.toml.\n\n" +
		"[[group]]\nname = \"home\"\npublish = [\"#\"]\nsubscribe = [\"#\"]\n")
	for _, u := range users {
		fmt.Fprintf(&b, "\n[[user]]\nname = %q\npassword = %q\ngroups = [\"home\"]\n", u.Name, u.Password)
		if u.Name == adminName {
			b.WriteString("console = \"admin\"\n")
		}
	}
	return []byte(b.String())
}

func parseUsers(text []byte) ([]account, error) {
	var file struct {
		User []account `toml:"user"`
	}
	err := toml.Unmarshal(text, &file)
	return file.User, err
}

// tellFile has passwords that are not in the report yet.
const tellFile = "identity/tell.toml"

// users makes the administrator on the first start and takes what devices.txt
// and admin-password.txt ask for.
func (r *run) users() {
	text, err := os.ReadFile(r.data(usersFile))
	users, bad := parseUsers(text)
	if bad != nil {
		r.fail(Finding{File: "users", What: "the list of users was damaged and is made anew", Do: "give the devices their passwords again with devices.txt", Code: codeOther})
		users = nil
	}
	c := userChange{users: slices.Clone(users), tell: r.toldBefore()}
	fresh := err != nil || bad != nil
	first := !slices.ContainsFunc(users, func(u account) bool { return u.Name == adminName })
	finish := []func() error{r.adminPassword(&c), r.devices(&c)}
	made := first && !c.has(adminName)
	if made {
		password := newPassword()
		c.set(adminName, r.hash(password))
		c.told(adminName, password)
	}
	if len(c.changed) > 0 || fresh || !bytes.Equal(text, renderUsers(c.users)) { // or as older software wrote it
		// What has to be told is kept before it is of use, or nobody would learn it.
		if err := r.keepTold(c.tell); err != nil {
			r.fail(r.cannotKeep("users", err))
			return
		}
		if err := r.disk.write(r.data(usersFile), renderUsers(c.users), r.secret()); err != nil {
			r.fail(r.cannotKeep("users", err))
			return
		}
	}
	if made {
		r.done("Made the user admin with a password of its own.")
	}
	r.tell, r.retold = c.tell, c.changed
	for _, f := range finish {
		if f != nil && r.keeps() {
			if err := f(); err != nil {
				r.fail(r.cannotErase("a file with passwords", err))
			}
		}
	}
}

// userChange gathers what becomes of the users.
type userChange struct {
	users   []account
	tell    []told
	changed []string // names
	chosen  int
}

func (c *userChange) has(name string) bool {
	return slices.ContainsFunc(c.users, func(u account) bool { return u.Name == name })
}

func (c *userChange) set(name, hash string) {
	c.drop(name)
	c.users = append(c.users, account{Name: name, Password: hash})
}

func (c *userChange) drop(name string) {
	c.users = slices.DeleteFunc(c.users, func(u account) bool { return u.Name == name })
	c.tell = slices.DeleteFunc(c.tell, func(t told) bool { return t.Name == name })
	c.changed = append(c.changed, name)
}

func (c *userChange) told(name, password string) { c.tell = append(c.tell, told{name, password}) }

// adminPassword takes a chosen password. What it returns is for after that is on
// disk.
func (r *run) adminPassword(c *userChange) func() error {
	text, e, ok := r.text(passwordFile, codeOther)
	if !ok {
		return nil
	}
	password := ""
	for line := range strings.Lines(text) {
		if password = strings.TrimSpace(line); password != "" {
			break
		}
	}
	if n := utf8.RuneCountInString(password); n < 10 || n > 128 {
		r.fail(Finding{File: e.name, What: fmt.Sprintf("the password has %d characters", n), Do: "write one of 10 to 128 characters in the first line", Code: codeOther})
		return nil
	}
	c.set(adminName, r.hash(password))
	r.done("%s: the user admin has this password now; the file was removed.", e.name)
	return func() error { return r.disk.erase(r.boot.path(e)) }
}

func (r *run) devices(c *userChange) func() error {
	text, e, ok := r.text(devicesFile, codeOther)
	if !ok {
		return nil
	}
	all, found := parseDevices(text)
	r.fail(named(found, e.name)...)
	var done []device
	for _, d := range all {
		switch {
		case d.remove:
			c.drop(d.name)
			r.done("%s: %s may not connect any more.", e.name, d.name)
		case d.password == "":
			password, hash := edge.GeneratePassword()
			c.set(d.name, hash)
			c.told(d.name, password)
			r.done("%s: %s may connect; its password was made, see below.", e.name, d.name)
		case c.chosen == mostChosen:
			r.fail(Finding{File: e.name, Line: d.line, What: fmt.Sprintf("more than %d passwords at once", mostChosen), Do: "start the gateway again for the others", Code: codeOther})
			continue
		default:
			c.chosen++
			c.set(d.name, r.hash(d.password))
			r.done("%s: %s may connect with its password.", e.name, d.name)
		}
		done = append(done, d)
	}
	if len(done) == 0 {
		return nil
	}
	return func() error { return r.disk.replace(r.boot.path(e), []byte(withoutDevices(text, done))) }
}

// withoutDevices returns devices.txt as it stays on the boot partition: what was
// done is a comment.
func withoutDevices(text string, done []device) string {
	var b strings.Builder
	n := 0
	for line := range strings.Lines(text) {
		n++
		if i := slices.IndexFunc(done, func(d device) bool { return d.line == n }); i >= 0 {
			what := "stored in the gateway"
			if done[i].remove {
				what = "removed"
			}
			line = fmt.Sprintf("# %s: %s\n", done[i].name, what)
		}
		b.WriteString(line)
	}
	return windowsLines(b.String())
}

func (r *run) toldBefore() []told {
	var file struct {
		Tell []told `toml:"tell"`
	}
	if toml.Unmarshal([]byte(r.readData(tellFile)), &file) != nil {
		return nil
	}
	return file.Tell
}

func (r *run) keepTold(all []told) error {
	if len(all) == 0 {
		return nil
	}
	var b strings.Builder
	for _, t := range all {
		fmt.Fprintf(&b, "[[tell]]\nname = %q\npassword = %q\n", t.Name, t.Password)
	}
	return r.disk.write(r.data(tellFile), []byte(b.String()), r.root())
}

func windowsLines(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n")
}

func (r *run) hash(password string) string {
	if r.opt.hash != nil {
		return r.opt.hash(password)
	}
	return edge.HashPassword([]byte(password))
}
