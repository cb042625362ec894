package whole

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestWrite(t *testing.T) {
	t.Chdir(t.TempDir())
	is := func(want string) {
		t.Helper()
		got, err := os.ReadFile("file")
		info, serr := os.Stat("file")
		all, _ := filepath.Glob("*")
		hidden, _ := filepath.Glob(".*")
		if err := errors.Join(err, serr); err != nil || string(got) != want || info.Mode() != 0o600 || len(all)+len(hidden) != 1 {
			t.Errorf("got %q, %v, and %q %q; want %q alone", got, err, all, hidden, want)
		}
	}
	for _, text := range []string{"one", "", "another"} {
		if err := Write("file", Bytes([]byte(text))); err != nil {
			t.Fatal(err)
		}
		is(text)
	}
	broken := errors.New("broken")
	err := Write("file", func(f *os.File) error { return errors.Join(Bytes([]byte("half"))(f), broken) })
	if !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
	is("another")
	if err := Write(filepath.Join("nowhere", "file"), Bytes(nil)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want no such folder", err)
	}
}

// A power cut in Write leaves its file; nothing else is taken for one.
func TestTidy(t *testing.T) {
	dir := t.TempDir()
	keep := []string{".hidden", "file", "file.new-1"}
	for _, name := range append([]string{".file.new-123", ".users.toml.new-9"}, keep...) {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, ".folder.new-1"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Tidy(dir); err != nil {
		t.Fatal(err)
	}
	got, _ := filepath.Glob(filepath.Join(dir, "*"))
	if len(got) != len(keep)+1 {
		t.Errorf("got %q, want %q and the folder", got, keep)
	}
}
