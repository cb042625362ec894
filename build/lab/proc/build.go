package proc

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Build compiles a command of this repository's main module as it is shipped
// (CGO off) into the file out. pkg is relative to its root: "cmd/tidegate".
// The working directory must lie in the lab's module or the main one.
func Build(ctx context.Context, pkg, out string) error {
	root, err := Root(ctx)
	if err != nil {
		return err
	}
	return build(ctx, root, "./"+pkg, out)
}

// BuildLab compiles a command of the lab's own module: "cmd/node".
func BuildLab(ctx context.Context, pkg, out string) error {
	root, err := Root(ctx)
	if err != nil {
		return err
	}
	return build(ctx, root+"/build/lab", "./"+pkg, out)
}

// Root returns the directory of the repository's main module.
func Root(ctx context.Context) (string, error) {
	dir, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "tidegate").Output()
	if err != nil {
		return "", fmt.Errorf("find the main module: %w", err)
	}
	return strings.TrimSpace(string(dir)), nil
}

func build(ctx context.Context, dir, pkg, out string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", out, pkg)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, text)
	}
	return nil
}
