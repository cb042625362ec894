package edge

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// Nobody has rights by a damaged file; the one of the configuration holds, the
// console is nobody's to claim, and the file is not written over.
func TestDamagedUsers(t *testing.T) {
	for _, damage := range []string{"", "[[user]\n", "[[user]]\nname = \"lamp\"\npassword = \"plain\"\n", "\x00\x00\x00"} {
		dir := t.TempDir()
		path := replaceFile(t, filepath.Join(t.TempDir(), "users.toml"), []byte(entryOf("ruth", cheapHash("pw"), "r", "r")))
		b := startBroker(t, Options{Dir: dir}, func(c *Config) { c.Access.UsersFile = path })
		password := mustAdd(t, b, "lamp", own("lamp"))
		lamp := connect(t, b, "lamp", user("lamp", password))
		replaceFile(t, filepath.Join(dir, KeptFile), []byte(damage))
		if err := b.Reload(*b.config()); err != nil || !strings.Contains(b.UsersFault(), KeptFile) {
			t.Errorf("%q: got %v and %q, want a reload and a fault that names the file", damage, err, b.UsersFault())
		}
		if got := lamp.publish("home/lamp/state", "", 1); got >= 0x80 {
			t.Errorf("%q: who was there before the reload may not publish: %#x", damage, got)
		}
		_, err := b.AddUser("other", own("other"))
		refused(t, err, UsersDamaged)

		cfg := *b.config()
		again, err := New(cfg, Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]byte{"lamp": loginBadPassword, "ruth": loginOK} {
			secret := map[string]string{"lamp": password, "ruth": "pw"}[name]
			if _, code := again.access.Load().login(t.Context(), true, "id", name, []byte(secret), nil, ""); code != want {
				t.Errorf("%q: %s after a restart: got %#x, want %#x", damage, name, code, want)
			}
		}
		cfg.Access.UsersFile = ""
		alone, err := New(cfg, Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if g, code := alone.access.Load().login(t.Context(), true, "id", "", nil, nil, ""); code != loginOK || g.mayPublish("a") || g.maySubscribe("a") {
			t.Errorf("%q: an anonymous client has rights by a file that nobody can read", damage)
		}
		if _, err := alone.ClaimConsole("a word of mine"); alone.ConsoleUnclaimed() || !errors.Is(err, ErrClaimed) {
			t.Errorf("%q: the next visitor may claim the console (%v)", damage, err)
		}
		if text, _ := os.ReadFile(filepath.Join(dir, KeptFile)); string(text) != damage {
			t.Errorf("the damaged file was written over: %q", text)
		}
	}
}

// However much of the file is cut off, the console is not the next visitor's, and
// whoever knows the password is told why it is not good.
func TestUsersCutOff(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, Options{Dir: dir})
	mustAdd(t, b, "lamp", own("lamp"))
	admin := ConsoleAdmin
	password := mustAdd(t, b, "ruth", UserChange{Console: &admin})
	text, err := os.ReadFile(filepath.Join(dir, KeptFile))
	if err != nil {
		t.Fatal(err)
	}
	for n := range text {
		replaceFile(t, filepath.Join(dir, KeptFile), text[:n])
		again, err := New(*b.config(), Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if again.ConsoleUnclaimed() || again.UsersFault() == "" {
			t.Fatalf("%d of %d bytes: the next visitor may claim the console, or nothing is said: %q", n, len(text), again.UsersFault())
		}
		if n%50 > 0 {
			continue
		}
		if _, err := again.Authenticate(t.Context(), "ruth", password, ""); !errors.Is(err, ErrUsersDamaged) {
			t.Errorf("%d bytes: got %v", n, err)
		}
	}
	replaceFile(t, filepath.Join(dir, KeptFile), append(text, entryOf("more", cheapHash("pw"), "a", "a")...))
	if err := b.Reload(*b.config()); err != nil || b.UsersFault() != "" || len(b.Users()) != 3 {
		t.Errorf("what somebody has added: got %v, %q, %+v", err, b.UsersFault(), b.Users())
	}
}

// A damaged file that appears while the gateway runs, where nobody was added
// before, sends nobody away.
func TestDamagedUsersAtAReload(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, Options{Dir: dir})
	anybody := connect(t, b, "anybody")
	replaceFile(t, filepath.Join(dir, KeptFile), []byte("[[user]\n"))
	if err := b.Reload(*b.config()); err != nil || b.UsersFault() == "" || b.ConsoleUnclaimed() {
		t.Errorf("got %v, %q, want a fault, and a console that is nobody's to claim", err, b.UsersFault())
	}
	if got := anybody.publish("a", "", 1); got >= 0x80 {
		t.Errorf("who was let in before the reload may not publish: %#x", got)
	}
	_, err := b.AddUser("lamp", own("lamp"))
	refused(t, err, UsersDamaged)
}

// With a damaged file the administrator is told so, and gets another password on
// the gateway.
func TestDamagedAdministrator(t *testing.T) {
	dir := t.TempDir()
	replaceFile(t, filepath.Join(dir, AdministratorFile), nil)
	b := startBroker(t, Options{Dir: dir})
	if b.ConsoleUnclaimed() || !strings.Contains(b.UsersFault(), AdministratorFile) || !strings.Contains(b.UsersFault(), "device passwd admin") {
		t.Errorf("the next visitor may claim the console, or it is not said what to do: %q", b.UsersFault())
	}
	if _, err := b.Authenticate(t.Context(), Administrator, "a word of mine", ""); !errors.Is(err, ErrUsersDamaged) {
		t.Errorf("got %v", err)
	}
	password, err := b.RenewPassword(Administrator, "")
	if err != nil || b.UsersFault() != "" {
		t.Fatalf("got %v, %q", err, b.UsersFault())
	}
	if role, err := b.Authenticate(t.Context(), Administrator, password, ""); role != ConsoleAdmin || err != nil {
		t.Errorf("got %q, %v", role, err)
	}
}

// The file that is written means what was meant.
func FuzzKeptFile(f *testing.F) {
	hash := cheapHash("pw")
	f.Add("hall-lamp", "home/\u00fc/\"\\#", "g", "a\tb\x01\u00ad/#", true)
	f.Fuzz(func(t *testing.T, name, publish, group, subscribe string, open bool) {
		file := usersFile{
			Anonymous: anonymous{ruleLists: ruleLists{Publish: []string{publish}}, AnyName: open},
			Group:     []groupRule{{Name: group, Subscribe: []string{subscribe}}},
			User:      []userRule{{Name: name, Password: hash, Groups: []string{group}, Publish: []string{publish}, Console: ConsoleRead}},
		}
		for _, s := range []string{name, publish, group, subscribe} {
			if s == "" || strings.ToValidUTF8(s, "") != s {
				return
			}
		}
		got, err := decodeUsers("users.toml", file.render())
		if err != nil || !reflect.DeepEqual(*got, file) {
			t.Errorf("got %+v, %v\nwant %+v", got, err, file)
		}
	})
}

// What a power cut leaves of a change of users is gone after the next start.
func TestLeftoverOfUsersGoes(t *testing.T) {
	dir := t.TempDir()
	left := filepath.Join(dir, "."+KeptFile+".new-123")
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	startBroker(t, Options{Dir: dir})
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("got %v, want it gone", err)
	}
}
