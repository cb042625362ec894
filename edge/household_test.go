package edge

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
)

func filters(f ...string) *[]string { return &f }

func own(name string) UserChange {
	return UserChange{Publish: filters("home/" + name + "/#"), Subscribe: filters("home/" + name + "/#")}
}

func mustAdd(t *testing.T, b *Broker, name string, what UserChange) (password string) {
	t.Helper()
	password, err := b.AddUser(name, what)
	if err != nil {
		t.Fatal(err)
	}
	return password
}

// refused expects a refusal for a reason, with something to do.
func refused(t *testing.T, err error, want UserRefusal) {
	t.Helper()
	var said *UserError
	if !errors.As(err, &said) || said.Reason != want || said.What == "" || said.Hint == "" {
		t.Errorf("got %v (%+v), want a refusal for reason %d", err, said, want)
	}
}

func reasonOf(t *testing.T, b *Broker, id string, opts ...option) byte {
	t.Helper()
	return dial(t, b).connect(id, opts...).ReasonCode
}

// A gateway on which nobody was added lets nobody in; people who only look at the
// console change nothing about that.
func TestLetsNobodyIn(t *testing.T) {
	b := startBroker(t, Options{Dir: t.TempDir()}, func(c *Config) { c.Listeners[0].Anonymous = false })
	expect := func(want bool, when string) {
		if t.Helper(); b.LetsNobodyIn() != want {
			t.Errorf("%s: got %v, want %v", when, !want, want)
		}
	}
	expect(true, "without users")
	role := "read"
	mustAdd(t, b, "visitor", UserChange{Console: &role})
	expect(true, "with one who looks")
	mustAdd(t, b, "lamp", own("lamp"))
	expect(false, "with a device")
	if err := b.RemoveUser("lamp"); err != nil {
		t.Fatal(err)
	}
	expect(true, "without it again")
	if open := startBroker(t, Options{}); open.LetsNobodyIn() {
		t.Error("an open listener lets nobody in")
	}
}

