// Package tty is what the commands for people know of the terminal they
// write to: whether there is one, how wide it is, its colours, and how to take
// it over and give it back. It is so little that a library for it, all of which
// bring an event loop and a screen model along, would be the larger part.
package tty

import (
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// Is says whether w is a terminal.
func Is(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// Size is that of the terminal in columns and rows, 80 and 24 when w is none or
// does not know.
func Size(w any) (columns, rows int) {
	if f, ok := w.(*os.File); ok {
		if s, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && s.Col > 0 && s.Row > 0 {
			return int(s.Col), int(s.Row)
		}
	}
	return 80, 24
}

// Colour is how text looks on a terminal [ECMA-48, 8.3.117].
type Colour string

// The colours.
const (
	Plain  Colour = ""
	Bold   Colour = "1"
	Faint  Colour = "2"
	Red    Colour = "31"
	Green  Colour = "32"
	Yellow Colour = "33"
	Invert Colour = "7"
)

// Paint colours text, or leaves it as it is.
type Paint bool

// NewPaint colours what goes to a terminal, unless the environment has NO_COLOR
// (https://no-color.org) or a terminal that knows none.
func NewPaint(w io.Writer) Paint {
	return Paint(Is(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb")
}

// In returns text in a colour.
func (p Paint) In(c Colour, text string) string {
	if !p || c == Plain || text == "" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// Safe takes from text what a terminal would obey: what comes from the network
// or from a device is shown, not done.
func Safe(text string) string {
	if !strings.ContainsFunc(text, unsafe) && utf8.ValidString(text) {
		return text
	}
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unsafe(r) {
			return '·'
		}
		return r
	}, text)
}

func unsafe(r rune) bool { return r != ' ' && !unicode.IsPrint(r) }

// Fit cuts text to a width, with a mark where something is missing. It counts
// letters; those that are twice as wide, as in Chinese, are not known.
func Fit(text string, width int) string {
	if width <= 0 {
		return ""
	}
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:width-1]) + "…"
}

// Wrap breaks text into lines of a width, between words where that is possible.
// Every line but the first begins with indent.
func Wrap(text string, width int, indent string) string {
	var b strings.Builder
	at := 0
	for i, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case at+1+n > max(width, 20):
			b.WriteString("\n" + indent)
			at = 0
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += n
	}
	return b.String()
}
