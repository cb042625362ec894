package cloud

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	a, err := NewRecorder(path, "a")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := NewRecorder(path, "b")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	write := func(r *Recorder, topic, payload, properties string) {
		t.Helper()
		if err := r.Write(topic, []byte(payload), []byte(properties)); err != nil {
			t.Fatal(err)
		}
	}
	write(a, "home/t", "1\n2", "\x26")
	tear(t, path, "\n1760000000000000000 YQ aG9tZS90 dG9y") // a node killed while it wrote
	write(b, "home/ ü", "", "")
	tear(t, path, "\n1760000000000000000 YQ aG9tZS90 dG9ybg dG9ybg .")

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var got []string
	late := false
	err = Follow(ctx, path, func(m Accepted) {
		got = append(got, fmt.Sprintf("%s %q %q %q", m.Node, m.Topic, m.Payload, m.Properties))
		if m.Topic == "home/ ü" && !late {
			late = true
			write(a, "late", "3", "") // also ends the line that has no end yet
		}
		if m.Topic == "late" {
			cancel()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`a "home/t" "1\n2" "&"`,
		`b "home/ ü" "" ""`,
		`a "home/t" "torn" "torn"`,
		`a "late" "3" ""`,
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func tear(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}
