package kernel

import (
	"context"
	"testing"
	"time"
)

// expected is how long a boot takes on two busy cores; a verb takes far less.
// Time-outs are five times as long.
const expected = 30 * time.Second

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*expected)
	t.Cleanup(cancel)
	return ctx
}

func boot(t *testing.T, files Initrd) *Machine {
	t.Helper()
	k, err := Fetch(t.Context(), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	if err := files.AddProgram(t.Context(), "/init", "tidegate/build/kernel/guest", t.TempDir()); err != nil {
		t.Fatal(err)
	}
	if err := k.AddModules(files); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	m, err := Boot(within(t), Options{Kernel: k, Files: files, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s is up after %v", k.Version, time.Since(begin).Round(time.Millisecond))
	t.Cleanup(func() {
		if err := m.Kill(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("console:\n%s", m.Console())
		}
	})
	return m
}

// do carries out a verb that must succeed.
func do(t *testing.T, m *Machine, verb string, words ...string) string {
	t.Helper()
	text, err := m.Do(within(t), verb, words...)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
