package main

import (
	"fmt"
	"io"
	"time"
)

// progress tells how far a step is: on a terminal in one line that changes, else
// in a line at every tenth.
type progress struct {
	out      io.Writer
	terminal bool
	now      func() time.Time

	what  string
	total int64 // bytes; 0: not known
	done  int64
	since time.Time
	last  time.Time // when something was said
	said  int64     // tenths
}

func (p *progress) begin(what string, total int64) {
	p.what, p.total, p.done, p.said, p.since = what, total, 0, 0, p.now()
	p.last = time.Time{}
}

func (p *progress) at(done int64) {
	p.done = done
	switch {
	case p.terminal && p.now().Sub(p.last) >= 250*time.Millisecond:
		fmt.Fprintf(p.out, "\r%s\x1b[K", p.line())
		p.last = p.now()
	case !p.terminal && p.total > 0 && done*10/p.total > p.said && done < p.total:
		p.said = done * 10 / p.total
		fmt.Fprintln(p.out, p.line())
	}
}

// end says what the step was.
func (p *progress) end() {
	took := max(p.now().Sub(p.since), time.Millisecond)
	clear := ""
	if p.terminal {
		clear = "\r\x1b[K"
	}
	fmt.Fprintf(p.out, "%s%s: %s in %s, %s/s\n", clear, p.what, bytes(p.done), took.Round(100*time.Millisecond), bytes(speed(p.done, took)))
}

func (p *progress) line() string {
	took := max(p.now().Sub(p.since), time.Millisecond)
	v := speed(p.done, took)
	if p.total == 0 {
		return fmt.Sprintf("%s: %s, %s/s", p.what, bytes(p.done), bytes(v))
	}
	left := "..."
	if v > 0 {
		left = (time.Duration((p.total-p.done)/v) * time.Second).String()
	}
	return fmt.Sprintf("%s: %3d %%  %s of %s, %s/s, %s left", p.what, p.done*100/p.total, bytes(p.done), bytes(p.total), bytes(v), left)
}

// speed is in bytes a second.
func speed(n int64, took time.Duration) int64 { return int64(float64(n) / took.Seconds()) }
