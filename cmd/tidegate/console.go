package main

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"sync"
	"time"

	"tidegate/edge"
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
		API: g.behindLogin(), Users: people{g.broker}, Log: g.log, Gateway: g.cfg.Gateway.id(), Version: version,
		Metrics: http.HandlerFunc(numbers.Scrape), Open: open(numbers),
	})
	if err != nil {
		g.log.Error("no console", "err", err)
		return
	}
	g.console = start("console", func(ctx context.Context) error {
		var told sync.WaitGroup
		told.Go(func() {
			if at := made.Addr(ctx); at != nil {
				g.broker.OfferPage(at)
			}
		})
		err := made.Run(ctx)
		told.Wait()
		g.broker.OfferPage(nil)
		return err
	}, g.ended)
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

// people are the users of the broker who have a role in the console.
type people struct{ broker *edge.Broker }

func (p people) Authenticate(ctx context.Context, user, password, from string) (console.Role, error) {
	role, err := p.broker.Authenticate(ctx, user, password, from)
	switch {
	case errors.Is(err, edge.ErrUsersDamaged):
		err = console.ErrDamaged
	case errors.Is(err, edge.ErrWrongPassword):
		err = console.ErrWrong
	case errors.Is(err, edge.ErrNoPerson):
		err = console.ErrNoRole
	}
	return console.Role(role), err
}

func (p people) Standing(user string) (console.Role, string) {
	role, mark := p.broker.ConsoleRole(user)
	return console.Role(role), mark
}

func (p people) Unclaimed() bool { return p.broker.ConsoleUnclaimed() }

func (p people) Claim(password string) (string, error) {
	user, err := p.broker.ClaimConsole(password)
	if errors.Is(err, edge.ErrClaimed) {
		err = console.ErrClaimed
	}
	return user, err
}