// The first device that is added to an open gateway sends nobody away. It comes in
// with its password, also after a restart, and does what it may, until it is
// removed.
func TestAddToOpenGateway(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, Options{Dir: dir})
	before := []*peer{connect(t, b, "no-name"), connect(t, b, "a-name", user("ha", "never checked"))}
	password := mustAdd(t, b, "hall-lamp", own("hall-lamp"))
	for _, p := range before {
		if got := p.publish("anything", "", 1); got >= 0x80 {
			t.Errorf("who was there before may not publish any more: %#x", got)
		}
	}
	if got := reasonOf(t, b, "again", user("ha", "never checked")); got != 0 {
		t.Errorf("a name that was not checked before: got %#x, want it let in as before", got)
	}
	if !b.LetsAnybodyIn() {
		t.Error("the gateway does not say that it is open")
	}
	info, err := os.Stat(filepath.Join(dir, KeptFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v, want a file for its owner only", info, err)
	}
	if text, _ := os.ReadFile(filepath.Join(dir, KeptFile)); bytes.Contains(text, []byte(password)) {
		t.Error("the password is in the file")
	}

	lamp := connect(t, b, "lamp", user("hall-lamp", password))
	if got := lamp.publish("home/hall-lamp/state", "", 1); got >= 0x80 {
		t.Errorf("its own topic: got %#x", got)
	}
	if got := lamp.publish("home/other", "", 1); got != 0x87 {
		t.Errorf("another's topic: got %#x, want 0x87", got)
	}
	if got := reasonOf(t, b, "guess", user("hall-lamp", password+"x")); got != loginBadPassword {
		t.Errorf("a wrong password: got %#x", got)
	}
	want := User{Name: "hall-lamp", Publish: []string{"home/hall-lamp/#"}, Subscribe: []string{"home/hall-lamp/#"}, Kept: true, Connected: 1}
	if got := b.Users(); len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("got %+v, want %+v", got, want)
	}

	again, err := New(*b.config(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, code := again.access.Load().login(t.Context(), true, "id", "hall-lamp", []byte(password), nil, ""); code != loginOK {
		t.Errorf("after a restart: got %#x", code)
	}
	if err := b.RemoveUser("hall-lamp"); err != nil {
		t.Fatal(err)
	}
	if got := lamp.ended(); got != 0x87 {
		t.Errorf("removed: got %#x, want 0x87", got)
	}
}

// Where a password is needed, changes are in force at once: a removed device, an old
// password and rights that were taken are worth nothing any more.
func TestChangesOfUsers(t *testing.T) {
	b := startBroker(t, Options{Dir: t.TempDir()}, func(c *Config) { c.Listeners[0].Anonymous = false })
	if got := reasonOf(t, b, "nobody"); got != loginNotAuthorized {
		t.Errorf("nobody: got %#x", got)
	}
	first := mustAdd(t, b, "lamp", own("lamp"))
	mustAdd(t, b, "other", own("other"))
	if b.LetsAnybodyIn() {
		t.Error("the gateway says that it is open")
	}
	refused(t, func() error { _, err := b.AddUser("lamp", own("lamp")); return err }(), UserTaken)
	lamp := connect(t, b, "lamp", user("lamp", first))
	lamp.subscribe(sub{filter: "home/lamp/set"})

	second, err := b.RenewPassword("lamp", "")
	if err != nil || second == first {
		t.Fatalf("got %q, %v", second, err)
	}
	if got := lamp.ended(); got != 0x87 {
		t.Errorf("with the old password: got %#x, want 0x87", got)
	}
	if got := reasonOf(t, b, "lamp", user("lamp", first)); got != loginBadPassword {
		t.Errorf("the old password: got %#x", got)
	}
	lamp = connect(t, b, "lamp", user("lamp", second))

	if err := b.ChangeUser("lamp", UserChange{Publish: filters("log/%u")}); err != nil {
		t.Fatal(err)
	}
	for topic, want := range map[string]byte{"log/lamp": 0, "home/lamp/state": 0x87} {
		if got := lamp.publish(topic, "", 1) &^ 0x10; got != want {
			t.Errorf("publish to %s: got %#x, want %#x", topic, got, want)
		}
	}
	lamp.subscribe(sub{filter: "home/lamp/set"})
	if err := b.ChangeUser("lamp", UserChange{Subscribe: filters()}); err != nil {
		t.Fatal(err)
	}
	if got := lamp.ended(); got != 0x87 {
		t.Errorf("with a subscription it may not have: got %#x", got)
	}
	if _, err := b.RenewPassword("lamp", "a word of mine"); err != nil {
		t.Fatal(err)
	}
	lamp = connect(t, b, "lamp", user("lamp", "a word of mine"))
	if err := b.RemoveUser("lamp"); err != nil {
		t.Fatal(err)
	}
	if got := lamp.ended(); got != 0x87 {
		t.Errorf("removed: got %#x", got)
	}
	if got := reasonOf(t, b, "lamp", user("lamp", "a word of mine")); got != loginBadPassword {
		t.Errorf("a removed one: got %#x", got)
	}
	refused(t, b.RemoveUser("lamp"), UserUnknown)
}

// What cannot be is refused with something to do about it, and changes nothing.
func TestUsersRefused(t *testing.T) {
	b := startBroker(t, Options{Dir: t.TempDir()})
	mustAdd(t, b, "lamp", own("lamp"))
	role := "boss"
	many := make([]string, maxRules+1)
	for i := range many {
		many[i] = "a"
	}
	for name, c := range map[string]struct {
		name string
		what UserChange
	}{
		"no name":       {"", own("x")},
		"long name":     {strings.Repeat("x", 33), own("x")},
		"name":          {"hall lamp", own("x")},
		"wildcard name": {"+", own("x")},
		"dots":          {"..", own("x")},
		"flag":          {"-x", own("x")},
		"administrator": {Administrator, own("x")},
		"filter":        {"x", UserChange{Publish: filters("a/#/b")}},
		"shared":        {"x", UserChange{Subscribe: filters("$share/g/a")}},
		"placeholder":   {"x", UserChange{Subscribe: filters("a/%x")}},
		"long filter":   {"x", UserChange{Subscribe: filters(strings.Repeat("x", 257))}},
		"many filters":  {"x", UserChange{Subscribe: &many}},
		"role":          {"x", UserChange{Console: &role}},
	} {
		_, err := b.AddUser(c.name, c.what)
		t.Run(name, func(t *testing.T) { refused(t, err, UserBad) })
	}
	_, err := b.RenewPassword("lamp", "short")
	refused(t, err, UserBad)
	_, err = b.RenewPassword("nobody", "")
	refused(t, err, UserUnknown)
	refused(t, b.ChangeUser("nobody", own("x")), UserUnknown)
	if got := b.Users(); len(got) != 1 {
		t.Errorf("got %+v, want one user", got)
	}
}

// Somebody can always change things in the console, once somebody could.
func TestLastAdministrator(t *testing.T) {
	b := startBroker(t, Options{Dir: t.TempDir()})
	admin, read, none := ConsoleAdmin, ConsoleRead, ""
	mustAdd(t, b, "ruth", UserChange{Console: &admin})
	mustAdd(t, b, "tom", UserChange{Console: &read})
	if b.ConsoleUnclaimed() {
		t.Error("the console is there for the next visitor though there is an administrator")
	}
	refused(t, b.RemoveUser("ruth"), UserLastAdmin)
	refused(t, b.ChangeUser("ruth", UserChange{Console: &none}), UserLastAdmin)
	if err := b.ChangeUser("tom", UserChange{Console: &admin}); err != nil {
		t.Fatal(err)
	}
	if err := b.RemoveUser("ruth"); err != nil {
		t.Fatal(err)
	}
	if role, _ := b.ConsoleRole("tom"); role != ConsoleAdmin {
		t.Errorf("got %q", role)
	}
}

// The administrator whom the first visitor made is a user like others.
func TestAdministratorAmongUsers(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, Options{Dir: dir})
	if _, err := b.ClaimConsole("a word of mine"); err != nil {
		t.Fatal(err)
	}
	if got := b.Users(); len(got) != 1 || got[0].Name != Administrator || !got[0].Kept || got[0].Console != ConsoleAdmin {
		t.Errorf("got %+v, want the administrator", got)
	}
	_, err := b.AddUser(Administrator, own("x"))
	refused(t, err, UserTaken)
	refused(t, b.ChangeUser(Administrator, own("x")), UserBad)
	refused(t, b.RemoveUser(Administrator), UserLastAdmin)
	password, err := b.RenewPassword(Administrator, "")
	if err != nil {
		t.Fatal(err)
	}
	if role, err := b.Authenticate(t.Context(), Administrator, password, ""); role != ConsoleAdmin || err != nil {
		t.Errorf("the new password: got %q, %v", role, err)
	}
	if _, err := b.Authenticate(t.Context(), Administrator, "a word of mine", ""); !errors.Is(err, ErrWrongPassword) {
		t.Errorf("the old password: got %v", err)
	}
	admin := ConsoleAdmin
	mustAdd(t, b, "ruth", UserChange{Console: &admin})
	if err := b.RemoveUser(Administrator); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, AdministratorFile)); err == nil || b.ConsoleUnclaimed() {
		t.Errorf("the file is still there (%v), or the console is for the next visitor", err)
	}
}

