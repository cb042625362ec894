package main

import (
	"context"
	"time"

	"tidegate/edge/console"
)

// startConsole serves the page. The gateway does without it when it cannot be
// had: a certificate that is missing must not leave the home dark.
func (g *gateway) startConsole(c console.Config) {
	if c.Bind == "" {
		return
	}
	made, err := console.New(c, console.Options{Users: nobody{}, Log: g.log, Gateway: g.cfg.Gateway.id(), Version: version})
	if err != nil {
		g.log.Error("no console", "err", err)
		return
	}
	g.console = start("console", made.Run, g.ended)
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
