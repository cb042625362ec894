package power

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"

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
	mended, err := recovers(image)
	if err != nil {
		return err
	}
	if mended { // as at a start of the image, before the kernel mounts it
		if err := h.disk.Load(image); err != nil {
			return err
		}
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

// recovers checks the file system as the image does at a start: the journal is
// replayed, a superblock that was torn in two is mended, and then nothing is
// found wrong. A commit block that was torn ends the journal: the transaction is one
// that nobody was told of, and all is looked through. Mended is what the kernel
// does not mount as the cut left it.
func recovers(image string) (mended bool, err error) {
	said, err := command("../image/root/usr/lib/tidegate/check", image)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == 1 && strings.Contains(err.Error(), "uperblock checksum does not match") {
		said, err, mended = "", nil, true
	}
	if err != nil {
		return false, fmt.Errorf("the file system cannot be used: %w", err)
	}
	for line := range strings.Lines(said) {
		if !asLeft.MatchString(line) {
			return false, fmt.Errorf("the file system is not just as the journal left it: %s", said)
		}
		mended = mended || strings.Contains(line, tornCommit)
	}
	if _, err := command("e2fsck", "-fn", image); err != nil {
		return false, fmt.Errorf("the file system is damaged, after %q: %w", said, err)
	}
	return mended, nil
}

// tornCommit is what e2fsck says of a journal that ends in a torn commit block.
const tornCommit = " was corrupt, replay was aborted"

// asLeft is what e2fsck says of a file system in which it mended nothing but orphans.
var asLeft = regexp.MustCompile(`recovering journal|: clean, |rphan|: Journal transaction \d+` + tornCommit + `|contains a file system with errors, check forced|^\S+: \d+/\d+ files `)

// sound checks every bbolt file.
func (h *house) sound(data string) error {
	var errs []error
	files, _ := filepath.Glob(data + "/tidegate/*/*.spool")
	for _, f := range files {
		if !blank(f) {
			_, err := command(h.host, "spool", "check", f)
			errs = append(errs, err)
		}
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

// row is a message in the cloud or in a spool.
type row struct {
	where   string // for people
	payload []byte
}

// blank says whether the power went before a file got its first bytes. The
// gateway removes such a file.
func blank(file string) bool {
	b, err := os.ReadFile(file)
	return err == nil && len(bytes.Trim(b, "\x00")) == 0
}

// complete checks that every message that was acknowledged is in the cloud or in
// the spool, and that those of a topic are in order.
func (h *house) complete(data string) error {
	stored, err := committed(data + "/tidegate")
	if err != nil {
		return err
	}
	shown, err := exported(h.host, data+"/tidegate")
	if err != nil {
		return err
	}
	for ctx := within(h.t); ; time.Sleep(100 * time.Millisecond) {
		h.mu.Lock()
		arrived := slices.Clone(h.arrived)
		h.mu.Unlock()
		err := h.account(slices.Concat(arrived, stored))
		// An export looks at every page and finds messages of a transaction that
		// the cut broke off, too: it is not in order.
		if r := h.enter(slices.Concat(arrived, shown)).Report(); r.Lost > 0 {
			err = errors.Join(err, fmt.Errorf("an export lacks %d messages:\n%s", r.Lost, r))
		}
		// What the cloud has acknowledged may still be on its way to us.
		if err == nil || len(arrived) == 0 || ctx.Err() != nil {
			return err
		}
	}
}

// enter makes an account of messages in the order in which they arrived or will.
func (h *house) enter(rows []row) *load.Consumer {
	all := h.ledger.Consumer()
	for _, r := range rows {
		all.Receive(r.payload, 0)
	}
	return all
}

// account is enter with the names of those that are late.
func (h *house) account(rows []row) error {
	all := h.ledger.Consumer()
	var errs []error
	for _, r := range rows {
		if all.Receive(r.payload, 0) == load.Late {
			errs = append(errs, fmt.Errorf("late: %s", r.where))
		}
	}
	return errors.Join(append(errs, verdict(all.Report()))...)
}

func verdict(r load.Report) error {
	if r.Lost > 0 || r.Disorder > 0 || r.Foreign > 0 {
		return fmt.Errorf("lost %d, in wrong order %d, strange %d:\n%s", r.Lost, r.Disorder, r.Foreign, r)
	}
	return nil
}

// committed returns what the spools of a data directory hold, in the order in
// which it will be sent.
func committed(data string) (rows []row, err error) {
	files, err := filepath.Glob(data + "/uplink-*/*.spool")
	streams := map[string]map[string]row{} // by bucket, by key
	for _, f := range files {
		if blank(f) {
			continue
		}
		db, err := bbolt.Open(f, 0o600, &bbolt.Options{ReadOnly: true})
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", f, err)
		}
		err = db.View(func(tx *bbolt.Tx) error {
			return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
				if string(name) == "cursor" {
					return nil
				}
				stream := streams[string(name)]
				if stream == nil {
					stream = map[string]row{}
					streams[string(name)] = stream
				}
				return b.ForEach(func(k, v []byte) error {
					at := bytes.Index(v, []byte("tgl\x01")) // where a payload of ours begins
					if at < 0 {
						return fmt.Errorf("%s: a strange row: %x", f, v)
					}
					stream[string(k)] = row{fmt.Sprintf("%s, stream %x, row %x", filepath.Base(f), name, k), slices.Clone(v[at:])}
					return nil
				})
			})
		})
		if err := errors.Join(err, db.Close()); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(streams)) {
		for _, k := range slices.Sorted(maps.Keys(streams[name])) {
			rows = append(rows, streams[name][k])
		}
	}
	return rows, err
}

// exported returns all that waits in the spools of a data directory.
func exported(program, data string) (rows []row, err error) {
	spools, _ := filepath.Glob(data + "/uplink-*")
	for _, dir := range spools {
		out, err := command(program, "spool", "export", dir)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(out) {
			var m struct {
				Link       int
				Epoch, Seq uint64
				Topic      string
				Payload    *string
				Binary     []byte `json:"payload-base64"`
			}
			if err := json.Unmarshal([]byte(line), &m); err != nil {
				return nil, fmt.Errorf("%s: %w", line, err)
			}
			if m.Payload != nil {
				m.Binary = []byte(*m.Payload)
			}
			rows = append(rows, row{fmt.Sprintf("spool, link %d, id %d/%d, %s", m.Link, m.Epoch, m.Seq, m.Topic), m.Binary})
		}
	}
	return rows, nil
}
