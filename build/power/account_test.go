package power

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tidegate/build/bench/load"
)

// inspect looks at what a cut left on the disk with programs of this machine,
// and returns everything that is not as promised.
func (h *house) inspect() error {
	image := h.dir + "/image"
	os.Remove(image)
	if err := h.disk.Save(image); err != nil {
		return err
	}
	if err := recovers(image); err != nil {
		return err
	}
	data := h.dir + "/left"
	defer os.RemoveAll(data)
	if err := errors.Join(os.RemoveAll(data), os.Mkdir(data, 0o700)); err != nil {
		return err
	}
	if _, err := command("debugfs", "-R", "rdump / "+data, image); err != nil {
		return err
	}
	return errors.Join(h.sound(data), h.complete(data))
}

// recovers has the file system checker replay the journal, as at a start, and
// then find nothing wrong.
func recovers(image string) error {
	// Exit code 1: something was done, as the replay of the journal is.
	said, err := command("e2fsck", "-p", image)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == 1 {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("the file system cannot be used: %w", err)
	}
	for line := range strings.Lines(said) {
		if !strings.Contains(line, "recovering journal") && !strings.Contains(line, ": clean, ") && !strings.Contains(line, "rphan") {
			return fmt.Errorf("the file system is not just as the journal left it: %s", said)
		}
	}
	if _, err := command("e2fsck", "-fn", image); err != nil {
		return fmt.Errorf("the file system is damaged, after %q: %w", said, err)
	}
	return nil
}

// sound checks every bbolt file.
func (h *house) sound(data string) error {
	var errs []error
	files, _ := filepath.Glob(data + "/tidegate/*/*.spool")
	for _, f := range files {
		_, err := command(h.host, "spool", "check", f)
		errs = append(errs, err)
	}
	if _, err := os.Stat(data + "/tidegate/edge.db"); err == nil {
		_, err := command(h.host, "edge", "check", data+"/tidegate/edge.db")
		errs = append(errs, err)
	}
	if aside, _ := filepath.Glob(data + "/tidegate/*/*.corrupt*"); len(aside) > 0 {
		errs = append(errs, fmt.Errorf("set aside: %s", aside))
	}
	return errors.Join(errs...)
}

// complete checks that every message that was acknowledged is in the cloud or in
// the spool, and that those of a topic are in order.
func (h *house) complete(data string) error {
	rows, err := exported(h.host, data+"/tidegate")
	if err != nil {
		return err
	}
	for ctx := within(h.t); ; time.Sleep(100 * time.Millisecond) {
		all := h.ledger.Consumer()
		h.mu.Lock()
		arrived := len(h.arrived)
		for _, payload := range slices.Concat(h.arrived, rows) {
			all.Receive(payload, 0)
		}
		h.mu.Unlock()
		// What the cloud has acknowledged may still be on its way to us.
		err := verdict(all.Report())
		if err == nil || arrived == 0 || ctx.Err() != nil {
			return err
		}
	}
}

func verdict(r load.Report) error {
	if r.Lost > 0 || r.Disorder > 0 || r.Foreign > 0 {
		return fmt.Errorf("lost %d, in wrong order %d, strange %d:\n%s", r.Lost, r.Disorder, r.Foreign, r)
	}
	return nil
}

// exported returns the payloads of all that waits in the spools of a data
// directory.
func exported(program, data string) (rows [][]byte, err error) {
	spools, _ := filepath.Glob(data + "/uplink-*")
	for _, dir := range spools {
		out, err := command(program, "spool", "export", dir)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(out) {
			var row struct {
				Payload *string
				Binary  []byte `json:"payload-base64"`
			}
			if err := json.Unmarshal([]byte(line), &row); err != nil {
				return nil, fmt.Errorf("%s: %w", line, err)
			}
			if row.Payload != nil {
				row.Binary = []byte(*row.Payload)
			}
			rows = append(rows, row.Binary)
		}
	}
	return rows, nil
}
