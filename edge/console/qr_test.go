package console

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"rsc.io/qr"
)

// The code for a terminal has the same modules as the one for the page.
func TestTextQR(t *testing.T) {
	const text = "mh3w-yade-f34f-82mg-mew6"
	drawn, err := TextQR(text)
	if err != nil {
		t.Fatal(err)
	}
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(regexp.MustCompile("\x1b[^m]*m").ReplaceAllString(drawn, ""), "\n"), "\n")
	for row, line := range lines {
		if n := utf8.RuneCountInString(line); n != code.Size+2*quiet {
			t.Fatalf("line %d has %d characters, want %d", row, n, code.Size+2*quiet)
		}
		for column, r := range []rune(line) {
			x, y := column-quiet, 2*row-quiet
			upper, lower := r == '▀' || r == '█', r == '▄' || r == '█'
			if upper != code.Black(x, y) || lower != code.Black(x, y+1) {
				t.Fatalf("%d, %d: got %q", x, y, r)
			}
		}
	}
	if got := 2*len(lines) - 2*quiet; got < code.Size {
		t.Errorf("got %d rows, want %d", got, code.Size)
	}
	if _, err := TextQR(strings.Repeat("x", 5000)); err == nil {
		t.Error("a text that no code holds: got no error")
	}
}
