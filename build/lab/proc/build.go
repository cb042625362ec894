package proc

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Build compiles a command of the gateway's module as it is shipped (CGO off)
// into the file out. pkg is relative to the repository: "cmd/tidegate". The
// working directory must lie in the repository.
func Build(ctx context.Context, pkg, out string) error {
	return build(ctx, "", pkg, out)
}

// BuildLab compiles a command of the lab's own module: "cmd/node".
func BuildLab(ctx context.Context, pkg, out string) error {
	return build(ctx, "build/lab", pkg, out)
}

func build(ctx context.Context, module, pkg, out string) error {
	root, err := Root()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", out, "./"+pkg)
	cmd.Dir = filepath.Join(root, module)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, text)
	}
	return nil
}

// Root returns the repository's directory: the nearest one above the working
// directory with the go.mod of the gateway's module.
func Root() (string, error) {
	here, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := here; ; dir = filepath.Dir(dir) {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.HasPrefix(mod, []byte("module tidegate\n")) {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is not inside the repository", here)
		}
	}
}
