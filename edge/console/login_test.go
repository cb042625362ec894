package console

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLogIn(t *testing.T) {
	h := newHouse(t, nil)
	b := h.browser()
	if got := b.do("GET", "/api/session", "").json(t); got["role"] != "" || got["csrf"] != "" || got["setup"] != false {
		t.Errorf("before: got %v", got)
	}
	r := b.login("admin", adminPassword)
	if got := r.json(t); r.code != 200 || got["role"] != "admin" || len(b.csrf) != 43 {
		t.Fatalf("got %d %v", r.code, got)
	}
	cookie := r.header.Get("Set-Cookie")
	for _, want := range []string{"tidegate=", "; Path=/", "HttpOnly", "SameSite=Strict", "Max-Age=604800"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("cookie %q lacks %q", cookie, want)
		}
	}
	if strings.Contains(cookie, "Secure") || strings.Contains(cookie, "Domain") {
		t.Errorf("cookie over HTTP: %q", cookie)
	}
	if got := b.do("GET", "/api/v1/status?x=1", "").json(t); got["path"] != "/v1/status" || got["role"] != "admin" || got["user"] != "admin" {
		t.Errorf("API: got %v", got)
	}
	if got := b.do("POST", "/api/v1/devices/a%2Fb/disconnect", `{"x":1}`).json(t); got["path"] != "/v1/devices/a%2Fb/disconnect" || got["body"] != `{"x":1}` {
		t.Errorf("escaped: got %v", got)
	}
	if got := b.do("GET", "/api/session", "").json(t); got["role"] != "admin" || got["user"] != "admin" || got["csrf"] != b.csrf {
		t.Errorf("session: got %v", got)
	}
	if r := b.do("POST", "/api/logout", ""); r.code != 200 || !strings.Contains(r.header.Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("log-out: got %d, %q", r.code, r.header.Get("Set-Cookie"))
	}
	if r := b.do("GET", "/api/v1/status", ""); r.code != http.StatusUnauthorized {
		t.Errorf("after log-out: got %d", r.code)
	}
}

func TestWhoMayNotLogIn(t *testing.T) {
	h := newHouse(t, nil)
	for name, c := range map[string]struct {
		body string
		code int
	}{
		"wrong password":    {credentials("admin", "nonsense"), 401},
		"unknown name":      {credentials("root", adminPassword), 401},
		"empty":             {`{}`, 401},
		"a device":          {credentials("lamp", "a lamp's password"), 403},
		"no JSON":           {`user=admin`, 400},
		"a long one":        {credentials("admin", strings.Repeat("x", 5000)), 413},
		"a list, no object": {`["admin"]`, 400},
	} {
		t.Run(name, func(t *testing.T) {
			b := h.browser()
			if r := b.do("POST", "/api/login", c.body); r.code != c.code || r.header.Get("Set-Cookie") != "" {
				t.Errorf("got %d, %q, want %d", r.code, r.header.Get("Set-Cookie"), c.code)
			}
		})
	}
	if r := h.browser().do("POST", "/api/login", credentials("admin", adminPassword), "Content-Type: text/plain"); r.code != 415 {
		t.Errorf("as a form could: got %d", r.code)
	}
}

// Whose right password may be in a damaged file is told that.
func TestLogInWithADamagedFile(t *testing.T) {
	h := newHouse(t, nil)
	h.people.mu.Lock()
	h.people.late = ErrDamaged
	h.people.mu.Unlock()
	if r := h.browser().do("POST", "/api/login", credentials("admin", adminPassword)); r.code != 401 || !strings.Contains(r.body, "damaged") || !strings.Contains(r.body, "sudo tidegate status") {
		t.Errorf("got %d, %s", r.code, r.body)
	}
}

// What one address may try in a minute, and that a good log-in costs none of it.
func TestGuessingIsSlow(t *testing.T) {
	h := newHouse(t, nil)
	b := h.browser()
	for range 3 * triesPerMinute {
		if r := b.login("admin", adminPassword); r.code != 200 {
			t.Fatalf("good: got %d", r.code)
		}
	}
	codes := map[int]int{}
	var last reply
	for range 2 * triesPerMinute {
		last = b.do("POST", "/api/login", credentials("admin", "nonsense"))
		codes[last.code]++
	}
	// A slow machine may earn a try or two meanwhile.
	if codes[401] < triesPerMinute || codes[429] == 0 {
		t.Errorf("got %v", codes)
	}
	for last.code != 429 {
		last = b.do("POST", "/api/login", credentials("admin", "nonsense"))
	}
	if last.header.Get("Retry-After") == "" || !strings.Contains(last.body, "try again in") {
		t.Errorf("got %v", last)
	}
	if r := b.do("GET", "/api/v1/status", ""); r.code != 200 {
		t.Errorf("who is in stays in: got %d", r.code)
	}
}

func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pace
		for range triesPerMinute {
			if p.take("a") != 0 {
				t.Fatal("slowed too early")
			}
		}
		wait := p.take("a")
		if want := time.Minute / triesPerMinute; wait <= 0 || wait > want {
			t.Errorf("got %v, want up to %v", wait, want)
		}
		if p.take("b") != 0 {
			t.Error("another address is slowed")
		}
		time.Sleep(wait)
		if p.take("a") != 0 || p.take("a") == 0 {
			t.Error("after the wait: want one try")
		}
		for i := range 3 * mostAddresses {
			p.take(fmt.Sprint(i))
		}
		if n := len(p.from); n > mostAddresses {
			t.Errorf("%d addresses are remembered", n)
		}
	})
}