// Of a name in both files that of the configuration means something, and people are
// told.
func TestTwoUsersFiles(t *testing.T) {
	dir := t.TempDir()
	path := replaceFile(t, filepath.Join(t.TempDir(), "users.toml"), []byte("[anonymous]\npublish = [\"p\"]\n"+entryOf("ruth", cheapHash("pw"), "r", "r")))
	said := &bytes.Buffer{}
	b := startBroker(t, Options{Dir: dir, Log: slog.New(slog.NewTextHandler(said, nil))}, func(c *Config) { c.Access.UsersFile = path })
	if !b.LetsAnybodyIn() {
		t.Error("the gateway does not say what anonymous clients may")
	}
	password := mustAdd(t, b, "lamp", own("lamp"))
	anybody := connect(t, b, "anybody")
	if got := anybody.publish("other", "", 1); got != 0x87 {
		t.Errorf("an anonymous client may more than the configuration says: got %#x", got)
	}
	refused(t, b.RemoveUser("ruth"), UserElsewhere)
	_, err := b.RenewPassword("ruth", "")
	refused(t, err, UserElsewhere)
	_, err = b.AddUser("ruth", own("ruth"))
	refused(t, err, UserTaken)

	lamp := connect(t, b, "lamp", user("lamp", password))
	replaceFile(t, path, []byte(entryOf("ruth", cheapHash("pw"), "r", "r")+entryOf("lamp", cheapHash("of the file"), "r", "r")))
	if err := b.Reload(*b.config()); err != nil {
		t.Fatal(err)
	}
	if got := lamp.ended(); got != 0x87 {
		t.Errorf("with the password of the other file: got %#x", got)
	}
	connect(t, b, "lamp", user("lamp", "of the file"))
	if got := b.Users(); len(got) != 2 || got[0].Name != "lamp" || got[0].Kept {
		t.Errorf("got %+v, want lamp and ruth of the file", got)
	}
	refused(t, b.RemoveUser("lamp"), UserElsewhere)
	if text := said.String(); !strings.Contains(text, "level=WARN") || !strings.Contains(text, "user=lamp") {
		t.Errorf("nobody was told of the clash: %s", text)
	}
}

