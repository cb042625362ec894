// Package slots holds which of the two root file systems of the card boots. The
// boot loader and the running system share it: two small files on the boot
// partition, written in turn, so that a power cut in the middle of a write
// leaves the other one.
//
//	slots.0, slots.1: 512 bytes: CRC-32 of what follows, little-endian |
//	                  NAME=VALUE, each with a zero byte after it | zeros
//
// It is the form that U-Boot's `env import -c` reads and `env export -c`
// writes. Of two good files the one with the higher seq counts. The files are
// overwritten in place and never change their size, so that the file system
// around them has nothing to do.
//
//	order           the slots in the order in which they are tried, "A B"
//	A_left, B_left  how often U-Boot still tries the slot before it goes to the
//	                other one; it counts down at every start, and the system
//	                counts up again once it is well
//	A_good, B_good  1 once the software in the slot was found healthy
//	seq             counts the writes, in hexadecimal
//
// A slot that is being written has left 0 and good 0; one that was written has
// left 3 and good 0: it is on trial.
package slots

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Tries is how often a slot is started without ever getting well before the
// other one is.
const Tries = 3

// Size is that of a file, in bytes: one sector, which a card writes whole or
// not at all.
const Size = 512

// Slot is "A" or "B".
type Slot string

// The slots: the second and the third partition.
const (
	A Slot = "A"
	B Slot = "B"
)

// Other is the other slot.
func (s Slot) Other() Slot {
	if s == A {
		return B
	}
	return A
}

// Parse accepts "A" and "B".
func Parse(name string) (Slot, error) {
	if s := Slot(name); s == A || s == B {
		return s, nil
	}
	return "", fmt.Errorf("slot %q: there are A and B", name)
}

// Mark is what is known of one slot.
type Mark struct {
	Left int  // tries
	Good bool // confirmed
}

// State is the content of the newer file.
type State struct {
	Seq   uint32
	First Slot // tried first
	A, B  Mark
}

// Fresh is the state of a card that was just written: the system is in A, and
// there is nothing in B. A counts as good, because there is nothing else.
func Fresh() State { return State{Seq: 1, First: A, A: Mark{Tries, true}} }

// unknown is the state when no file can be read. U-Boot assumes the same.
func unknown() State { return State{First: A, A: Mark{Left: Tries}, B: Mark{Left: Tries}} }

// Of returns the mark of a slot, to be read or changed.
func (s *State) Of(slot Slot) *Mark {
	if slot == B {
		return &s.B
	}
	return &s.A
}

// Next is the slot that the next start tries first.
func (s State) Next() Slot {
	if s.Of(s.First).Left > 0 || s.Of(s.First.Other()).Left == 0 {
		return s.First
	}
	return s.First.Other()
}

// Encode returns a file's content.
func (s State) Encode() []byte {
	good := map[bool]int{true: 1}
	vars := fmt.Appendf(nil, "A_good=%d\x00A_left=%d\x00B_good=%d\x00B_left=%d\x00order=%s %s\x00seq=%x\x00",
		good[s.A.Good], s.A.Left, good[s.B.Good], s.B.Left, s.First, s.First.Other(), s.Seq)
	b := make([]byte, Size)
	copy(b[4:], vars)
	binary.LittleEndian.PutUint32(b, crc32.ChecksumIEEE(b[4:]))
	return b
}

// Decode reads a file's content.
func Decode(b []byte) (State, error) {
	if len(b) != Size || binary.LittleEndian.Uint32(b) != crc32.ChecksumIEEE(b[4:]) {
		return State{}, errors.New("no state of the slots: wrong size or checksum")
	}
	vars := map[string]string{}
	for line := range bytes.SplitSeq(b[4:], []byte{0}) {
		if name, value, ok := strings.Cut(string(line), "="); ok {
			vars[name] = value
		}
	}
	var s State
	seq, err := strconv.ParseUint(vars["seq"], 16, 32)
	first, _, _ := strings.Cut(vars["order"], " ")
	slot, err2 := Parse(first)
	s.Seq, s.First = uint32(seq), slot
	var err3, err4 error
	s.A, err3 = mark(vars, A)
	s.B, err4 = mark(vars, B)
	if err := errors.Join(err, err2, err3, err4); err != nil {
		return State{}, fmt.Errorf("no state of the slots: %w", err)
	}
	return s, nil
}

func mark(vars map[string]string, s Slot) (Mark, error) {
	left, err := strconv.ParseUint(vars[string(s)+"_left"], 16, 8) // U-Boot counts in hexadecimal
	return Mark{Left: int(left), Good: vars[string(s)+"_good"] == "1"}, err
}

// Names of the files.
func names(dir string) [2]string {
	return [2]string{filepath.Join(dir, "slots.0"), filepath.Join(dir, "slots.1")}
}

// Read returns the newer state of the two files in a folder. When neither can
// be read it is that which U-Boot assumes: nothing is known to be good.
func Read(dir string) (State, error) {
	s, _, err := read(dir)
	return s, err
}

// read also says which file is to be written next.
func read(dir string) (newest State, next int, err error) {
	found := false
	for i, name := range names(dir) {
		data, err := os.ReadFile(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return State{}, 0, fmt.Errorf("read the state of the slots: %w", err)
		}
		if s, err := Decode(data); err == nil && (!found || s.Seq > newest.Seq) {
			newest, next, found = s, 1-i, true
		}
	}
	if !found {
		return unknown(), 0, nil
	}
	return newest, next, nil
}

// Change reads the state, lets f change it and stores it. It is on the card
// when Change returns. What f leaves as it was is not written. Other processes
// that change it wait meanwhile.
func Change(dir string, f func(*State)) error {
	lock, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("store the state of the slots: %w", err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", dir, err)
	}
	s, next, err := read(dir)
	if err != nil {
		return err
	}
	was := s
	if f(&s); s == was && was.Seq > 0 {
		return nil
	}
	s.Seq++
	if err := write(names(dir)[next], s.Encode()); err != nil {
		return fmt.Errorf("store the state of the slots: %w", err)
	}
	return nil
}

// write overwrites a file in place and reads back what the card has.
func write(name string, data []byte) (err error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.WriteAt(data, 0); err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(Size), f.Sync()); err != nil {
		return err
	}
	back := make([]byte, Size)
	if _, err := f.ReadAt(back, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if !bytes.Equal(back, data) {
		return fmt.Errorf("%s: not what was written", name)
	}
	return nil
}
