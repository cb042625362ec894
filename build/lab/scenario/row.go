package scenario

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Row is what became of one scenario.
type Row struct {
	Scenario string
	Cloud    string

	Detect  time.Duration // from the break to the gateway's first sign of it; -1: none
	Recover time.Duration // until every topic carries what was published after it; -1: not
	Drained time.Duration // from the heal of a whole outage until nothing waits any more; -1: none, or not
	Silence time.Duration // the longest of a topic
	Told    time.Duration // from there until the statement was heard that holds in the end; -1: it did not change, or is not true
	Offline int           // how often it was heard from there on that the gateway is gone

	Published, Lost, Duplicates, Disorder uint64

	Losses  string // connections of up links that were lost, and what the gateway took that for
	Memory  int64  // peak of anonymous resident memory, bytes
	Written int64  // to the storage layer, bytes

	NotApplicable string   // why there is nothing to see
	Notes         []string // what there is to say besides
	Broken        []string // promises, and what went wrong in the lab itself
	Sign          string   // the gateway's first sign of trouble
	Tail          string   // the gateway's last output, of a broken one
}

// Kept says whether nothing is broken.
func (r Row) Kept() bool { return len(r.Broken) == 0 }

// Why is what is broken, in a line.
func (r Row) Why() string {
	var all []string
	for _, b := range r.Broken {
		first, _, _ := strings.Cut(b, "\n")
		all = append(all, strings.TrimSuffix(first, "; its last output:"))
	}
	return strings.Join(all, "; ")
}

var columns = []string{
	"scenario", "cloud", "detect", "recover", "drained", "silence", "told", "offline",
	"messages", "lost", "dup", "disorder", "links lost", "memory", "written", "verdict",
}

// widths are of the columns but the last, so that rows printed one by one line
// up.
var widths = []int{27, 9, 8, 8, 8, 8, 8, 7, 8, 4, 4, 8, 12, 8, 8}

// Header prints the head of a table in Markdown.
func Header(w io.Writer) {
	line(w, columns)
	rule := make([]string, len(columns))
	for i := range rule {
		rule[i] = "---"
	}
	line(w, rule)
}

// Print prints the row of the table.
func (r Row) Print(w io.Writer) {
	if r.NotApplicable != "" {
		cells := make([]string, len(columns))
		cells[0], cells[1], cells[len(cells)-1] = r.Scenario, r.Cloud, "n/a: "+r.NotApplicable
		line(w, cells)
		return
	}
	verdict := "kept"
	if !r.Kept() {
		verdict = "BROKEN: " + r.Why()
	}
	if len(r.Notes) > 0 {
		verdict += " (" + strings.Join(r.Notes, "; ") + ")"
	}
	line(w, []string{
		r.Scenario, r.Cloud, span(r.Detect), span(r.Recover), span(r.Drained), span(r.Silence), span(r.Told), fmt.Sprint(r.Offline),
		fmt.Sprint(r.Published), fmt.Sprint(r.Lost), fmt.Sprint(r.Duplicates), fmt.Sprint(r.Disorder),
		r.Losses, megabytes(r.Memory), megabytes(r.Written), verdict,
	})
}

func line(w io.Writer, cells []string) {
	var b strings.Builder
	for i, c := range cells {
		if i < len(widths) {
			fmt.Fprintf(&b, "| %-*s ", widths[i], c)
		} else {
			fmt.Fprintf(&b, "| %s |\n", c)
		}
	}
	_, _ = io.WriteString(w, b.String())
}

func span(d time.Duration) string {
	switch {
	case d < 0:
		return "-"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
