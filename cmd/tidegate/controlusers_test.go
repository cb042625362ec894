package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"tidegate/cmd/tidegate/internal/control"
	"tidegate/edge"
)

// closedHouse lets in who has a password.
const closedHouse = `
[[edge.listener]]
bind = "127.0.0.1:0"
`

// comesIn says whether mosquitto_pub gets a message acknowledged.
func comesIn(t *testing.T, port, name, password, topic string) bool {
	t.Helper()
	out, err := exec.CommandContext(patiently(t), "mosquitto_pub", "-h", "127.0.0.1", "-p", port, "-V", "mqttv5", "-q", "1", "-t", topic, "-m", "x", "-u", name, "-P", password).CombinedOutput()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatalf("mosquitto_pub: %v: %s", err, out)
	}
	return err == nil && !regexp.MustCompile("(?i)not authorized").Match(out)
}

func saysStatus(t *testing.T, err error, want int) {
	t.Helper()
	var said *control.Error
	if !errors.As(err, &said) || said.Status != want || said.Hint == "" {
		t.Errorf("got %v, want %d with something to do", err, want)
	}
}

// A device that is added comes in at once, with its password and no other, until it
// is removed. The gateway knows it after a kill too.
func TestUsersOverTheSocket(t *testing.T) {
	file, dir := house(t, closedHouse)
	g := startGateway(t, file, dir)
	c := g.ask()
	var made control.Password
	if err := c.Do(patiently(t), "POST", "/v1/users", control.NewUser{Name: "hall-lamp", Publish: []string{"home/%u/#"}, Subscribe: []string{"home/%u/#"}}, &made); err != nil {
		t.Fatal(err)
	}
	if made.Name != "hall-lamp" || len(made.Password) < 20 || made.Note != "" {
		t.Errorf("got %+v, want a password", made)
	}
	lamp := subscribe(t, g.port(), "home/hall-lamp/set", "-V", "mqttv5", "-u", "hall-lamp", "-P", made.Password)
	for _, x := range []struct {
		name, password, topic string
		want                  bool
	}{
		{"hall-lamp", made.Password, "home/hall-lamp/state", true},
		{"hall-lamp", made.Password, "home/other/state", false},
		{"hall-lamp", made.Password + "x", "home/hall-lamp/state", false},
		{"other", made.Password, "home/other/state", false},
	} {
		if got := comesIn(t, g.port(), x.name, x.password, x.topic); got != x.want {
			t.Errorf("%s to %s: got %v, want %v", x.name, x.topic, got, x.want)
		}
	}
	var list control.Users
	if err := c.Get(patiently(t), "/v1/users", &list); err != nil || len(list.Users) != 1 || list.Open || list.Fault != "" {
		t.Fatalf("got %+v, %v, want one user", list, err)
	}
	if u := list.Users[0]; u.Name != "hall-lamp" || u.Kept != "here" || u.Connected != 1 || !slices.Equal(u.Publish, []string{"home/%u/#"}) || u.Groups == nil {
		t.Errorf("got %+v", u)
	}

	first := made.Password
	if err := c.Do(patiently(t), "POST", "/v1/users/hall-lamp/password", struct{}{}, &made); err != nil || made.Password == first {
		t.Fatalf("got %+v, %v, want another password", made, err)
	}
	lamp.says(`DISCONNECT`)
	if comesIn(t, g.port(), "hall-lamp", first, "home/hall-lamp/state") || !comesIn(t, g.port(), "hall-lamp", made.Password, "home/hall-lamp/state") {
		t.Error("the old password is good, or the new one is not")
	}
	if err := c.Do(patiently(t), "PUT", "/v1/users/hall-lamp", map[string]any{"publish": []string{"lamps/%u"}}, nil); err != nil {
		t.Fatal(err)
	}
	if comesIn(t, g.port(), "hall-lamp", made.Password, "home/hall-lamp/state") || !comesIn(t, g.port(), "hall-lamp", made.Password, "lamps/hall-lamp") {
		t.Error("the permissions are those of before")
	}
	g.kill()
	g = startGateway(t, file, dir)
	c = g.ask()
	if !comesIn(t, g.port(), "hall-lamp", made.Password, "lamps/hall-lamp") {
		t.Error("after a kill the device does not come in")
	}
	lamp = subscribe(t, g.port(), "home/hall-lamp/set", "-V", "mqttv5", "-u", "hall-lamp", "-P", made.Password)
	if err := c.Do(patiently(t), "DELETE", "/v1/users/hall-lamp", nil, nil); err != nil {
		t.Fatal(err)
	}
	lamp.says(`DISCONNECT`)
	if comesIn(t, g.port(), "hall-lamp", made.Password, "lamps/hall-lamp") {
		t.Error("a removed device comes in")
	}
	saysStatus(t, c.Do(patiently(t), "DELETE", "/v1/users/hall-lamp", nil, nil), http.StatusNotFound)
	saysStatus(t, c.Do(patiently(t), "POST", "/v1/users", control.NewUser{Name: "hall lamp"}, nil), http.StatusBadRequest)
	saysStatus(t, c.Do(patiently(t), "POST", "/v1/users", control.NewUser{Name: "x", Publish: []string{"a/#/b"}}, nil), http.StatusBadRequest)
}

