package update

import (
	"fmt"
	"io"

	"tidegate/internal/slots"
)

// Backend answers RAUC, which asks about the slots with a command:
//
//	get-primary          the slot that the next start tries
//	set-primary SLOT     make it that: after an installation, with a full number of tries
//	get-state SLOT       good or bad
//	set-state SLOT bad   before it is written: it is not to be started
//	set-state SLOT good  it is found healthy
//	get-current          the slot that runs
//
// (RAUC's manual, "Custom Bootloader Backend".)
func (s System) Backend(out io.Writer, args []string) error {
	verb, rest := "", []string(nil)
	if len(args) > 0 {
		verb, rest = args[0], args[1:]
	}
	if words, ok := map[string]int{"get-primary": 0, "get-current": 0, "set-primary": 1, "get-state": 1, "set-state": 2}[verb]; !ok || words != len(rest) {
		return fmt.Errorf("%q is none of get-primary, get-current, set-primary SLOT, get-state SLOT and set-state SLOT good|bad", args)
	}
	var slot slots.Slot
	if len(rest) > 0 {
		var err error
		if slot, err = slots.Parse(rest[0]); err != nil {
			return err
		}
	}
	switch verb {
	case "get-primary":
		state, err := slots.Read(s.Boot)
		if err == nil {
			_, err = fmt.Fprintln(out, state.Next())
		}
		return err
	case "get-current":
		booted, err := s.Booted()
		if err == nil {
			_, err = fmt.Fprintln(out, booted)
		}
		return err
	case "get-state":
		state, err := slots.Read(s.Boot)
		if err == nil {
			_, err = fmt.Fprintln(out, map[bool]string{true: "good", false: "bad"}[state.Of(slot).Left > 0])
		}
		return err
	case "set-primary":
		return s.activate(slot)
	}
	if rest[1] != "good" && rest[1] != "bad" {
		return fmt.Errorf("state %q: there are good and bad", rest[1])
	}
	return slots.Change(s.Boot, func(state *slots.State) {
		if *state.Of(slot) = (slots.Mark{}); rest[1] == "good" {
			*state.Of(slot) = slots.Mark{Left: slots.Tries, Good: true}
		}
	})
}

// activate makes a slot the one that the next start tries.
func (s System) activate(slot slots.Slot) error {
	return slots.Change(s.Boot, func(state *slots.State) {
		state.First, state.Of(slot).Left = slot, slots.Tries
	})
}
