package spool

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"tidegate/internal/whole"
)

const (
	deadName  = "dead-letters.jsonl"
	deadOld   = "dead-letters.old.jsonl"
	deadAgain = "dead-letters.retry.jsonl" // on their way back into the spool
	deadBytes = 1 << 20                    // then the file becomes the old one
)

// Letter is one dead letter: a message that the cloud refused for good.
type Letter struct {
	Epoch      uint64  `json:"epoch"` // with Seq the message's id
	Seq        uint64  `json:"seq"`
	Class      Class   `json:"class"`
	Topic      string  `json:"topic"` // in the cloud
	From       string  `json:"from,omitempty"`
	QoS        byte    `json:"qos"`
	Retain     bool    `json:"retain,omitempty"`
	Reason     string  `json:"reason"`           // MQTT 5 reason code, 0x87
	Age        float64 `json:"age"`              // seconds, when it was refused
	At         int64   `json:"at,omitempty"`     // when that was: milliseconds since 1970, 0 if the clock was not synchronised
	Expiry     uint32  `json:"expiry,omitempty"` // Message Expiry Interval in seconds, from its acceptance on; 0 for none
	Properties []byte  `json:"properties,omitempty"`
	Payload    []byte  `json:"payload"`
}

func newLetter(e *Entry, reason byte, wall int64) Letter {
	m := e.Msg
	return Letter{Epoch: e.Epoch, Seq: e.Seq, Class: e.Class, Topic: m.Topic, From: m.From, QoS: m.QoS, Retain: m.Retain,
		Reason: fmt.Sprintf("0x%02X", reason), Age: time.Since(m.Accepted).Seconds(), At: wall,
		Expiry: m.Expiry, Properties: m.Properties, Payload: m.Payload}
}

// ID returns the message's id.
func (l *Letter) ID() ID { return ID{l.Epoch, l.Seq} }

// message is what is sent again. The publisher's expiry goes on; the spool's
// own age limit begins anew, or an old letter could not be sent at all.
func (l *Letter) message(now time.Time, wall int64) *Message {
	m := &Message{Topic: l.Topic, Payload: l.Payload, Properties: l.Properties, From: l.From, Expiry: l.Expiry, QoS: l.QoS, Retain: l.Retain, Accepted: now}
	if l.Expiry > 0 {
		age := time.Duration(l.Age * float64(time.Second))
		if l.At != 0 && wall > l.At {
			age += time.Duration(wall-l.At) * time.Millisecond
		}
		m.Accepted = now.Add(-age)
	}
	return m
}

// line is a letter as it stands in a file; ok is false for what a power cut
// tore.
type line struct {
	raw    []byte
	letter Letter
	ok     bool
}

// readLetters returns the lines of a file, none if there is no file.
func readLetters(path string) (lines []line, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for r := bufio.NewReader(f); ; {
		raw, err := r.ReadBytes('\n')
		if len(bytes.TrimSpace(raw)) > 0 {
			l := line{raw: append(bytes.TrimRight(raw, "\n"), '\n'), letter: Letter{Class: Normal}}
			l.ok = json.Unmarshal(raw, &l.letter) == nil && l.letter.Seq > 0 && l.letter.Topic != ""
			lines = append(lines, l)
		}
		if errors.Is(err, io.EOF) {
			return lines, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// Letters returns the dead letters in the spool directory dir, oldest first,
// and those that are on their way back into the spool. It needs no lock: files
// are only added to, or replaced as a whole.
func Letters(dir string) (dead, again []Letter, err error) {
	for _, name := range []string{deadOld, deadName, deadAgain} {
		lines, err := readLetters(filepath.Join(dir, name))
		if err != nil {
			return nil, nil, fmt.Errorf("read dead letters: %w", err)
		}
		for _, l := range lines {
			switch {
			case !l.ok:
			case name == deadAgain:
				again = append(again, l.letter)
			default:
				dead = append(dead, l.letter)
			}
		}
	}
	return dead, again, nil
}

// takeOut removes the letters that pick wants, after adding them to those that
// are sent again if again is set, and returns how many. Only the holder of the
// directory's lock may call it. A crash in between leaves letters in both
// places, never in none.
func takeOut(dir string, again bool, pick func(ID) bool) (n int, err error) {
	for _, name := range []string{deadOld, deadName} {
		path := filepath.Join(dir, name)
		lines, err := readLetters(path)
		if err != nil {
			return n, err
		}
		var stay, move bytes.Buffer
		found := 0
		for _, l := range lines {
			if l.ok && pick(l.letter.ID()) {
				move.Write(l.raw)
				found++
			} else {
				stay.Write(l.raw)
			}
		}
		if found == 0 {
			continue
		}
		if again {
			err = appendFile(dir, deadAgain, move.Bytes())
		}
		if err == nil {
			err = replaceFile(dir, name, stay.Bytes())
		}
		if err != nil {
			return n, err
		}
		n += found
	}
	return n, nil
}

// appendDead adds lines to the dead letters, synced. When the file is full it
// becomes the old one, and the letters of that are gone.
func appendDead(dir string, lines []byte) (gone []Letter, err error) {
	path, old := filepath.Join(dir, deadName), filepath.Join(dir, deadOld)
	if info, err := os.Stat(path); err == nil && info.Size() > deadBytes {
		was, _ := readLetters(old) // what cannot be read cannot be counted, and must not keep new ones out
		if err := os.Rename(path, old); err != nil {
			return nil, err
		}
		for _, l := range was {
			if l.ok {
				gone = append(gone, l.letter)
			}
		}
	}
	return gone, appendFile(dir, deadName, lines)
}

// appendFile adds whole lines to a file, synced. What a power cut tore before
// them spoils none of them.
func appendFile(dir, name string, lines []byte) error {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if info, e := f.Stat(); e == nil && info.Size() > 0 {
		last := make([]byte, 1)
		if _, e := f.ReadAt(last, info.Size()-1); e == nil && last[0] != '\n' {
			lines = append([]byte("\n"), lines...)
		}
	}
	_, err = f.Write(lines)
	return errors.Join(err, handOver(dir, f), f.Sync(), f.Close(), whole.SyncDir(dir))
}

// replaceFile gives a file new content, none of it or all; without content it
// goes.
func replaceFile(dir, name string, content []byte) error {
	path := filepath.Join(dir, name)
	if len(content) == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return whole.SyncDir(dir)
	}
	f, err := os.OpenFile(path+".tmp", os.O_WRONLY|os.O_TRUNC|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, handOver(dir, f), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(path+".tmp", path)
	}
	return errors.Join(err, whole.SyncDir(dir))
}

// handOver gives a file that root made to the directory's owner, as whom the
// gateway runs.
func handOver(dir string, f *os.File) error {
	if os.Geteuid() != 0 {
		return nil
	}
	uid, gid, err := ownerOf(dir)
	if err != nil {
		return err
	}
	return f.Chown(uid, gid)
}

// LettersMark returns a text that changes when the dead letters in dir do: for
// those who do not want to read them all to learn that nothing has changed.
func LettersMark(dir string) string {
	mark := ""
	for _, name := range []string{deadOld, deadName} {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil {
			mark += fmt.Sprintf("%d %d;", info.Size(), info.ModTime().UnixNano())
		}
	}
	return mark
}
