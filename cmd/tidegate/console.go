package main

import (
	"context"
	"net/http"
	"reflect"
	"time"

	"tidegate/edge/console"
)

// startConsole serves the page. The gateway does without it when it cannot be
// had: a certificate that is missing must not leave the home dark.
func (g *gateway) startConsole(c console.Config) {
	if c.Bind == "" {
		return
	}
	numbers := g.newMetrics()
	made, err := console.New(c, console.Options{
		API: g.behindLogin(), Users: nobody{}, Log: g.log, Gateway: g.cfg.Gateway.id(), Version: version,
		Metrics: http.HandlerFunc(numbers.Scrape), Open: open(numbers),
	})
	if err != nil {
		g.log.Error("no console", "err", err)
		return
	}
	g.console = start("console", made.Run, g.ended)
}

// replaceConsole may not be called with mu held: requests that are answered
// while the old one stops take it.
func (g *gateway) replaceConsole(c console.Config) error {
	g.mu.Lock()
	same := reflect.DeepEqual(c, g.cfg.Console)
	g.cfg.Console = c
	g.mu.Unlock()
	if same {
		return nil
	}
	err := g.stopConsole(time.Now().Add(stopTime))
	g.startConsole(c)
	return err
}

func (g *gateway) stopConsole(deadline time.Time) error {
	if g.console == nil {
		return nil
	}
	err := g.console.stop(deadline)
	g.console = nil
	return err
}

// nobody has a role in the console.
type nobody struct{}

func (nobody) Authenticate(context.Context, string, string, string) (console.Role, error) {
	return console.NoRole, console.ErrWrong
}
func (nobody) Standing(string) (console.Role, string) { return console.NoRole, "" }
func (nobody) Unclaimed() bool                        { return false }
func (nobody) Claim(string) (string, error)           { return "", console.ErrClaimed }
