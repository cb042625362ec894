package tty

import (
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Screen is a terminal taken over: without echo and line editing, on its second
// page, so that what was there before is there again afterwards.
type Screen struct {
	in, out *os.File
	before  unix.Termios
	once    sync.Once
	err     error
}

// What a screen tells the terminal [xterm, Control Sequences].
const (
	secondPage, firstPage = "\x1b[?1049h", "\x1b[?1049l"
	hideCursor, cursor    = "\x1b[?25l", "\x1b[?25h"
	home, lineEnd, below  = "\x1b[H", "\x1b[K", "\x1b[J"
)

// Take takes the terminal over. Whoever calls it must call Close, whatever
// happens.
func Take(in, out *os.File) (*Screen, error) {
	now, err := unix.IoctlGetTermios(int(in.Fd()), unix.TCGETS)
	if err != nil {
		return nil, err
	}
	s := &Screen{in: in, out: out, before: *now}
	raw := *now
	raw.Lflag &^= unix.ECHO | unix.ICANON // ISIG stays: Ctrl-C is a signal
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(int(in.Fd()), unix.TCSETS, &raw); err != nil {
		return nil, err
	}
	_, err = out.WriteString(secondPage + hideCursor)
	return s, err
}

// Draw shows lines, and nothing else. Each must fit into the width; those that
// do not fit into the height are left out.
func (s *Screen) Draw(lines []string, rows int) error {
	lines = lines[:min(len(lines), rows)]
	_, err := s.out.WriteString(home + strings.Join(lines, lineEnd+"\r\n") + lineEnd + below)
	return err
}

// Close gives the terminal back as it was. It may be called twice.
func (s *Screen) Close() error {
	s.once.Do(func() {
		_, s.err = s.out.WriteString(cursor + firstPage)
		if err := unix.IoctlSetTermios(int(s.in.Fd()), unix.TCSETS, &s.before); s.err == nil {
			s.err = err
		}
	})
	return s.err
}
