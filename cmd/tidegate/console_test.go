package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tidegate/edge"
)

// A reload switches the page off and on; the home notices nothing.
func TestReloadSwitchesThePage(t *testing.T) {
	file, dir := house(t, openHouse+watched)
	g := startGateway(t, file, dir)
	page := g.page()
	if code, body := get(t, page+"/"); code != http.StatusOK || !strings.Contains(body, "<title>Tidegate</title>") {
		t.Fatalf("got %d %s", code, body)
	}
	home := subscribe(t, g.port(), "#")
	with := func(bind string) {
		configure(t, file, fmt.Sprintf("[gateway]\nid = \"house\"\ndata-dir = %q\n%s[console]\nbind = %q\n", dir, openHouse, bind))
		g.signal(syscall.SIGHUP)
	}
	with("")
	address := strings.TrimPrefix(page, "http://")
	eventually(t, func() bool { return !listens(address) }, func() string { return "the page is still there:\n" + g.out.String() })
	with(address)
	eventually(t, func() bool { return listens(address) }, func() string { return "the page does not come back:\n" + g.out.String() })
	publish(t, g.port(), "a", []string{"still here"})
	home.says(`got a still here`)
}

func listens(address string) bool {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// A page that cannot be had takes nothing down: neither a port that another
// program has, nor a certificate that is missing.
func TestHomeWorksWithoutThePage(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, c := range map[string]struct{ section, says string }{
		"port":        {fmt.Sprintf("bind = %q", taken.Addr()), `no console for now`},
		"certificate": {"bind = \"127.0.0.1:0\"\ncert = \"/nothing/cert.pem\"\nkey = \"/nothing/key.pem\"", `no console.*no such file`},
	} {
		t.Run(name, func(t *testing.T) {
			g := newHouse(t, openHouse+"\n[console]\n"+c.section+"\n")
			g.says(c.says)
			home := subscribe(t, g.port(), "#")
			publish(t, g.port(), "a", []string{"works"})
			home.says(`got a works`)
		})
	}
}

// browser is a client that keeps cookies, as a page does.
type browser struct {
	t    *testing.T
	page string
	http http.Client
	csrf string
}

func newBrowser(t *testing.T, page string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t: t, page: page, http: http.Client{Jar: jar}}
}

// do sends a request as the page's own script does.
func (b *browser) do(method, path, body string) (code int, answer map[string]any) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.page+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Origin", b.page)
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-CSRF-Token", b.csrf)
	res, err := b.http.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	json.Unmarshal(data, &answer)
	if csrf, ok := answer["csrf"].(string); ok {
		b.csrf = csrf
	}
	return res.StatusCode, answer
}

// The first visitor sets the administrator's password. It is known at the next
// start, and there is no second first visitor.
func TestFirstVisitorOfTheConsole(t *testing.T) {
	file, dir := house(t, openHouse+watched)
	g := startGateway(t, file, dir)
	b := newBrowser(t, g.page())
	if code, answer := b.do("GET", "/api/v1/status", ""); code != http.StatusUnauthorized {
		t.Errorf("a stranger: got %d %v, want 401", code, answer)
	}
	if _, answer := b.do("GET", "/api/session", ""); answer["setup"] != true {
		t.Errorf("got %v, want a first visit", answer)
	}
	if code, answer := b.do("POST", "/api/setup", `{"password":"a long word of mine"}`); code != http.StatusOK || answer["role"] != "admin" {
		t.Fatalf("got %d %v, want the administrator", code, answer)
	}
	if code, answer := b.do("GET", "/api/v1/status", ""); code != http.StatusOK || answer["gateway"] != "house" {
		t.Errorf("got %d %v, want the status", code, answer)
	}
	if info, err := os.Stat(filepath.Join(dir, "administrator")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v, want the hash in a file for its owner only", info, err)
	}
	g.kill()

	g = startGateway(t, file, dir)
	b = newBrowser(t, g.page())
	if code, answer := b.do("POST", "/api/setup", `{"password":"a word of somebody else"}`); code == http.StatusOK {
		t.Errorf("a second first visitor: got %d %v", code, answer)
	}
	if code, answer := b.do("POST", "/api/login", `{"user":"admin","password":"not that word"}`); code != http.StatusUnauthorized {
		t.Errorf("a wrong password: got %d %v, want 401", code, answer)
	}
	if code, answer := b.do("POST", "/api/login", `{"user":"admin","password":"a long word of mine"}`); code != http.StatusOK || answer["role"] != "admin" {
		t.Errorf("got %d %v, want the administrator", code, answer)
	}
}

// Users of the users file come in with the role that it gives them.
func TestUsersOfTheConsole(t *testing.T) {
	users := filepath.Join(t.TempDir(), "users.toml")
	var text strings.Builder
	for _, u := range []struct{ name, more string }{{"ruth", `console = "admin"`}, {"tom", `console = "read"`}, {"lamp", ""}} {
		fmt.Fprintf(&text, "[[user]]\nname = %q\npassword = %q\n%s\n", u.name, edge.HashPassword([]byte("word of "+u.name)), u.more)
	}
	if err := os.WriteFile(users, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	file, dir := house(t, openHouse+fmt.Sprintf("[edge.access]\nusers-file = %q\n", users)+watched)
	g := startGateway(t, file, dir)
	for _, c := range []struct {
		user, role    string
		code, publish int
	}{
		{"ruth", "admin", http.StatusOK, http.StatusOK},
		{"tom", "read", http.StatusOK, http.StatusForbidden},
		{"lamp", "", http.StatusForbidden, http.StatusUnauthorized},
		{"nobody", "", http.StatusUnauthorized, http.StatusUnauthorized},
	} {
		b := newBrowser(t, g.page())
		code, answer := b.do("POST", "/api/login", fmt.Sprintf(`{"user":%q,"password":"word of %s"}`, c.user, c.user))
		if role, _ := answer["role"].(string); code != c.code || role != c.role {
			t.Errorf("%s: got %d %v, want %d as %q", c.user, code, answer, c.code, c.role)
		}
		if code, answer := b.do("GET", "/api/v1/devices/a%2Fb", ""); c.code == http.StatusOK && (code != http.StatusNotFound || !strings.Contains(fmt.Sprint(answer["error"]), "a/b")) {
			t.Errorf("%s asks for a device that is not there: got %d %v", c.user, code, answer)
		}
		if code, answer := b.do("POST", "/api/v1/publish", `{"topic":"a","payload":"b","encoding":"text"}`); code != c.publish {
			t.Errorf("%s publishes: got %d %v, want %d", c.user, code, answer, c.publish)
		}
	}
	if _, answer := newBrowser(t, g.page()).do("GET", "/api/session", ""); answer["setup"] == true {
		t.Error("a first visit is offered though there is an administrator")
	}
}