// The gateway keeps so many users and no more.
func TestMostUsers(t *testing.T) {
	dir := t.TempDir()
	file := usersFile{User: make([]userRule, 0, maxKept)}
	for i := range maxKept {
		file.User = append(file.User, userRule{Name: fmt.Sprintf("lamp-%04d", i), Password: cheapHash("pw")})
	}
	replaceFile(t, filepath.Join(dir, KeptFile), file.render())
	b := startBroker(t, Options{Dir: dir})
	_, err := b.AddUser("one-more", own("one-more"))
	refused(t, err, UserBad)
	long := make([]string, maxRules)
	for i := range long {
		long[i] = strings.Repeat("x", mostRule)
	}
	for i := range maxKept {
		if err = b.ChangeUser(fmt.Sprintf("lamp-%04d", i), UserChange{Publish: &long}); err != nil {
			break
		}
	}
	refused(t, err, UserBad)
	info, err := os.Stat(filepath.Join(dir, KeptFile))
	if err != nil || info.Size() > maxKeptBytes {
		t.Errorf("got %v, %v, want at most %d bytes", info.Size(), err, maxKeptBytes)
	}
	if again, err := New(*b.config(), Options{Dir: dir}); err != nil || len(again.Users()) != maxKept {
		t.Errorf("after a restart: got %v and other users", err)
	}
}

// Changes and reloads do not lose each other's work.
func TestChangesAtOnce(t *testing.T) {
	b := startBroker(t, Options{Dir: t.TempDir()})
	names := []string{"a", "b", "c", "d"}
	passwords := make([]string, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() {
			var err error
			passwords[i], err = b.AddUser(name, own(name))
			if err == nil && name > "b" {
				err = b.RemoveUser(name)
			}
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
		all.Go(func() {
			if err := b.Reload(*b.config()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := b.Users(); len(got) != 2 || got[0].Name != "a" || got[1].Name != "b" {
		t.Errorf("got %+v, want a and b", got)
	}
	for i, name := range names[:2] {
		connect(t, b, name, user(name, passwords[i]))
	}
}
