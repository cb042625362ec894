package edge

import (
	"testing"

	"tidegate/internal/formats"
)

// Updates and returns rest on what the software says of its forms.
func TestFormat(t *testing.T) {
	if got := formats.Ours()["edge"]; got.Max != rowVersion {
		t.Errorf("got %+v, and rows are written in version %d", got, rowVersion)
	}
}