func TestFirstVisit(t *testing.T) {
	p := &people{}
	p.set("lamp", "a lamp's password", NoRole)
	h := newHouseOf(t, p, nil)
	b := h.browser()
	if got := b.do("GET", "/api/session", "").json(t); got["setup"] != true {
		t.Fatalf("got %v", got)
	}
	if r := b.do("POST", "/api/setup", `{"password":"schön öd"}`); r.code != 400 || !strings.Contains(r.body, "8 characters") {
		t.Errorf("short: got %d %s", r.code, r.body)
	}
	r := b.do("POST", "/api/setup", `{"password":"a good long one"}`)
	if got := r.json(t); r.code != 200 || got["role"] != "admin" || got["user"] != "admin" {
		t.Fatalf("got %d %v", r.code, got)
	}
	if r := b.do("GET", "/api/v1/status", ""); r.code != 200 {
		t.Errorf("is not logged in: got %d", r.code)
	}
	late := h.browser()
	if got := late.do("GET", "/api/session", "").json(t); got["setup"] != false {
		t.Errorf("afterwards: got %v", got)
	}
	if r := late.do("POST", "/api/setup", `{"password":"another good one"}`); r.code != 409 || r.header.Get("Set-Cookie") != "" {
		t.Errorf("second visitor: got %d", r.code)
	}
	if r := late.login("admin", "a good long one"); r.code != 200 {
		t.Errorf("log-in: got %d", r.code)
	}
}

// Only one of many who come first gets in.
func TestFirstVisitOfMany(t *testing.T) {
	h := newHouseOf(t, &people{}, nil)
	codes := make(chan int)
	for i := range 8 {
		b := h.browser()
		go func() {
			codes <- b.do("POST", "/api/setup", fmt.Sprintf(`{"password":"password number %d"}`, i)).code
		}()
	}
	got := map[int]int{}
	for range 8 {
		got[<-codes]++
	}
	if got[200] != 1 || got[409] != 7 {
		t.Errorf("got %v", got)
	}
}

// Whatever takes a user's right away ends the sessions, also what streams.
func TestSessionsEnd(t *testing.T) {
	for name, take := range map[string]func(*house){
		"password changed": func(h *house) { h.people.set("admin", "another password", Admin) },
		"role taken":       func(h *house) { h.people.set("admin", adminPassword, NoRole) },
		"user removed":     func(h *house) { h.people.mu.Lock(); delete(h.people.all, "admin"); h.people.mu.Unlock() },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, nil)
			b, other := h.as("admin", adminPassword), h.as("guest", readPassword)
			ended := make(chan error, 1)
			started := make(chan struct{})
			go func() { ended <- b.listen(started) }()
			<-started
			take(h)
			if r := b.do("GET", "/api/v1/status", ""); r.code != 401 {
				t.Errorf("got %d, want 401", r.code)
			}
			select {
			case err := <-ended:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(patience):
				t.Error("the stream goes on")
			}
			if r := other.do("GET", "/api/v1/status", ""); r.code != 200 {
				t.Errorf("another user: got %d", r.code)
			}
		})
	}
}

// listen reads /v1/live until the gateway ends it.
func (b *browser) listen(started chan<- struct{}) error {
	res, err := b.client.Get(b.url + "/api/v1/live")
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != 200 {
		return fmt.Errorf("status %d", res.StatusCode)
	}
	lines := bufio.NewScanner(res.Body)
	for n := 0; lines.Scan(); n++ {
		if n == 0 {
			close(started)
		}
	}
	return nil
}

// A role that shrinks holds at once.
func TestRoleIsTheOneOfNow(t *testing.T) {
	h := newHouse(t, nil)
	b := h.as("admin", adminPassword)
	h.people.set("admin", adminPassword, Read)
	if r := b.do("POST", "/api/v1/publish", `{}`); r.code != 403 {
		t.Errorf("got %d, want 403", r.code)
	}
	if got := b.do("GET", "/api/v1/status", "").json(t); got["role"] != "read" {
		t.Errorf("got %v", got)
	}
}

func TestSessionTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSessions(10*time.Hour, time.Hour)
		unused, _ := s.begin("a", "")
		used, _ := s.begin("a", "")
		for range 9 {
			time.Sleep(59 * time.Minute)
			if s.find(used) == nil {
				t.Fatal("one in use has ended")
			}
		}
		if s.find(unused) != nil {
			t.Error("one that is not used has not ended")
		}
		time.Sleep(59 * time.Minute)
		s.find(used)
		time.Sleep(59 * time.Minute)
		if s.find(used) != nil {
			t.Error("one in use has not ended after its life")
		}
		if s.find("") != nil || s.find("guess") != nil {
			t.Error("found what is not there")
		}
	})
}

func TestSessionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSessions(time.Hour, time.Hour)
		first, _ := s.begin("someone else", "")
		for range 3 * mostOfUser {
			time.Sleep(time.Millisecond)
			s.begin("a", "")
		}
		if n := len(s.all); n != mostOfUser+1 || s.find(first) == nil {
			t.Errorf("one user has %d sessions", n)
		}
		for i := range 2 * mostSessions {
			time.Sleep(time.Millisecond)
			s.begin(fmt.Sprint(i), "")
		}
		if n := len(s.all); n != mostSessions {
			t.Errorf("got %d sessions, want %d", n, mostSessions)
		}
	})
}

func TestPasswordThatCannotBeChecked(t *testing.T) {
	h := newHouse(t, nil)
	h.people.late = errors.Join(context.DeadlineExceeded)
	if r := h.browser().login("admin", adminPassword); r.code != 503 {
		t.Errorf("got %d, want 503", r.code)
	}
}
