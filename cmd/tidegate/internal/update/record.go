package update

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"tidegate/internal/formats"
	"tidegate/internal/slots"
	"tidegate/internal/whole"
)

// Phase is how far an update has come.
type Phase string

// The phases, in order; the last four are ends.
const (
	Downloading Phase = "downloading"
	Installing  Phase = "installing"
	Installed   Phase = "installed" // the next start tries it
	Trial       Phase = "trial"     // it was started and is not yet found healthy
	Confirmed   Phase = "confirmed"
	Returned    Phase = "returned" // the other slot is back
	RolledBack  Phase = "rolled back"
	Failed      Phase = "failed" // nothing has changed
)

// over says whether nothing more happens by itself.
func (p Phase) over() bool {
	return p == Confirmed || p == Returned || p == RolledBack || p == Failed || p == ""
}

// Record is what is kept of the last update, and of what is in the slots.
type Record struct {
	Form   int                     `json:"form"` // of this file
	Update Update                  `json:"update"`
	Slots  map[slots.Slot]Software `json:"slots"`
	Serial uint64                  `json:"serial"` // the highest of a manifest that was obeyed
}

// Update is one try to bring new software.
type Update struct {
	Phase   Phase      `json:"phase"`
	Version string     `json:"version,omitempty"`
	From    string     `json:"from,omitempty"`  // version
	Into    slots.Slot `json:"into,omitempty"`  // slot
	Error   string     `json:"error,omitempty"` // why it ended, in words
	At      time.Time  `json:"at"`              // of the phase, by a clock that may be wrong
	Serial  uint64     `json:"serial,omitempty"`
	// Uplinks had a link up when the update was installed, so the new software
	// must bring them up.
	Uplinks []string `json:"uplinks,omitempty"`
}

// Software is what was last seen in a slot.
type Software struct {
	Version string `json:"version"`
	Formats string `json:"formats"` // formats.Set
}

const (
	recordName = "record.json"
	recordForm = 1
	serialName = "serial.json"
)

// keptSerial is a second copy of the serial, so that a damaged record makes no old
// manifest count again.
type keptSerial struct {
	Form   int    `json:"form"` // as of the record
	Serial uint64 `json:"serial"`
}

// serial returns what the second file has; 0 when it cannot be read.
func (s System) serial() uint64 {
	var read keptSerial
	data, err := os.ReadFile(filepath.Join(s.State, serialName))
	if err != nil || json.Unmarshal(data, &read) != nil || read.Form != recordForm {
		return 0
	}
	return read.Serial
}

// Read returns the record. One that cannot be read is none, but for the serial: a
// gateway must be able to update itself whatever became of it.
func (s System) Read() (Record, error) {
	r, err := s.record()
	r.Serial = max(r.Serial, s.serial())
	return r, err
}

func (s System) record() (Record, error) {
	r := Record{Form: recordForm, Slots: map[slots.Slot]Software{}}
	data, err := os.ReadFile(filepath.Join(s.State, recordName))
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	var read Record
	if err := json.Unmarshal(data, &read); err != nil || read.Form != recordForm {
		return r, nil
	}
	if read.Slots == nil {
		read.Slots = r.Slots
	}
	return read, nil
}

// change reads the record, lets f change it and stores it, whole or not at all.
// Other processes wait meanwhile.
func (s System) change(f func(*Record)) error {
	if err := os.MkdirAll(s.State, 0o755); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(s.State, "record.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock the record: %w", err)
	}
	r, err := s.Read()
	if err != nil {
		return err
	}
	f(&r)
	if err := writeJSON(filepath.Join(s.State, recordName), r); err != nil {
		return err
	}
	// After the record: it says that a manifest whose update a power cut ended may
	// come again.
	if r.Serial == s.serial() {
		return nil
	}
	return writeJSON(filepath.Join(s.State, serialName), keptSerial{recordForm, r.Serial})
}

// phase notes how far the update has come. why is nil unless it ended badly.
func (s System) phase(p Phase, why error) error {
	return s.change(func(r *Record) {
		r.Update.Phase, r.Update.At, r.Update.Error = p, time.Now().UTC(), ""
		if why != nil {
			r.Update.Error = why.Error()
		}
	})
}

// writeJSON makes a small file, readable by all, that is there whole or not at
// all, whenever the power fails.
func writeJSON(name string, v any) (err error) {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return whole.Write(name, func(f *os.File) error {
		return errors.Join(whole.Bytes(append(data, '\n'))(f), f.Chmod(0o644))
	})
}

// Limit is the newest forms in which the gateway may store, nil for no limit:
// while the software that runs is on trial, those that the software in the
// other slot reads. It needs no privilege.
func (s System) Limit() (formats.Set, error) {
	booted, err := s.Booted()
	if errors.Is(err, ErrNotImage) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r, err := s.Read()
	if err != nil || r.Update.Into != booted || r.Update.Phase == Confirmed {
		return nil, err
	}
	old, ok := r.Slots[booted.Other()]
	if !ok {
		return nil, nil
	}
	set, err := formats.ParseSet(old.Formats)
	if err != nil {
		return nil, fmt.Errorf("what the software in slot %s reads: %w", booted.Other(), err)
	}
	return set, nil
}
