// Package ask asks a person at a terminal, or reads the answers from a pipe, one
// a line, in the order of the questions.
package ask

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrNoAnswer says that the input ended before the answer to a question that
// has no preset one.
var ErrNoAnswer = errors.New("no answer")

// Asker asks.
type Asker struct {
	in  *bufio.Reader
	out io.Writer
	tty int // descriptor of the terminal, -1 when nobody sits there
}

// New returns an Asker that reads from in, which may be a terminal, and puts
// its questions on out.
func New(in io.Reader, out io.Writer) *Asker {
	a := &Asker{in: bufio.NewReader(in), out: out, tty: -1}
	if f, ok := in.(*os.File); ok {
		if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err == nil {
			a.tty = int(f.Fd())
		}
	}
	return a
}

// Line asks for a line. An empty answer, and the end of the input, are the
// preset one.
func (a *Asker) Line(question, preset string) (string, error) {
	if preset != "" {
		question += " [" + preset + "]"
	}
	fmt.Fprintf(a.out, "%s: ", question)
	text, err := a.read()
	if text == "" && (err == nil || preset != "") {
		return preset, nil
	}
	return text, err
}

// Yes asks a question that yes or no answers; the end of the input is no.
func (a *Asker) Yes(question string, preset bool) (bool, error) {
	choice := " [y/N]"
	if preset {
		choice = " [Y/n]"
	}
	for {
		fmt.Fprintf(a.out, "%s%s ", question, choice)
		text, err := a.read()
		switch strings.ToLower(text) {
		case "y", "yes":
			return true, nil
		case "n", "no":
			return false, nil
		case "":
			if err != nil {
				return false, nil
			}
			return preset, nil
		}
		fmt.Fprintln(a.out, "Please answer y or n.")
		if err != nil {
			return false, err
		}
	}
}

// Secret asks for a line that a terminal does not show.
func (a *Asker) Secret(question string) (string, error) {
	fmt.Fprintf(a.out, "%s: ", question)
	if a.tty < 0 {
		fmt.Fprintln(a.out)
		return a.read()
	}
	shown, err := unix.IoctlGetTermios(a.tty, unix.TCGETS)
	if err != nil {
		return "", fmt.Errorf("hide what is typed: %w", err)
	}
	hidden := *shown
	hidden.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(a.tty, unix.TCSETS, &hidden); err != nil {
		return "", fmt.Errorf("hide what is typed: %w", err)
	}
	show := func() { unix.IoctlSetTermios(a.tty, unix.TCSETS, shown) }
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, ok := <-interrupted; ok {
			show()
			fmt.Fprintln(a.out)
			os.Exit(130)
		}
	}()
	text, err := a.read()
	signal.Stop(interrupted)
	close(interrupted)
	<-done
	show()
	fmt.Fprintln(a.out)
	return text, err
}

// read returns a line without what ends it. An error means that there was none.
func (a *Asker) read() (string, error) {
	text, err := a.in.ReadString('\n')
	if text = strings.TrimRight(text, "\r\n"); text != "" || err == nil {
		return text, nil
	}
	if errors.Is(err, io.EOF) {
		fmt.Fprintln(a.out)
		err = ErrNoAnswer
	}
	return "", err
}
