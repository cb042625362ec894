package chip

import (
	"math"
	"testing"

	"tidegate/hw/internal/board"
)

func TestBoardIsAKindWithoutBus(t *testing.T) {
	k, ok := Find("pi")
	if !ok || k.Bus != Board || len(k.Quantities) != board.Count {
		t.Fatalf("got %v, %q, %d quantities, want the board with %d", ok, k.Bus, len(k.Quantities), board.Count)
	}
	s, err := k.Open(Wiring{Root: "/", Folder: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	out := make([]float64, len(k.Quantities))
	if err := s.Read(out); err != nil {
		t.Fatal(err)
	}
	for i, q := range k.Quantities {
		if v := out[i]; !math.IsNaN(v) && (v < q.Low || v > q.High) {
			t.Errorf("%s: got %v %s, outside %v to %v", q.Name, v, q.Unit, q.Low, q.High)
		}
	}
	if err := s.Halt(); err != nil {
		t.Error(err)
	}
}
