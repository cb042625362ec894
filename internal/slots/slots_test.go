package slots

import (
	"os"
	"path/filepath"
	"testing"
)

func TestEncodeDecode(t *testing.T) {
	for _, want := range []State{
		Fresh(),
		{Seq: 0xabc, First: B, A: Mark{0, false}, B: Mark{3, false}},
		{Seq: 1<<32 - 1, First: A, A: Mark{2, true}, B: Mark{1, true}},
	} {
		got, err := Decode(want.Encode())
		if err != nil || got != want {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
	for name, damage := range map[string]func([]byte) []byte{
		"empty": func([]byte) []byte { return nil },
		"zeros": func(b []byte) []byte { return make([]byte, len(b)) },
		"bit":   func(b []byte) []byte { b[40] ^= 1; return b },
		"short": func(b []byte) []byte { return b[:Size-1] },
	} {
		if s, err := Decode(damage(Fresh().Encode())); err == nil {
			t.Errorf("%s: got %+v, want an error", name, s)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(Fresh().Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := Decode(b); err == nil {
			again, err := Decode(s.Encode())
			if err != nil || again != s {
				t.Errorf("got %+v, %v, want %+v", again, err, s)
			}
		}
	})
}

// A write that is torn leaves what was there before.
func TestTornWrite(t *testing.T) {
	dir := t.TempDir()
	if err := Change(dir, func(s *State) { *s = Fresh() }); err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		was, err := Read(dir)
		if err != nil {
			t.Fatal(err)
		}
		_, next, _ := read(dir)
		if err := Change(dir, func(s *State) { s.First = s.First.Other() }); err != nil {
			t.Fatal(err)
		}
		is, err := Read(dir)
		if err != nil || is.First == was.First || is.Seq != was.Seq+1 {
			t.Fatalf("%d: got %+v, %v after %+v", i, is, err, was)
		}
		name := filepath.Join(dir, []string{"slots.0", "slots.1"}[next])
		whole, err := os.ReadFile(name)
		if err != nil || len(whole) != Size {
			t.Fatalf("%d: %d bytes, %v", i, len(whole), err)
		}
		for _, torn := range [][]byte{nil, whole[:100], append(whole[:256:256], make([]byte, 256)...)} {
			if err := os.WriteFile(name, torn, 0o644); err != nil {
				t.Fatal(err)
			}
			got, err := Read(dir)
			if len(torn) < Size && (err != nil || got != was) {
				t.Errorf("%d: %d bytes of the write: got %+v, %v, want %+v", i, len(torn), got, err, was)
			}
		}
		if err := os.WriteFile(name, whole, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// What changes nothing is not written: the card is not worn by it.
func TestChangeNothing(t *testing.T) {
	dir := t.TempDir()
	if err := Change(dir, func(s *State) { *s = Fresh() }); err != nil {
		t.Fatal(err)
	}
	was, _ := Read(dir)
	if err := Change(dir, func(s *State) { s.A.Good = true }); err != nil {
		t.Fatal(err)
	}
	if is, err := Read(dir); err != nil || is != was {
		t.Errorf("got %+v, %v, want %+v", is, err, was)
	}
}

func TestNext(t *testing.T) {
	for _, c := range []struct {
		s    State
		want Slot
	}{
		{Fresh(), A},
		{unknown(), A},
		{State{First: B, A: Mark{3, true}, B: Mark{3, false}}, B},
		{State{First: B, A: Mark{3, true}, B: Mark{0, false}}, A},
		{State{First: B}, B},
	} {
		if got := c.s.Next(); got != c.want {
			t.Errorf("%+v: got %s, want %s", c.s, got, c.want)
		}
	}
}
