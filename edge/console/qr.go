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
