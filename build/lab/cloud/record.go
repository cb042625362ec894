package cloud

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"
)

// Accepted is one message that a stand-in node accepted.
type Accepted struct {
	At         time.Time // when the node wrote it down, by the wall clock
	Node       string
	Topic      string
	Payload    []byte
	Properties []byte // MQTT 5 properties as on the wire, without their length
}

// Recorder is the file in which the nodes of a stand-in cloud write down what
// they accept, before they acknowledge it. All append to the same file, each
// message in one write: the kernel puts them in one order, and a node that is
// killed loses nothing.
type Recorder struct {
	node string
	file *os.File
	line []byte
}

// NewRecorder opens the file, which it makes when it is missing.
func NewRecorder(path, node string) (*Recorder, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the record of the stand-in cloud: %w", err)
	}
	return &Recorder{node: node, file: f}, nil
}

// Write adds a message. It must not be called twice at once.
func (r *Recorder) Write(topic string, payload, properties []byte) error {
	// A kill may tear a line. So each one begins and ends with a line break,
	// and has its end marked: a torn one spoils no other and is left out.
	b := append(r.line[:0], '\n')
	b = strconv.AppendInt(b, time.Now().UnixNano(), 10)
	for _, field := range [][]byte{[]byte(r.node), []byte(topic), payload, properties} {
		b = base64.RawStdEncoding.AppendEncode(append(b, ' '), field)
	}
	r.line = append(b, " .\n"...)
	_, err := r.file.Write(r.line)
	return err
}

// Close closes the file.
func (r *Recorder) Close() error { return r.file.Close() }

// Follow calls got for every message in the record, from its beginning and as
// they come, until ctx ends. It returns what went wrong with the file.
func Follow(ctx context.Context, path string, got func(Accepted)) error {
	f, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("follow the record of the stand-in cloud: %w", err)
	}
	defer f.Close()
	var rest []byte
	for buf := make([]byte, 256<<10); ; {
		n, err := f.Read(buf)
		rest = feed(append(rest, buf[:n]...), got)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("follow the record of the stand-in cloud: %w", err)
		}
		if n > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// feed hands on the whole lines of b and returns what is left.
func feed(b []byte, got func(Accepted)) []byte {
	for {
		line, rest, ok := bytes.Cut(b, []byte("\n"))
		if !ok {
			return b
		}
		if a, ok := parse(line); ok {
			got(a)
		}
		b = rest
	}
}

func parse(line []byte) (Accepted, bool) {
	fields := bytes.Split(line, []byte(" "))
	if len(fields) != 6 || string(fields[5]) != "." {
		return Accepted{}, false
	}
	nanos, err := strconv.ParseInt(string(fields[0]), 10, 64)
	if err != nil {
		return Accepted{}, false
	}
	var text [4][]byte
	for i, f := range fields[1:5] {
		if text[i], err = base64.RawStdEncoding.AppendDecode(nil, f); err != nil {
			return Accepted{}, false
		}
	}
	return Accepted{time.Unix(0, nanos), string(text[0]), string(text[1]), text[2], text[3]}, true
}
