package update

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"tidegate/internal/formats"
	islots "tidegate/internal/slots"
)

// Order is what is to be installed.
type Order struct {
	Source string // file or URL of a bundle
	Sum    string // SHA-256 of a URL's file in hexadecimal; "" for any
	Permit Permit
	Serial uint64 // of the manifest; 0 for none

	Version string // that the bundle must have; "" for any
}

// Install checks a bundle and writes it to the slot that does not run. The next
// start tries it. say hears how far it is (percent is -1 for a remark).
func (s System) Install(ctx context.Context, o Order, say func(percent int, what string)) error {
	booted, err := s.Booted()
	if err != nil {
		return err
	}
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	state, err := islots.Read(s.Boot)
	if err != nil {
		return err
	}
	if !state.Of(booted).Good {
		return errors.New("the system that runs is on trial itself: wait until it is confirmed (tidegate update status)")
	}
	r, err := s.Read()
	if err != nil {
		return err
	}
	if r.Update.Phase == Installed && state.Next() != booted {
		say(-1, "version "+r.Update.Version+", which was installed and not started, is replaced")
	}
	if err := s.begin(o, booted); err != nil {
		return fmt.Errorf("note the update: %w", err)
	}
	err = s.carryOut(ctx, o, booted, say)
	if err != nil {
		return errors.Join(err, s.phase(Failed, err))
	}
	return s.phase(Installed, nil)
}

// begin notes what is about to happen.
func (s System) begin(o Order, booted islots.Slot) error {
	return s.change(func(r *Record) {
		r.Update = Update{Phase: Downloading, From: s.Version, Into: booted.Other(), At: time.Now().UTC(), Serial: o.Serial}
		r.Serial = max(r.Serial, o.Serial)
		r.Slots[booted] = Software{s.Version, formats.Ours().String()}
	})
}

func (s System) carryOut(ctx context.Context, o Order, booted islots.Slot, say func(int, string)) error {
	path := o.Source
	if isURL(path) {
		var err error
		if path, err = s.newDownload(o.Source, o.Sum, say).run(ctx); err != nil {
			return err
		}
		defer s.sweep()
	} else if path, _ = filepath.Abs(path); true {
		if _, err := os.Stat(path); err != nil {
			return err
		}
	}
	say(-1, "checking the signature")
	b, err := s.inspect(ctx, path)
	if err != nil {
		return err
	}
	if o.Version != "" && b.Version != o.Version {
		return fmt.Errorf("the bundle is version %s, and %s was announced", b.Version, o.Version)
	}
	written, err := formats.Written(s.Data)
	if err != nil {
		return err
	}
	if err := s.admit(b, written, o.Permit); err != nil {
		return err
	}
	up := s.uplinksUp(ctx)
	err = s.change(func(r *Record) {
		r.Update.Phase, r.Update.Version, r.Update.Uplinks = Installing, b.Version, up
	})
	if err != nil {
		return err
	}
	if err := s.install(ctx, path, say); err != nil {
		return err
	}
	state, err := islots.Read(s.Boot)
	if err == nil && state.Next() != booted.Other() {
		err = fmt.Errorf("written, but slot %s is not the next one", booted.Other())
	}
	if err != nil {
		return err
	}
	return s.change(func(r *Record) { r.Slots[booted.Other()] = Software{b.Version, b.Formats.String()} })
}

// sweep removes what a download has left.
func (s System) sweep() {
	path := filepath.Join(s.State, downloading)
	os.Remove(path)
	os.Remove(path + ".source")
}

// uplinksUp names the uplinks that have a link up. A gateway that does not
// answer has none.
func (s System) uplinksUp(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var up []string
	_ = watch(ctx, s.Status, func(l line) bool {
		up = l.up()
		return false
	})
	slices.Sort(up)
	return up
}

// Rollback makes the other slot the next one, if there is software in it that
// reads what is stored.
func (s System) Rollback() (Software, error) {
	booted, err := s.Booted()
	if err != nil {
		return Software{}, err
	}
	unlock, err := s.lock()
	if err != nil {
		return Software{}, err
	}
	defer unlock()
	state, err := islots.Read(s.Boot)
	if err != nil {
		return Software{}, err
	}
	other := booted.Other()
	if !state.Of(other).Good {
		return Software{}, fmt.Errorf("slot %s holds nothing that was ever found healthy", other)
	}
	r, err := s.Read()
	if err != nil {
		return Software{}, err
	}
	software := r.Slots[other]
	set, err := formats.ParseSet(software.Formats)
	if err != nil {
		return software, err
	}
	written, err := formats.Written(s.Data)
	if err != nil {
		return software, err
	}
	if err := set.Reads(written); err != nil && software.Version != "" {
		return software, fmt.Errorf("version %s in slot %s would not find what waits here: %w", software.Version, other, err)
	}
	if err := s.activate(other); err != nil {
		return software, err
	}
	return software, s.change(func(r *Record) {
		r.Update.Phase, r.Update.At, r.Update.Error = RolledBack, time.Now().UTC(), "asked for"
	})
}

// Restart starts the machine anew.
func (s System) Restart(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, s.Reboot[0], s.Reboot[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("restart the machine: %w: %s", err, out)
	}
	return nil
}
