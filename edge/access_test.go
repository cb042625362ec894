package edge

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/internal/topic"
)

// cheapHash is a real argon2id hash with the smallest cost.
func cheapHash(password string) string { return argonHash([]byte(password), 8, 1, 1) }

func accessWith(t *testing.T, text string) *access {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := newAccess(AccessConfig{UsersFile: path}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestCovers(t *testing.T) {
	for _, c := range []struct {
		outer, inner string
		want         bool
	}{
		{"#", "#", true}, {"#", "a/b", true}, {"#", "+/+", true}, {"#", "a/#", true}, {"#", "$SYS/#", false}, {"#", "$SYS/x", false},
		{"+/#", "#", true}, {"+/+/#", "#", false}, {"+", "#", false}, {"a/#", "#", false},
		{"+", "+", true}, {"+", "a", true}, {"a", "+", false}, {"+/x", "$SYS/x", false}, {"+", "a/#", false}, {"+/#", "a/#", true},
		{"a/#", "a", true}, {"a/#", "a/#", true}, {"a/#", "a/+/c", true}, {"a/#", "ab/c", false}, {"a/#", "+/b", false},
		{"a/+", "a/#", false}, {"a/+", "a", false}, {"a/+", "a/b/c", false}, {"a/+/#", "a/#", false}, {"a/+/#", "a/+", true}, {"a/+/#", "a/b/#", true},
		{"a/b", "a/b", true}, {"a/b", "a/b/#", false}, {"a/b", "a/+", false}, {"a/b/c", "a/b", false},
		{"$SYS/#", "$SYS/x", true}, {"$SYS/#", "#", false}, {"$SYS/+", "$SYS/x", true}, {"/+", "/a", true}, {"+/+", "/a", true},
	} {
		if got := covers(c.outer, c.inner); got != c.want {
			t.Errorf("covers(%q, %q): got %v, want %v", c.outer, c.inner, got, c.want)
		}
	}
}

// Over two letters every filter and name of up to three levels is few enough
// to try all: a filter covers another exactly when no name tells them apart,
// where names have one letter more than filters and one level more.
func TestCoversIsWhatMatchSays(t *testing.T) {
	filters := words([]string{"a", "$b", "+", "#"}, 3)
	names := words([]string{"a", "$b", "z", "$z"}, 4)
	for _, outer := range filters {
		for _, inner := range filters {
			if want, got := coversByNames(outer, inner, names), covers(outer, inner); got != want {
				t.Errorf("covers(%q, %q): got %v, want %v", outer, inner, got, want)
			}
		}
	}
}

func coversByNames(outer, inner string, names []string) bool {
	for _, name := range names {
		if topic.Match(inner, name) && !topic.Match(outer, name) {
			return false
		}
	}
	return true
}

// words returns every valid filter of one to n levels over the alphabet.
func words(alphabet []string, n int) (out []string) {
	last := []string{""}
	for range n {
		var next []string
		for _, head := range last {
			for _, level := range alphabet {
				next = append(next, strings.TrimPrefix(head+"/"+level, "/"))
			}
		}
		for _, w := range next {
			if topic.ValidFilter(w) {
				out = append(out, w)
			}
		}
		last = next
	}
	return out
}

func FuzzCovers(f *testing.F) {
	f.Add("a/#", "a/+", "a/b")
	f.Add("+/#", "#", "$SYS/x")
	f.Fuzz(func(t *testing.T, outer, inner, name string) {
		if !topic.ValidFilter(outer) || !topic.ValidFilter(inner) || !topic.ValidName(name) {
			return
		}
		if covers(outer, inner) && topic.Match(inner, name) && !topic.Match(outer, name) {
			t.Errorf("covers(%q, %q), but only the second matches %q", outer, inner, name)
		}
		if !covers(inner, inner) {
			t.Errorf("%q does not cover itself", inner)
		}
	})
}

func TestRulesAreExpandedOnce(t *testing.T) {
	for _, c := range []struct{ rule, user, client, want string }{
		{"home/%c/#", "u", "lamp", "home/lamp/#"}, {"home/%u-x/%c", "u", "c", "home/u-x/c"},
		{"home/%c/#", "u", "+", ""}, {"home/%c/#", "u", "#", ""}, {"home/%c/#", "u", "a/b", ""}, {"home/%c/#", "u", "", ""},
		{"home/%u", "", "c", ""}, {"home/%u", "%c", "x", "home/%c"}, {"home/x", "+", "#", "home/x"},
		{"%c/#", "u", "$SYS", ""}, {"%u/g/#", "$share", "c", ""}, {"$SYS/%c", "u", "c", "$SYS/c"}, {"home/%c", "u", "a\x00b", ""},
	} {
		got := strings.Join(expand([]string{c.rule}, c.user, c.client), " ")
		if got != c.want {
			t.Errorf("%q for user %q, client %q: got %q, want %q", c.rule, c.user, c.client, got, c.want)
		}
	}
}

func TestGrant(t *testing.T) {
	a := accessWith(t, `
[anonymous]
subscribe = ["public/#"]
[[group]]
name = "lamps"
publish = ["home/%u/state"]
subscribe = ["home/%u/+"]
[[user]]
name = "hall"
password = "`+cheapHash("pw")+`"
groups = ["lamps"]
publish = ["log/%c/#"]
`)
	hall, code := a.login(t.Context(), false, "c1", "hall", []byte("pw"), nil, "192.0.2.1")
	if code != loginOK {
		t.Fatalf("login: got 0x%02x", code)
	}
	guest, code := a.login(t.Context(), true, "c2", "", nil, nil, "192.0.2.1")
	if code != loginOK {
		t.Fatalf("anonymous login: got 0x%02x", code)
	}
	for _, c := range []struct {
		who        *grant
		topic      string
		pub, subsc bool
	}{
		{hall, "home/hall/state", true, true}, {hall, "home/hall/set", false, true}, {hall, "home/attic/state", false, false},
		{hall, "log/c1/x/y", true, false}, {hall, "log/c2/x", false, false}, {hall, "public/x", false, false},
		{guest, "public/x", false, true}, {guest, "home/hall/state", false, false}, {guest, "$SYS/x", false, false},
	} {
		if got := c.who.mayPublish(c.topic); got != c.pub {
			t.Errorf("%q publishes to %q: got %v, want %v", c.who.user, c.topic, got, c.pub)
		}
		if got := c.who.maySubscribe(c.topic); got != c.subsc {
			t.Errorf("%q subscribes to %q: got %v, want %v", c.who.user, c.topic, got, c.subsc)
		}
	}
	for filter, want := range map[string]bool{
		"home/hall/#": false, "home/hall/+": true, "home/+/state": false, "#": false, "$share/g/home/hall/+": true,
		"$share/g/#": false, "$share/g": false, "$share/g/": false, "$share/": false,
	} {
		if got := hall.maySubscribe(filter); got != want {
			t.Errorf("subscribes to %q: got %v, want %v", filter, got, want)
		}
	}
}

func TestLogin(t *testing.T) {
	fastPassword, fastHash := GeneratePassword()
	a := accessWith(t, `
[[user]]
name = "slow"
password = "`+cheapHash("pw")+`"
[[user]]
name = "fast"
password = "`+fastHash+`"
[[user]]
name = "card"
certificate = "card-cn"
`)
	cert := func(name string) *x509.Certificate { return &x509.Certificate{Subject: pkix.Name{CommonName: name}} }
	for _, c := range []struct {
		what           string
		anonymous      bool
		user, password string
		peer           *x509.Certificate
		want           byte
		as             string
	}{
		{"right password", false, "slow", "pw", nil, loginOK, "slow"},
		{"right password again", false, "slow", "pw", nil, loginOK, "slow"},
		{"wrong password", false, "slow", "no", nil, loginBadPassword, ""},
		{"wrong password where guests may in", true, "slow", "no", nil, loginBadPassword, ""},
		{"no password", true, "slow", "", nil, loginBadPassword, ""},
		{"generated password", false, "fast", fastPassword, nil, loginOK, "fast"},
		{"wrong generated password", false, "fast", "pw", nil, loginBadPassword, ""},
		{"unknown user", true, "nobody", "pw", nil, loginBadPassword, ""},
		{"password without a name", true, "", "pw", nil, loginBadPassword, ""},
		{"nothing", false, "", "", nil, loginNotAuthorized, ""},
		{"guest", true, "", "", nil, loginOK, ""},
		{"certificate", false, "", "", cert("card-cn"), loginOK, "card"},
		{"certificate with its name", false, "card", "", cert("card-cn"), loginOK, "card"},
		{"certificate with another name", false, "slow", "", cert("card-cn"), loginBadPassword, ""},
		{"another certificate", false, "", "", cert("other"), loginNotAuthorized, ""},
		{"certificate without a name", false, "", "", cert(""), loginNotAuthorized, ""},
		{"another certificate, right password", false, "slow", "pw", cert("other"), loginOK, "slow"},
		{"password for a user with only a certificate", false, "card", "pw", nil, loginBadPassword, ""},
	} {
		g, code := a.login(t.Context(), c.anonymous, "id", c.user, []byte(c.password), c.peer, "192.0.2.1")
		if code != c.want || (g != nil) != (code == loginOK) || g != nil && g.user != c.as {
			t.Errorf("%s: got %+v, 0x%02x, want %q, 0x%02x", c.what, g, code, c.as, c.want)
		}
	}
}

func TestWithoutUsersFile(t *testing.T) {
	a, err := newAccess(AccessConfig{}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	g, code := a.login(t.Context(), true, "id", "any", []byte("thing"), nil, "192.0.2.1")
	if code != loginOK || !g.mayPublish("a/b") || !g.maySubscribe("#") || g.mayPublish("$SYS/x") {
		t.Errorf("anonymous: got %+v, 0x%02x", g, code)
	}
	if _, code := a.login(t.Context(), false, "id", "any", []byte("thing"), nil, "192.0.2.1"); code != loginNotAuthorized {
		t.Errorf("not anonymous: got 0x%02x, want 0x87", code)
	}
}

func TestReload(t *testing.T) {
	entry := func(password string) string {
		return "[[user]]\nname = \"u\"\npassword = \"" + cheapHash(password) + "\"\n"
	}
	a := accessWith(t, entry("old"))
	try := func(password string, want byte) {
		t.Helper()
		if _, code := a.login(t.Context(), false, "id", "u", []byte(password), nil, "192.0.2.1"); code != want {
			t.Errorf("password %q: got 0x%02x, want 0x%02x", password, code, want)
		}
	}
	try("old", loginOK)
	os.WriteFile(a.cfg.UsersFile, []byte(entry("new")), 0o600)
	a, err := newAccess(a.cfg, nil, a.verifier)
	if err != nil {
		t.Fatal(err)
	}
	try("old", loginBadPassword)
	try("new", loginOK)
	os.WriteFile(a.cfg.UsersFile, []byte("nonsense"), 0o600)
	if _, err := newAccess(a.cfg, nil, a.verifier); err == nil {
		t.Error("a bad file was taken")
	}
	try("new", loginOK)
	os.Remove(a.cfg.UsersFile)
	if problems := a.cfg.Check(); len(problems) != 1 || problems[0].Key != "users-file" {
		t.Errorf("file gone: got %v", problems)
	}
}

// 500 devices that share one name and password cost one hash; those that have
// each their own are served one at a time, and all get in.
func TestFiveHundredReturnAtOnce(t *testing.T) {
	text := "[[user]]\nname = \"all\"\npassword = \"" + HashPassword([]byte("pw")) + "\"\n"
	for i := range 500 {
		text += fmt.Sprintf("[[user]]\nname = \"u%d\"\npassword = %q\n", i, cheapHash(fmt.Sprint("pw", i)))
	}
	a := accessWith(t, text)
	for _, c := range []struct {
		what     string
		who      func(i int) (user, password string)
		computed int
	}{
		{"one user", func(int) (string, string) { return "all", "pw" }, 1},
		{"each its own", func(i int) (string, string) { return fmt.Sprint("u", i), fmt.Sprint("pw", i) }, 501},
		{"each again", func(i int) (string, string) { return fmt.Sprint("u", i), fmt.Sprint("pw", i) }, 501},
	} {
		var all sync.WaitGroup
		for i := range 500 {
			all.Go(func() {
				user, password := c.who(i)
				if _, code := a.login(t.Context(), false, fmt.Sprint("c", i), user, []byte(password), nil, "192.0.2.1"); code != loginOK {
					t.Errorf("%s, client %d: got 0x%02x", c.what, i, code)
				}
			})
		}
		all.Wait()
		if got := a.verifier.computed; got != c.computed {
			t.Errorf("%s: got %d hashes computed, want %d", c.what, got, c.computed)
		}
	}
}

func TestLoginEndsWithItsDeadline(t *testing.T) {
	hash := cheapHash("pw")
	synctest.Test(t, func(t *testing.T) {
		a := accessWith(t, "[[user]]\nname = \"u\"\npassword = \""+hash+"\"\n")
		a.verifier.turn = make(chan struct{}, 1)
		a.verifier.turn <- struct{}{} // someone takes very long
		ctx, stop := context.WithTimeout(t.Context(), 5*time.Second)
		defer stop()
		for _, user := range []string{"u", "unknown"} {
			if _, code := a.login(ctx, false, "id", user, []byte("pw"), nil, "192.0.2.1"); code != loginUnavailable {
				t.Errorf("user %q: got 0x%02x, want 0x88", user, code)
			}
		}
	})
}

// An unknown name makes the verifier compute what a known one does.
func TestUnknownUsersCostTheSame(t *testing.T) {
	a := accessWith(t, "[[user]]\nname = \"u\"\npassword = \""+cheapHash("pw")+"\"\n[[user]]\nname = \"c\"\ncertificate = \"c\"\n")
	for i, user := range []string{"u", "unknown", "c", ""} {
		a.login(t.Context(), false, "id", user, []byte("wrong"), nil, "192.0.2.1")
		if got := len(a.verifier.bad); got != i+1 {
			t.Errorf("user %q: got %d hashes computed, want %d", user, got, i+1)
		}
	}
	if _, code := a.login(t.Context(), false, "id", "unknown", []byte("pw"), nil, "192.0.2.1"); code != loginBadPassword {
		t.Errorf("unknown user with the decoy's password: got 0x%02x, want 0x86", code)
	}
}
