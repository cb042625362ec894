package image

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"tidegate/build/kernel"
)

// early are the modules without which there is no root file system: the card's
// controllers (Pi 3 and Zero 2 W, then Pi 4 and CM4) with what powers them, the
// disk of QEMU's virt machine, the file system. And the watchdog, through
// which alone a Pi is reset.
var early = []string{
	"bcm2835_wdt", "clk-raspberrypi", "gpio-raspberrypi-exp", "fixed", "gpio-regulator", "reset-raspberrypi",
	"bcm2835", "sdhci-iproc", "virtio_mmio", "virtio_blk", "ext4", "crc32c_generic",
}

// soon are modules that every start needs: loaded here they cost milliseconds,
// and later a process each. /dev/i2c-N comes with i2c-dev alone.
var soon = []string{
	"vfat", "nls_ascii", "nls_cp437", "i2c-dev", "spidev", "ledtrig-pattern", "nf_tables", "nf_conntrack", "nft_ct",
}

// initrd returns the archive that the kernel unpacks first: a program of ours
// and the modules, in the order in which they are loaded.
func initrd(ctx context.Context, root, work string) ([]byte, error) {
	files := kernel.Initrd{}
	if err := files.AddProgram(ctx, "/init", "tidegate/build/image/init", work); err != nil {
		return nil, err
	}
	order, err := loadOrder(root, slices.Concat(early, soon))
	if err != nil {
		return nil, err
	}
	for i, f := range order {
		data, err := module(ctx, f)
		if err != nil {
			return nil, err
		}
		name, _, _ := strings.Cut(filepath.Base(f), ".")
		files[fmt.Sprintf("/modules/%02d-%s.ko", i, name)] = data
	}
	plain := filepath.Join(work, "initrd")
	if err := os.WriteFile(plain, files.Archive(), 0o644); err != nil {
		return nil, err
	}
	if _, err := run(ctx, work, nil, "zstd", "-q", "-f", "-19", plain, "-o", plain+".zst"); err != nil {
		return nil, err
	}
	return os.ReadFile(plain + ".zst")
}

// loadOrder returns the files of modules and of what they need, each after what
// it needs. A module that the kernel has built in is left out.
func loadOrder(root string, names []string) ([]string, error) {
	dirs, err := filepath.Glob(filepath.Join(root, "usr/lib/modules/*"))
	if err != nil || len(dirs) != 1 {
		return nil, fmt.Errorf("want the modules of one kernel, got %q", dirs)
	}
	needs, err := dependencies(filepath.Join(dirs[0], "modules.dep"))
	if err != nil {
		return nil, err
	}
	builtin, err := os.ReadFile(filepath.Join(dirs[0], "modules.builtin"))
	if err != nil {
		return nil, err
	}
	var order []string
	for _, name := range names {
		file := ""
		for f := range needs {
			if base, _, _ := strings.Cut(filepath.Base(f), ".ko"); base == name {
				file = f
			}
		}
		if file == "" {
			if !regexp.MustCompile(`(?m)/` + regexp.QuoteMeta(name) + `\.ko$`).Match(builtin) {
				return nil, fmt.Errorf("this kernel has no module %s", name)
			}
			continue
		}
		// modules.dep names what is needed most first.
		chain := append([]string{file}, needs[file]...)
		for _, f := range slices.Backward(chain) {
			if f = filepath.Join(dirs[0], f); !slices.Contains(order, f) {
				order = append(order, f)
			}
		}
	}
	return order, nil
}

// module returns a module's bytes, unpacked.
func module(ctx context.Context, file string) ([]byte, error) {
	if strings.HasSuffix(file, ".ko") {
		return os.ReadFile(file)
	}
	text, err := run(ctx, "/", nil, "xz", "-dc", file)
	if err != nil {
		return nil, err
	}
	if data := []byte(text); bytes.HasPrefix(data, []byte("\x7fELF")) {
		return data, nil
	}
	return nil, fmt.Errorf("%s is no module", file)
}
