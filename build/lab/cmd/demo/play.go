package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"tidegate/build/bench/load"
	"tidegate/build/lab/cloud"
	"tidegate/build/lab/gateway"
)

// stage is everything that takes part.
type stage struct {
	cloud    *cloud.Cloud
	gateway  *gateway.Gateway
	data     string // the gateway's data directory
	ledger   *load.Ledger
	consumer *load.Consumer
	fleet    *load.Fleet
	home     *home
	table    table
}

// act is one thing that happens to the world, and how long it lasts.
type act struct {
	say  string
	do   func(ctx context.Context) error
	last time.Duration
}

// play goes through the acts, shows what happens, waits for the end and prints
// the account.
func (s *stage) play(ctx context.Context, outage time.Duration) (kept bool, err error) {
	first := s.cloud.Nodes[0]
	acts := []act{
		{"all is well", nil, 8 * time.Second},
		{"kill -9 of " + first.Name, func(context.Context) error { first.Kill(); return nil }, 7 * time.Second},
		{first.Name + " is back", first.Start, 5 * time.Second},
		{"the whole cloud is gone", func(context.Context) error { s.cloud.Kill(); return nil }, outage / 2},
		{"kill -9 of the gateway while offline", func(context.Context) error { s.gateway.Kill(); return nil }, time.Second},
		{"the gateway starts again, still offline", s.gateway.Start, outage/2 - time.Second},
		{"the cloud is back", s.cloud.Start, 10 * time.Second},
	}
	done := make(chan error, 1)
	go func() { done <- s.fleet.Run(ctx) }()
	for _, a := range acts {
		s.table.say(s.ledger.Now(), a.say)
		if a.do != nil {
			if err := s.during(ctx, a.do); err != nil {
				return false, fmt.Errorf("%s: %w", a.say, err)
			}
		}
		if err := s.show(ctx, a.last); err != nil {
			return false, err
		}
	}
	s.table.say(s.ledger.Now(), "the devices stop; what is under way arrives")
	s.fleet.Stop()
	settle, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err = s.during(settle, func(ctx context.Context) error {
		if err := <-done; err != nil {
			return err
		}
		return s.consumer.Wait(ctx, 2*time.Second)
	})
	if err != nil {
		s.table.say(s.ledger.Now(), err.Error())
	}
	return s.account(os.Stdout), ctx.Err()
}

// show prints the table once a second for the time d.
func (s *stage) show(ctx context.Context, d time.Duration) error {
	return s.during(ctx, func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(d):
			return nil
		}
	})
}

// during shows the table while do runs.
func (s *stage) during(ctx context.Context, do func(context.Context) error) error {
	done := make(chan error, 1)
	go func() { done <- do(ctx) }()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-tick.C:
			s.table.row(s.sample())
		}
	}
}

// account prints what became of every message, by the checker's own count, and
// says whether the promises were kept.
func (s *stage) account(w io.Writer) (kept bool) {
	r := s.consumer.Report()
	on, off := s.home.switches()
	fmt.Fprintf(w, `
published                %8d   by 10 MQTT devices at QoS 1
acknowledged to devices  %8d
received in the cloud    %8d
lost                     %8d   acknowledged, never received
duplicates               %8d   at least once: each carries the id of its first copy
out of order             %8d   first arrivals, per topic
longest silence          %8s   in the cloud
air conditioner          %8d   switched on, and off %d times, by the simulated thermometer
`, r.Published, r.Acked, r.Received, r.Lost, r.Duplicates, r.Disorder, r.Silence.Round(10*time.Millisecond), on, off)
	promises := []struct {
		kept bool
		say  string
	}{
		{r.Published > 0 && r.Acked == r.Published, "every message was acknowledged"},
		{r.Lost == 0, "nothing acknowledged was lost"},
		{r.Disorder == 0, "per-topic order was kept"},
		{r.Foreign == 0, "nothing arrived damaged"},
		{on > 0, "the home worked throughout"},
	}
	kept = true
	for _, p := range promises {
		word := "kept  "
		if !p.kept {
			word, kept = "BROKEN", false
		}
		fmt.Fprintf(w, "%s  %s\n", word, p.say)
	}
	return kept
}
