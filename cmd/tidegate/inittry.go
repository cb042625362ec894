package main

import (
	"context"
	"os"
	"path/filepath"

	"tidegate/uplink"
)

// tryCloud walks to each address as the gateway will, with the routes that will
// be written. A person decides what becomes of a cloud that could not be used.
func (h *firstHour) tryCloud(ctx context.Context) error {
	if h.local || h.untested {
		return nil
	}
	dir, err := os.MkdirTemp("", "tidegate-init-") // only its owner may enter
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	password := ""
	if h.user != "" {
		password = filepath.Join(dir, "password")
		if err := os.WriteFile(password, []byte(h.password+"\n"), 0o600); err != nil {
			return err
		}
	}
	h.say("Trying the cloud...")
	well, err := uplink.Probe(ctx, h.uplinkConfig(password), uplink.ProbeOptions{Gateway: h.id}, h.tell)
	if err != nil {
		return err
	}
	if well {
		h.say("good: the cloud takes this gateway and its messages.")
		return nil
	}
	yes, err := h.ask.Yes("Write the configuration all the same?", false)
	if err == nil && !yes {
		h.say("Put it right and run tidegate init again; with -no-test it writes the configuration without trying the cloud.")
		err = errLeft
	}
	return err
}

// tell says what a step found that a person should know.
func (h *firstHour) tell(s uplink.ProbeStep) {
	switch s.Outcome {
	case uplink.StepOK, uplink.StepSkipped:
		return
	}
	at := s.Endpoint
	if at != "" {
		at += ": "
	}
	h.say("  %s%s %s: %s", at, s.Name, s.Outcome, s.Words)
	if s.Do != "" {
		h.say("    -> %s", s.Do)
	}
}
