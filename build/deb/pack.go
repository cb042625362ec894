package main

import (
	"bytes"
	"crypto/md5"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// tree is the files of a package by their path, "/usr/bin/tidegate".
type tree map[string]file

type file struct {
	data []byte
	mode os.FileMode
}

// pack writes one package.
func (o order) pack(t target, version string, words said, out string) error {
	binary, err := os.ReadFile(filepath.Join(o.dist, t.binary))
	if err != nil {
		return fmt.Errorf("%w; `make cross` builds it", err)
	}
	files, err := o.contents(version, binary, words)
	if err != nil {
		return err
	}
	control, err := o.control(t, version, files)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "tidegate-deb-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	maps.Copy(files, control)
	if err := files.layOut(dir, o.epoch); err != nil {
		return err
	}
	cmd := exec.Command("dpkg-deb", "--root-owner-group", "-Zxz", "--build", dir, out)
	cmd.Env = append(os.Environ(), fmt.Sprintf("SOURCE_DATE_EPOCH=%d", o.epoch.Unix()), "DPKG_DEB_THREADS_MAX=1")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("dpkg-deb: %w: %s", err, &said)
	}
	return os.Chmod(out, 0o644)
}

// layOut writes the tree below dir. Folders get 0755, whatever the umask, and
// everything one time: dpkg-deb only makes times earlier.
func (t tree) layOut(dir string, at time.Time) error {
	folders := map[string]bool{dir: true}
	for _, name := range slices.Sorted(maps.Keys(t)) {
		full := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			return err
		}
		for d := filepath.Dir(full); d != dir; d = filepath.Dir(d) {
			folders[d] = true
		}
		err := errors.Join(os.WriteFile(full, t[name].data, 0o600), os.Chmod(full, t[name].mode), os.Chtimes(full, at, at))
		if err != nil {
			return err
		}
	}
	for _, d := range slices.Backward(slices.Sorted(maps.Keys(folders))) { // inner ones first
		if err := errors.Join(os.Chmod(d, 0o755), os.Chtimes(d, at, at)); err != nil {
			return err
		}
	}
	return nil
}

// control makes what stands in /DEBIAN.
func (o order) control(t target, version string, files tree) (tree, error) {
	control := tree{}
	for _, name := range []string{"postinst", "prerm", "postrm"} {
		data, err := os.ReadFile(filepath.Join(o.source, "build/deb/scripts", name))
		if err != nil {
			return nil, err
		}
		control["/DEBIAN/"+name] = file{data, 0o755}
	}
	var sums, conffiles strings.Builder
	folders, kib := map[string]bool{}, 0
	for _, name := range slices.Sorted(maps.Keys(files)) {
		kib += (len(files[name].data) + 1023) / 1024
		for d := path.Dir(name); d != "/"; d = path.Dir(d) {
			folders[d] = true
		}
		if strings.HasPrefix(name, "/etc/") {
			fmt.Fprintln(&conffiles, name)
			continue
		}
		fmt.Fprintf(&sums, "%x  %s\n", md5.Sum(files[name].data), name[1:])
	}
	control["/DEBIAN/md5sums"] = file{[]byte(sums.String()), 0o644}
	control["/DEBIAN/conffiles"] = file{[]byte(conffiles.String()), 0o644}
	control["/DEBIAN/control"] = file{fmt.Appendf(nil, controlFile, version, t.arch, kib+len(folders)), 0o644}
	return control, nil
}

// controlFile wants the version, the architecture and the size in KiB. Static,
// so no libraries; what it needs are the tools that its scripts call. TLS to the
// cloud needs the certificates of the public authorities.
const controlFile = `Package: tidegate
Version: %s
Architecture: %s
Installed-Size: %d
Maintainer: ` + maintainer + `
Depends: init-system-helpers (>= 1.52), systemd | systemd-standalone-sysusers | systemd-sysusers
Recommends: ca-certificates
Suggests: mosquitto-clients
Section: net
Priority: optional
Description: MQTT broker for the home with an uplink that loses nothing
 Tidegate is an edge gateway for small computers such as the Raspberry Pi.
 Devices of the home connect to its MQTT broker; sensors, inputs and relays
 wired to the board are read and switched; an uplink carries messages to a
 cloud over several balanced connections, survives the loss of any node of it
 or of the whole Internet, and keeps on disk what could not be sent.
 .
 After the installation nobody may connect until the configuration,
 /etc/tidegate/tidegate.toml, says who.
`

const maintainer = "Tidegate maintainers <maintainers@tidegate.example>"
