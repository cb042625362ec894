package kernel

import (
	"context"
	"fmt"
	"os"
	"os/exec"
)

// AddProgram compiles a command of this module for the guest, as it is shipped
// (CGO off), and puts it at a path of the guest. pkg is an import path:
// "tidegate/cmd/tidegate".
func (i Initrd) AddProgram(ctx context.Context, guest, pkg, dir string) error {
	f, err := os.CreateTemp(dir, "program-")
	if err != nil {
		return err
	}
	f.Close()
	defer os.Remove(f.Name())
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", f.Name(), pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm64", "GOFLAGS=")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s for the guest: %w\n%s", pkg, err, text)
	}
	return i.AddFile(guest, f.Name())
}
