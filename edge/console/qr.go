package console

import (
	"fmt"
	"net/http"
	"strings"

	"rsc.io/qr"
)

// mostQR is how many bytes a code holds that a telephone reads off a screen.
const mostQR = 300

// drawing is a QR code as the path of an SVG drawing, in units of a module, with
// the quiet zone of four around it that ISO/IEC 18004 asks for.
type drawing struct {
	Size int    `json:"size"` // of a side
	Path string `json:"path"`
}

// drawQR is here, and not in the page, because a well-kept encoder exists for Go
// that is three files, and nothing of it has to be loaded.
func drawQR(w http.ResponseWriter, r *http.Request) {
	var in struct{ Text string }
	if !readJSON(w, r, &in) {
		return
	}
	if n := len(in.Text); n == 0 || n > mostQR {
		refuse(w, r, http.StatusBadRequest, fmt.Sprintf("a code cannot hold %d bytes", n), fmt.Sprintf("take 1 to %d", mostQR))
		return
	}
	code, err := qr.Encode(in.Text, qr.M)
	if err != nil {
		refuse(w, r, http.StatusBadRequest, "there is no code for this text: "+err.Error(), "take a shorter one")
		return
	}
	answer(w, http.StatusOK, draw(code.Size, code.Black))
}

// TextQR draws a QR code of a text with characters that are half as high as a line,
// dark ones on light: for a terminal. Its lines end with a reset of the colours.
func TextQR(text string) (string, error) {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return "", fmt.Errorf("there is no code for this text: %w", err)
	}
	var b strings.Builder
	for y := -quiet; y < code.Size+quiet; y += 2 {
		b.WriteString("\x1b[30;107m") // black on white, whatever the terminal's own colours
		for x := -quiet; x < code.Size+quiet; x++ {
			upper, lower := code.Black(x, y), code.Black(x, y+1)
			b.WriteString(map[[2]bool]string{{false, false}: " ", {true, false}: "▀", {false, true}: "▄", {true, true}: "█"}[[2]bool{upper, lower}])
		}
		b.WriteString("\x1b[0m\n")
	}
	return b.String(), nil
}

const quiet = 4

// draw joins the black modules of each row.
func draw(size int, black func(x, y int) bool) drawing {
	var b strings.Builder
	for y := range size {
		for x := 0; x < size; x++ {
			n := 0
			for x+n < size && black(x+n, y) {
				n++
			}
			if n > 0 {
				fmt.Fprintf(&b, "M%d %dh%dv1h-%dz", x+quiet, y+quiet, n, n)
				x += n
			}
		}
	}
	return drawing{Size: size + 2*quiet, Path: b.String()}
}
