package line

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Pull is the resistor that the chip puts on an input.
type Pull string

// The pulls.
const (
	PullAsIs Pull = ""     // as the chip has it
	PullUp   Pull = "up"   // for a contact to ground
	PullDown Pull = "down" // for a contact to 3.3 V
	PullNone Pull = "none" // there is a resistor outside
)

// Edges are the changes of an input that are wanted.
type Edges byte

// The edges, of the state: with ActiveLow, Rising is a fall of the voltage.
const (
	NoEdges Edges = iota
	Rising
	Falling
	BothEdges
)

// Setup is how a line is used.
type Setup struct {
	ActiveLow bool // the low voltage stands for active
	Output    bool
	On        bool // the state that an output has from the first moment on

	// What follows is for inputs.
	Pull     Pull
	Edges    Edges
	Debounce time.Duration // by the kernel; 0: none
}

// Edge is one change of an input.
type Edge struct {
	At     time.Duration // by the kernel's monotonic clock, see Line.Now
	Active bool          // the state after it
	Lost   uint32        // edges before it that the kernel had no room for
}

// Line is one opened line. Nobody else can open it meanwhile. Its methods are
// called by one goroutine at a time.
type Line struct {
	name string // as it was asked for
	file *os.File
	seq  uint32 // of the last edge
	buf  [64 * eventSize]byte
}

// consumer is the name under which others see who uses a line.
const consumer = "tidegate"

// Open finds a line and takes it. Its errors say what is missing.
func (c Chips) Open(name string, s Setup) (*Line, error) {
	at, err := c.find(name)
	if err != nil {
		return nil, err
	}
	f, err := openChip(at.chip.Path)
	if err != nil {
		return nil, fmt.Errorf("line %s: %w", name, err)
	}
	defer f.Close()
	req := s.request(uint32(at.offset))
	if err := call(f, callRequest, &req); err != nil {
		return nil, fmt.Errorf("line %s: %w", name, refusal(f, at, err))
	}
	// Not blocking, so that the runtime's poller waits and deadlines work.
	if err := unix.SetNonblock(int(req.fd), true); err != nil {
		return nil, errors.Join(fmt.Errorf("line %s: %w", name, err), unix.Close(int(req.fd)))
	}
	return &Line{name: name, file: os.NewFile(uintptr(req.fd), "gpio line "+name)}, nil
}

// refusal says why the kernel does not give a line.
func refusal(f *os.File, at place, err error) error {
	switch {
	case errors.Is(err, unix.EBUSY):
		by := "another program or driver"
		if info, infoErr := infoOf(f, at.offset); infoErr == nil && info.Consumer != "" {
			by = info.Consumer
		}
		return fmt.Errorf("request %s: %w; it is used by %s", at, err, by)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("request %s: %w; the kernel keeps it for itself", at, err)
	}
	return fmt.Errorf("request %s: %w", at, err)
}

func (s Setup) request(offset uint32) lineRequest {
	req := lineRequest{numLines: 1, maxEvents: maxEvents}
	req.offsets[0] = offset
	copy(req.consumer[:], consumer)
	req.config.flags = s.flags()
	add := func(id uint32, value uint64) {
		c := &req.config
		c.attrs[c.numAttrs] = configAttribute{attribute{id: id, value: value}, 1}
		c.numAttrs++
	}
	if s.Output && s.On {
		add(attrOutputs, 1)
	}
	if s.Debounce > 0 && !s.Output {
		// The period fills the first four bytes of the value, in either order.
		var value [8]byte
		binary.NativeEndian.PutUint32(value[:], uint32(s.Debounce.Microseconds()))
		add(attrDebounce, binary.NativeEndian.Uint64(value[:]))
	}
	return req
}

func (s Setup) flags() uint64 {
	f := uint64(0)
	if s.ActiveLow {
		f |= flagActiveLow
	}
	if s.Output {
		return f | flagOutput
	}
	f |= flagInput
	f |= map[Pull]uint64{PullUp: flagPullUp, PullDown: flagPullDown, PullNone: flagPullNone}[s.Pull]
	f |= [...]uint64{0, flagRising, flagFalling, flagRising | flagFalling}[s.Edges]
	return f
}

// Close gives the line back.
func (l *Line) Close() error { return l.file.Close() }

// Value reads the state.
func (l *Line) Value() (active bool, err error) {
	v := lineValues{mask: 1}
	if err := call(l.file, callGetValues, &v); err != nil {
		return false, fmt.Errorf("read line %s: %w", l.name, err)
	}
	return v.bits&1 != 0, nil
}

// Set changes the state of an output.
func (l *Line) Set(active bool) error {
	v := lineValues{mask: 1}
	if active {
		v.bits = 1
	}
	if err := call(l.file, callSetValues, &v); err != nil {
		return fmt.Errorf("set line %s: %w", l.name, err)
	}
	return nil
}

// Now is the time by the clock of the edges.
func (l *Line) Now() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0 // the kernel has had this clock for ever
	}
	return time.Duration(ts.Nano())
}

// Wait waits for edges and puts them into all, which is not empty. It returns
// how many there are: none when the time is up. ctx ends it with its error.
func (l *Line) Wait(ctx context.Context, most time.Duration, all []Edge) (int, error) {
	if err := l.file.SetReadDeadline(time.Now().Add(most)); err != nil {
		return 0, fmt.Errorf("wait for line %s: %w", l.name, err)
	}
	stop := context.AfterFunc(ctx, func() {
		// A line that is closed meanwhile is not waited for either.
		_ = l.file.SetReadDeadline(time.Unix(1, 0))
	})
	defer stop()
	n, err := l.file.Read(l.buf[:min(len(all)*eventSize, len(l.buf))])
	switch {
	case err == nil && n%eventSize != 0:
		return 0, fmt.Errorf("wait for line %s: the kernel gave %d bytes, not whole edges", l.name, n)
	case err == nil:
		return l.decode(l.buf[:n], all), nil
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return 0, nil
	}
	return 0, fmt.Errorf("wait for line %s: %w", l.name, err)
}

// decode reads whole events. The numbers of one line's events have no gaps but
// for what the kernel dropped.
func (l *Line) decode(b []byte, all []Edge) (n int) {
	for ; len(b) >= eventSize; b = b[eventSize:] {
		seq := binary.NativeEndian.Uint32(b[eventLineSeq:])
		all[n] = Edge{
			At:     time.Duration(binary.NativeEndian.Uint64(b[eventTime:])),
			Active: binary.NativeEndian.Uint32(b[eventID:]) == eventRising,
			Lost:   seq - l.seq - 1,
		}
		l.seq = seq
		n++
	}
	return n
}
