package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tidegate/cmd/tidegate/internal/control"
)

// ask dials the gateway's control socket.
func (g *gatewayProcess) ask() *control.Client {
	g.t.Helper()
	c, err := control.Dial(filepath.Join(g.dir, control.SocketName))
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(c.Close)
	return c
}

func patiently(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// becomes waits until the status is as ok says.
func becomes(t *testing.T, c *control.Client, want string, ok func(*control.Status) bool) (s *control.Status) {
	t.Helper()
	ctx := patiently(t)
	eventually(t, func() bool {
		var err error
		if s, err = c.Status(ctx); err != nil {
			t.Fatal(err)
		}
		return ok(s)
	}, func() string {
		text, _ := json.MarshalIndent(s, "", " ")
		return fmt.Sprintf("the status is not %s: %s", want, text)
	})
	return s
}

// The status tells the truth while the cloud goes away and comes back.
func TestStatusInWords(t *testing.T) {
	cloud, port := startCloud(t, "")
	g := newHouse(t, openHouse+towards(port))
	c := g.ask()
	s := becomes(t, c, "well", func(s *control.Status) bool {
		return s.Verdict == control.Well && s.Uplinks[0].State == control.Flowing
	})
	if s.Headline != "All is well" || s.Gateway != "house" || len(s.Uplinks) != 1 || s.Uplinks[0].State != control.Flowing || len(s.Home.Listeners) != 1 || s.Home.Listeners[0].Protocol != "tcp" {
		t.Errorf("got %+v", s)
	}
	if info, err := os.Stat(filepath.Join(g.dir, control.SocketName)); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("the socket: got %v, %v, want mode 0660", info.Mode(), err)
	}

	cloud.kill()
	becomes(t, c, "storing", func(s *control.Status) bool { return s.Uplinks[0].State == control.Storing })
	publish(t, g.port(), "home/meter", numbered(1204)) // acknowledged: on disk
	s = becomes(t, c, "storing 1,204 messages", func(s *control.Status) bool {
		return strings.Contains(s.Headline, "Storing: 1,204 messages wait")
	})
	if s.Verdict != control.Attention || !strings.HasPrefix(s.Headline, "Nobody answers at the cloud's address. ") {
		t.Errorf("got %s, %q", s.Verdict, s.Headline)
	}
	if u := s.Uplinks[0]; u.Spool.DiskMessages == 0 || u.Links[0].Flowing || u.Links[0].Fault != "refused" {
		t.Errorf("got %+v", u)
	}

	startCloud(t, port)
	s = becomes(t, c, "well again", func(s *control.Status) bool { return s.Verdict == control.Well && s.Uplinks[0].Spool.Waiting() == 0 })
	if s.Home.Received < 1204 {
		t.Errorf("received: got %d", s.Home.Received)
	}
}

// A password that the cloud refuses is trouble: somebody has to do something.
func TestStatusOfWrongPassword(t *testing.T) {
	dir := t.TempDir()
	configure(t, filepath.Join(dir, "passwords"), "somebody:$7$101$8YLW1c1TzK8Eo1mB$2h3ryh7jN8TJDbm3oJj3Y1DRk2oHkPZh5tBpkCpwrLqK7BXj4dFG1T0vVfQfzQyqHk8zDFq3gN8e3c9y3sM0mA==\n")
	_, port := startCloud(t, "", "allow_anonymous false", "password_file "+filepath.Join(dir, "passwords"))
	g := newHouse(t, openHouse+towards(port))
	s := becomes(t, g.ask(), "in trouble", func(s *control.Status) bool { return s.Verdict == control.Trouble && s.Uplinks[0].Links[0].Fault != "" })
	if s.Headline != "The cloud refuses the password" && s.Headline != "The cloud does not let this gateway in" {
		t.Errorf("got %q", s.Headline)
	}
	if s.Findings[0].Hint == "" {
		t.Errorf("got %+v", s.Findings)
	}
}

// Who listens hears at once, and then each second, and the end of the gateway
// ends it.
func TestLiveEndsWithTheGateway(t *testing.T) {
	g := newHouse(t, openHouse)
	c := g.ask()
	n := make(chan int, 1000)
	ended := make(chan error, 1)
	go func() {
		ended <- c.Stream(patiently(t), "/v1/live", nil, func(event string, data []byte) error {
			var s control.Status
			if err := json.Unmarshal(data, &s); err != nil || event != "status" || s.Verdict != control.Well {
				return fmt.Errorf("event %s: %w: %s", event, err, data)
			}
			n <- 1
			return nil
		})
	}()
	for range 3 {
		select {
		case <-n:
		case err := <-ended:
			t.Fatalf("ended: %v", err)
		}
	}
	begin := time.Now()
	g.signal(os.Interrupt)
	if code := g.exit(); code != 0 {
		t.Errorf("exit code: got %d", code)
	}
	if err := <-ended; err != nil {
		t.Errorf("the stream: got %v, want its end", err)
	}
	t.Logf("stopped after %v", time.Since(begin))
	if _, err := control.Dial(filepath.Join(g.dir, control.SocketName)); !errors.Is(err, control.ErrNoGateway) {
		t.Errorf("got %v, want %v", err, control.ErrNoGateway)
	}
}

func TestLogOverTheSocket(t *testing.T) {
	g := newHouse(t, openHouse)
	c := g.ask()
	var got control.Lines
	if err := c.Get(patiently(t), "/v1/log?search=ready", &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Lines) != 1 || got.Lines[0].Message != "ready" || got.Lines[0].Level != "info" || got.Lines[0].Fields["gateway"] != "house" {
		t.Errorf("got %+v", got.Lines)
	}
	stop := errors.New("enough")
	err := c.Stream(patiently(t), "/v1/log?follow=1", nil, func(event string, data []byte) error {
		if strings.Contains(string(data), `"ready"`) {
			g.signal(syscall.SIGHUP)
		}
		if event == "line" && strings.Contains(string(data), `"reloaded"`) {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
	var said *control.Error
	if err := c.Get(patiently(t), "/v1/nothing", nil); !errors.As(err, &said) || said.Status != 404 || said.Hint == "" {
		t.Errorf("got %v", err)
	}
}
