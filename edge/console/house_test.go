package console

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is for what should come at once.
const patience = 30 * time.Second

// people are users in RAM.
type people struct {
	mu   sync.Mutex // guards what follows
	all  map[string]person
	late error // of Authenticate
}

type person struct {
	password string
	role     Role
}

func (p *people) Authenticate(_ context.Context, user, password, from string) (Role, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	who, known := p.all[user]
	switch {
	case p.late != nil:
		return NoRole, p.late
	case !known || who.password != password:
		return NoRole, fmt.Errorf("%w, from %s", ErrWrong, from)
	case who.role == NoRole:
		return NoRole, ErrNoRole
	}
	return who.role, nil
}

func (p *people) Standing(user string) (Role, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all[user].role, "mark of " + p.all[user].password
}

func (p *people) Unclaimed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.unclaimed()
}

func (p *people) unclaimed() bool {
	for _, who := range p.all {
		if who.role != NoRole {
			return false
		}
	}
	return true
}

func (p *people) Claim(password string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.unclaimed() {
		return "", ErrClaimed
	}
	if p.all == nil {
		p.all = map[string]person{}
	}
	p.all["admin"] = person{password, Admin}
	return "admin", nil
}

func (p *people) set(user, password string, role Role) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all == nil {
		p.all = map[string]person{}
	}
	p.all[user] = person{password, role}
}

// house is a console that runs, with its users.
type house struct {
	t      *testing.T
	url    string
	addr   string
	people *people
	end    func()
	idle   []func() // close what browsers keep
}

// rest closes the connections that no browser uses now.
func (h *house) rest() {
	for _, f := range h.idle {
		f()
	}
	h.idle = nil
}

const (
	adminPassword = "correct horse battery"
	readPassword  = "only looking around"
)

// newHouse has the users admin, guest (who may look) and lamp (a device).
func newHouse(t *testing.T, change func(*Config, *Options)) *house {
	t.Helper()
	p := &people{}
	p.set("admin", adminPassword, Admin)
	p.set("guest", readPassword, Read)
	p.set("lamp", "a lamp's password", NoRole)
	return newHouseOf(t, p, change)
}

func newHouseOf(t *testing.T, p *people, change func(*Config, *Options)) *house {
	t.Helper()
	before := runtime.NumGoroutine()
	cfg := DefaultConfig()
	cfg.Bind = "127.0.0.1:0"
	opt := Options{
		Users: p, Gateway: "house-17", Log: slog.New(slog.DiscardHandler), API: http.HandlerFunc(echo),
		Open: map[string]http.Handler{"/metrics": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "up 1\n") })},
	}
	if change != nil {
		change(&cfg, &opt)
	}
	c, err := New(cfg, opt)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	limit, stop := context.WithTimeout(ctx, patience)
	defer stop()
	at := c.Addr(limit)
	if at == nil {
		t.Fatal("the console is not bound")
	}
	h := &house{t: t, addr: at.String(), url: "http://" + at.String(), people: p}
	if cfg.Cert != "" {
		h.url = "https://" + at.String()
	}
	h.end = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(patience):
			t.Error("Run does not return")
		}
	})
	t.Cleanup(func() {
		h.rest()
		h.end()
		noMoreThan(t, before)
	})
	return h
}

// noMoreThan waits until the goroutines that a test has started are gone.
func noMoreThan(t *testing.T, before int) {
	t.Helper()
	for end := time.Now().Add(patience); runtime.NumGoroutine() > before; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			all := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, want %d:\n%s", runtime.NumGoroutine(), before, all[:runtime.Stack(all, true)])
		}
	}
}

// echo is an API that says who asks for what, and streams at /v1/live.
func echo(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/v1/live" {
		body, _ := io.ReadAll(r.Body)
		answer(w, http.StatusOK, map[string]string{
			"path": r.URL.EscapedPath(), "role": string(RoleOf(r.Context())), "user": UserOf(r.Context()), "body": string(body),
		})
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := fmt.Fprint(w, "event: status\ndata: {}\n\n"); err != nil {
			return
		}
		http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}

// browser is somebody with a cookie jar and the token of a session.
type browser struct {
	t      *testing.T
	client *http.Client
	url    string
	csrf   string
}

func (h *house) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	tr := http.DefaultTransport.(*http.Transport).Clone()
	b := &browser{t: h.t, url: h.url, client: &http.Client{
		Jar: jar, Transport: tr, Timeout: 2 * patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	h.t.Cleanup(tr.CloseIdleConnections)
	h.idle = append(h.idle, tr.CloseIdleConnections)
	return b
}

// reply is an answer that was read whole.
type reply struct {
	code   int
	header http.Header
	body   string
}

func (r reply) json(t *testing.T) map[string]any {
	t.Helper()
	var out map[string]any
	if err := json.Unmarshal([]byte(r.body), &out); err != nil {
		t.Fatalf("%v in %q", err, r.body)
	}
	return out
}

// do sends a request; headers are "Name: value", and "Host: name" is the host.
func (b *browser) do(method, path, body string, headers ...string) reply {
	b.t.Helper()
	req, err := http.NewRequest(method, b.url+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if b.csrf != "" {
		req.Header.Set(csrfHeader, b.csrf)
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		switch {
		case name == "Host":
			for _, k := range b.client.Jar.Cookies(req.URL) { // which go with the host's name
				req.AddCookie(k)
			}
			req.Host = value
		case value == "":
			req.Header.Del(name)
		default:
			req.Header.Set(name, value)
		}
	}
	res, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, string(got)}
}

func credentials(user, password string) string {
	return fmt.Sprintf(`{"user":%q,"password":%q}`, user, password)
}

// login logs in and keeps the token.
func (b *browser) login(user, password string) reply {
	b.t.Helper()
	r := b.do("POST", "/api/login", credentials(user, password))
	if r.code == http.StatusOK {
		b.csrf, _ = r.json(b.t)["csrf"].(string)
	}
	return r
}

func (h *house) as(user, password string) *browser {
	h.t.Helper()
	b := h.browser()
	if r := b.login(user, password); r.code != http.StatusOK {
		h.t.Fatalf("log-in of %s: %d %s", user, r.code, r.body)
	}
	return b
}
