package edge

import (
	"testing"

	"tidegate/internal/formats"
)

// Updates and returns rest on what the software says of its forms.
func TestFormat(t *testing.T) {
	got := formats.Ours()["edge"]
	for _, written := range []int{rowVersion, sessionVersion} {
		if got.Max != written {
			t.Errorf("got %+v, and rows are written in version %d", got, written)
		}
	}
}