// On an open gateway the first device sends nobody away, and people are told that
// others still come in without a password.
func TestAddToAnOpenHouse(t *testing.T) {
	g := newHouse(t, openHouse)
	home := subscribe(t, g.port(), "#")
	var made control.Password
	if err := g.ask().Do(patiently(t), "POST", "/v1/users", control.NewUser{Name: "lamp", Publish: []string{"home/#"}}, &made); err != nil || !strings.Contains(made.Note, "anonymous = false") {
		t.Fatalf("got %+v, %v, want a password and a note", made, err)
	}
	publish(t, g.port(), "home/other", []string{"anybody"})
	home.says(`got home/other anybody`)
	publish(t, g.port(), "home/lamp", []string{"with a password"}, "-u", "lamp", "-P", made.Password)
	home.says(`got home/lamp with a password`)
}

// Who may only look may look at the users and change none. A user of the
// configuration's file is not changed here, the last who may change things stays,
// and a damaged file is said in the status.
func TestUsersWhoMayNot(t *testing.T) {
	users := filepath.Join(t.TempDir(), "users.toml")
	var text bytes.Buffer
	for _, name := range []string{"admin", "read"} {
		fmt.Fprintf(&text, "[[user]]\nname = %q\npassword = %q\nconsole = %q\n", name, edge.HashPassword([]byte("a word")), name)
	}
	configure(t, users, text.String())
	file, dir := house(t, closedHouse+fmt.Sprintf("[edge.access]\nusers-file = %q\n", users)+watched)
	g := startGateway(t, file, dir)
	read, admin := newBrowser(t, g.page()), newBrowser(t, g.page())
	for name, b := range map[string]*browser{"read": read, "admin": admin} {
		if code, answer := b.do("POST", "/api/login", fmt.Sprintf(`{"user":%q,"password":"a word"}`, name)); code != http.StatusOK {
			t.Fatalf("%s: got %d %v", name, code, answer)
		}
	}
	for _, x := range []struct {
		who                *browser
		method, path, body string
		want               int
	}{
		{read, "GET", "/api/v1/users", "", http.StatusOK},
		{read, "POST", "/api/v1/users", `{"name":"lamp"}`, http.StatusForbidden},
		{read, "DELETE", "/api/v1/users/admin", "", http.StatusForbidden},
		{read, "POST", "/api/v1/users/read/password", "{}", http.StatusForbidden},
		{read, "PUT", "/api/v1/users/read", `{"console":"admin"}`, http.StatusForbidden},
		{newBrowser(t, g.page()), "GET", "/api/v1/users", "", http.StatusUnauthorized},
		{admin, "DELETE", "/api/v1/users/read", "", http.StatusConflict},
		{admin, "POST", "/api/v1/users/admin/password", "{}", http.StatusConflict},
		{admin, "POST", "/api/v1/users", `{"name":"lamp"}`, http.StatusOK},
		{admin, "POST", "/api/v1/users", `{"name":"lamp"}`, http.StatusConflict},
		{admin, "PUT", "/api/v1/users/lamp", `{"console":"boss"}`, http.StatusBadRequest},
		{admin, "PUT", "/api/v1/users/lamp", `{"colour":"red"}`, http.StatusBadRequest},
	} {
		if code, answer := x.who.do(x.method, x.path, x.body); code != x.want {
			t.Errorf("%s %s %s: got %d %v, want %d", x.method, x.path, x.body, code, answer, x.want)
		}
	}
	configure(t, filepath.Join(dir, edge.KeptFile), "[[user]\n")
	g.signal(syscall.SIGHUP)
	g.says(`level=ERROR.*their file is damaged.*users\.toml:1`)
	var s control.Status
	eventually(t, func() bool {
		return g.ask().Get(patiently(t), "/v1/status", &s) == nil && s.Verdict == control.Trouble
	}, func() string { return fmt.Sprintf("the status says %+v", s.Findings) })
	if _, answer := newBrowser(t, g.page()).do("GET", "/api/session", ""); answer["setup"] == true {
		t.Error("a damaged file offers the console to the next visitor")
	}
	if code, answer := admin.do("POST", "/api/v1/users", `{"name":"other"}`); code != http.StatusConflict {
		t.Errorf("with a damaged file: got %d %v", code, answer)
	}
	if text, err := os.ReadFile(filepath.Join(dir, edge.KeptFile)); err != nil || string(text) != "[[user]\n" {
		t.Errorf("the damaged file was written over: %q, %v", text, err)
	}
}
