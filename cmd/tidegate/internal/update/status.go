package update

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"

	"tidegate/internal/slots"
)

// Report is the state of slots and update.
type Report struct {
	Version string       `json:"version"` // that runs
	Booted  slots.Slot   `json:"booted"`
	Next    slots.Slot   `json:"next"` // tried first at the next start
	Slots   []SlotReport `json:"slots"`
	Update  Update       `json:"update"`
	Percent int          `json:"percent,omitempty"` // of a phase that is under way
	Doing   string       `json:"doing,omitempty"`
}

// SlotReport is the state of one slot.
type SlotReport struct {
	Slot    slots.Slot `json:"slot"`
	Version string     `json:"version,omitempty"`
	Left    int        `json:"left"` // tries
	Good    bool       `json:"good"` // confirmed
}

// Report returns the state. It needs no privilege.
func (s System) Report() (Report, error) {
	booted, err := s.Booted()
	if err != nil {
		return Report{}, err
	}
	state, err := slots.Read(s.Boot)
	if err != nil {
		return Report{}, err
	}
	record, err := s.Read()
	if err != nil {
		return Report{}, err
	}
	r := Report{Version: s.Version, Booted: booted, Next: state.Next(), Update: record.Update}
	for _, slot := range []slots.Slot{slots.A, slots.B} {
		m, version := state.Of(slot), record.Slots[slot].Version
		if slot == booted {
			version = s.Version
		}
		r.Slots = append(r.Slots, SlotReport{slot, version, m.Left, m.Good})
	}
	if !record.Update.Phase.over() {
		r.Percent, r.Doing = s.progress()
	}
	return r, nil
}

// Progress returns the last update and how far its phase is. It reads nothing
// that is root's alone.
func (s System) Progress() (u Update, percent int, doing string, err error) {
	r, err := s.Read()
	if err == nil && !r.Update.Phase.over() {
		percent, doing = s.progress()
	}
	return r.Update, percent, doing, err
}

func (s System) progress() (percent int, doing string) {
	var p progress
	data, err := os.ReadFile(filepath.Join(s.Run, progressName))
	if err != nil || json.Unmarshal(data, &p) != nil {
		return 0, ""
	}
	return p.Percent, p.Doing
}

// Print writes the report for people.
func (r Report) Print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SLOT\tVERSION\tSTATE\tTRIES LEFT\t")
	for _, s := range r.Slots {
		state := "bad"
		switch {
		case s.Good:
			state = "confirmed"
		case s.Left > 0:
			state = "on trial"
		case s.Version == "":
			state = "empty"
		}
		if s.Slot == r.Booted {
			state += ", runs"
		}
		if s.Slot == r.Next && r.Next != r.Booted {
			state += ", next"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t\n", s.Slot, dash(s.Version), state, s.Left)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	u := r.Update
	if u.Phase == "" {
		_, err := fmt.Fprintln(out, "no update so far")
		return err
	}
	fmt.Fprintf(out, "last update: %s into slot %s, %s, %s", dash(u.Version), u.Into, u.Phase, u.At.Format("2006-01-02 15:04:05 MST"))
	if r.Doing != "" && !u.Phase.over() {
		fmt.Fprintf(out, ", %d%% %s", r.Percent, r.Doing)
	}
	if u.Error != "" {
		fmt.Fprintf(out, "\n  %s", u.Error)
	}
	_, err := fmt.Fprintln(out)
	return err
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// progress is how far a phase is, for who watches from outside.
type progress struct {
	Percent int    `json:"percent"`
	Doing   string `json:"doing"`
}

const progressName = "progress.json"

// Tell writes the progress where the gateway finds it: into RAM.
func (s System) Tell(percent int, doing string) {
	name := filepath.Join(s.Run, progressName)
	data, err := json.Marshal(progress{max(percent, 0), doing})
	if err == nil && os.MkdirAll(s.Run, 0o755) == nil && os.WriteFile(name+".new", data, 0o644) == nil {
		os.Rename(name+".new", name)
	}
}
