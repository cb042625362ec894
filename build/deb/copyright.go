package main

import (
	"bytes"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// copyright is the licence of the gateway and of every module that the linker
// put into the binary, as the binary itself says, and of Go's own library.
func copyright(source string, binary []byte) ([]byte, error) {
	info, err := buildinfo.Read(bytes.NewReader(binary))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString(`Tidegate
Copyright: the Tidegate maintainers
License: Apache-2.0; on Debian systems the full text is in
/usr/share/common-licenses/Apache-2.0

The program is linked from the Go modules below. Each has its own licence, which
follows it.
`)
	root, err := output(source, "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	mods := []module{{name: "The Go standard library " + info.GoVersion, dir: root}}
	for _, m := range info.Deps {
		dir, err := moduleDir(source, m.Path, m.Version)
		if err != nil {
			return nil, err
		}
		mods = append(mods, module{name: m.Path + " " + m.Version, dir: dir})
	}
	for _, m := range mods {
		text, err := m.licence()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
		fmt.Fprintf(&b, "\n%s\n%s\n\n%s\n", m.name, strings.Repeat("-", len(m.name)), text)
	}
	return b.Bytes(), nil
}

// moduleDir is where the module's source is on this machine.
func moduleDir(source, path, version string) (string, error) {
	dir, err := output(source, "list", "-m", "-f", "{{.Dir}}", path+"@"+version)
	if err == nil && dir == "" {
		err = errors.New("`go mod download` brings it")
	}
	if err != nil {
		return "", fmt.Errorf("find module %s %s: %w", path, version, err)
	}
	return dir, nil
}

// output is what a go command says in the folder of the source.
func output(source string, args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = source
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}

type module struct{ name, dir string }

// legal are the names of files that a licence may ask to hand on.
var legal = []string{"LICENSE", "LICENSE.txt", "LICENSE.md", "COPYING", "NOTICE", "AUTHORS", "PATENTS"}

func (m module) licence() ([]byte, error) {
	var all [][]byte
	for _, name := range legal {
		text, err := os.ReadFile(filepath.Join(m.dir, name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return nil, err
		case bytes.Contains(text, []byte("Apache License")) && bytes.Contains(text, []byte("TERMS AND CONDITIONS")):
			text = []byte("Apache-2.0; see /usr/share/common-licenses/Apache-2.0")
		}
		all = append(all, bytes.TrimSpace(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))))
	}
	if !slices.ContainsFunc(all, func(t []byte) bool { return len(t) > 0 }) {
		return nil, fmt.Errorf("no licence in %s", m.dir)
	}
	return bytes.Join(all, []byte("\n\n")), nil
}
