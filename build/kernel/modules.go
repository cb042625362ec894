package kernel

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// sources are the files of the kernel's source that the modules of ours are
// built from.
var sources = []string{"drivers/gpio/gpio-sim.c", "drivers/gpio/gpiolib.h", "drivers/i2c/i2c-stub.c", "kernel/irq/irq_sim.c"}

// unpack lays out the packages, and of the source only what is built.
func (k *kitchen) unpack(ctx context.Context) error {
	debs, err := filepath.Glob(k.path("deb", "*.deb"))
	if err != nil {
		return err
	}
	for _, deb := range debs {
		if strings.HasPrefix(filepath.Base(deb), "linux-source-") {
			err = k.unpackSource(ctx, deb)
		} else {
			_, err = k.run(ctx, "dpkg-deb", "-x", deb, k.path("tree"))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// unpackSource reads the archive in the package only as far as it must.
func (k *kitchen) unpackSource(ctx context.Context, deb string) error {
	series, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(deb), "linux-source-"), "_")
	top := "linux-source-" + series
	script := fmt.Sprintf(`dpkg-deb --fsys-tarfile %s | tar -xO ./usr/src/%s.tar.xz 2>/dev/null | tar -xJ -C %s --strip-components=1 --occurrence=1`,
		deb, top, k.path("src"))
	for _, s := range sources {
		script += " " + top + "/" + s
	}
	// The first two programs die of the pipe when the third has all it wants;
	// a file that is missing fails below.
	if _, err := k.run(ctx, "sh", "-c", script); err != nil {
		return err
	}
	for _, s := range sources {
		if err := os.Rename(k.path("src", s), k.path("src", filepath.Base(s))); err != nil {
			return err
		}
	}
	return nil
}

// build makes the modules of ours for the kernel of that name.
func (k *kitchen) build(ctx context.Context, name string) error {
	fmt.Fprintln(k.log, "kernel: building", strings.Join(built, ", "))
	if err := k.asModule(); err != nil {
		return err
	}
	objects := "obj-m := " + strings.Join(built, ".o ") + ".o\n"
	if err := os.WriteFile(k.path("src", "Makefile"), []byte(objects), 0o644); err != nil {
		return err
	}
	headers := k.path("tree", "usr/src", "linux-headers-"+name)
	err := rewrite(filepath.Join(headers, "Makefile"), "include /usr/src", "include "+k.path("tree", "usr/src"))
	if err != nil {
		return err
	}
	const cross = "aarch64-linux-gnu-"
	if _, err := k.run(ctx, "make", "-C", headers, "M="+k.path("src"), "CROSS_COMPILE="+cross, "CC="+cross+"gcc", "modules"); err != nil {
		return err
	}
	for _, m := range built {
		if _, err := k.run(ctx, cross+"strip", "--strip-debug", k.path("src", m+".ko")); err != nil {
			return err
		}
	}
	return nil
}

// asModule lets irq_sim, which Debian could only build in, be a module: it
// calls one function that the kernel shows to modules only under another name.
func (k *kitchen) asModule() error {
	const file = "irq_sim.c"
	err := rewrite(k.path("src", file), "handle_simple_irq(irq_to_desc(irqnum));", "generic_handle_irq(irqnum);")
	if err != nil {
		return err
	}
	return rewrite(k.path("src", file), "#include <linux/irq.h>\n", "#include <linux/irq.h>\n#include <linux/module.h>\nMODULE_LICENSE(\"GPL\");\n")
}

// rewrite replaces one string of a file, which must be there.
func rewrite(name, from, to string) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if n := bytes.Count(data, []byte(from)); n != 1 {
		return fmt.Errorf("%s has %d times %q, want one: this kernel's source is not the one known", name, n, from)
	}
	return os.WriteFile(name, bytes.Replace(data, []byte(from), []byte(to), 1), 0o644)
}

// collect puts the image and the modules into out.
func (k *kitchen) collect(name string) error {
	if err := os.Rename(k.path("tree", "boot", "vmlinuz-"+name), k.path("out", "vmlinuz")); err != nil {
		return err
	}
	files, err := k.moduleFiles()
	if err != nil {
		return err
	}
	for todo, done := slices.Concat(stock, built), map[string]bool{}; len(todo) > 0; todo = todo[1:] {
		m := moduleName(todo[0])
		if done[m] {
			continue
		}
		done[m] = true
		data, err := os.ReadFile(files[m])
		if err != nil {
			return fmt.Errorf("module %s of %s: %w", m, name, err)
		}
		needs, err := needsOf(data)
		if err != nil {
			return fmt.Errorf("%s: %w", files[m], err)
		}
		todo = append(todo, needs...)
		if err := os.WriteFile(k.path("out", "modules", m+".ko"), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// moduleFiles finds every module, Debian's and ours, by its name.
func (k *kitchen) moduleFiles() (map[string]string, error) {
	files := map[string]string{}
	for _, root := range []string{k.path("tree", "lib", "modules"), k.path("src")} {
		err := filepath.WalkDir(root, func(file string, _ fs.DirEntry, err error) error {
			if name, ok := strings.CutSuffix(filepath.Base(file), ".ko"); ok {
				files[moduleName(name)] = file
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

// moduleName is a name as the kernel itself writes it: gpio-sim and gpio_sim
// are the same module.
func moduleName(name string) string { return strings.ReplaceAll(name, "-", "_") }

// needsOf reads from a module which others must be there before it.
func needsOf(module []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(module))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s := f.Section(".modinfo")
	if s == nil {
		return nil, fmt.Errorf("no section .modinfo")
	}
	info, err := s.Data()
	if err != nil {
		return nil, err
	}
	for entry := range strings.SplitSeq(string(info), "\x00") {
		if list, ok := strings.CutPrefix(entry, "depends="); ok && list != "" {
			return strings.Split(list, ","), nil
		}
	}
	return nil, nil
}

// AddModules puts every module of the kernel into the guest's /modules, and in
// /modules/NAME.needs what must be loaded before it.
func (k *Kernel) AddModules(i Initrd) error {
	files, err := filepath.Glob(filepath.Join(k.modules, "*.ko"))
	if err != nil {
		return err
	}
	modules := map[string][]byte{}
	for _, f := range files {
		if modules[strings.TrimSuffix(filepath.Base(f), ".ko")], err = os.ReadFile(f); err != nil {
			return err
		}
	}
	for _, m := range slices.Sorted(maps.Keys(modules)) {
		needs, err := needsOf(modules[m])
		if err != nil {
			return err
		}
		for n := range needs {
			needs[n] = moduleName(needs[n])
		}
		i["/modules/"+m+".ko"], i["/modules/"+m+".needs"] = modules[m], []byte(strings.Join(needs, " "))
	}
	return nil
}
