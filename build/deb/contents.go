package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"time"
)

// units are those of systemd/ that make sense without the image.
var units = []string{"tidegate.service"}

// copied are files of the source that go in as they are.
var copied = map[string]string{
	"/usr/lib/sysusers.d/tidegate.conf":        "systemd/tidegate.sysusers",
	"/usr/lib/tmpfiles.d/tidegate.conf":        "systemd/tidegate.tmpfiles",
	"/usr/lib/udev/rules.d/60-tidegate.rules":  "systemd/60-tidegate.rules",
	"/usr/share/lintian/overrides/tidegate":    "build/deb/lintian-overrides",
	"/usr/share/doc/tidegate/README.md":        "README.md",
	"/usr/share/doc/tidegate/SENSORS.md":       "hw/SENSORS.md",
	"/usr/share/doc/tidegate/GUIDE.md":         "docs/GUIDE.md",
	"/usr/share/doc/tidegate/CONFIGURATION.md": "docs/CONFIGURATION.md",

	// For Prometheus and Grafana, which run elsewhere.
	"/usr/share/doc/tidegate/examples/alerts.yml":     "monitoring/alerts.yml",
	"/usr/share/doc/tidegate/examples/grafana.json":   "monitoring/grafana.json",
	"/usr/share/doc/tidegate/examples/prometheus.yml": "monitoring/prometheus.yml",
}

// contents is all that a package installs.
func (o order) contents(version string, binary []byte, words said) (tree, error) {
	files := tree{"/usr/bin/tidegate": {binary, 0o755}}
	from := maps.Clone(copied)
	for _, u := range units {
		from["/usr/lib/systemd/system/"+u] = "systemd/" + u
	}
	for to, from := range from {
		data, err := os.ReadFile(filepath.Join(o.source, from))
		if err != nil {
			return nil, err
		}
		files[to] = file{data, 0o644}
	}
	licences, err := copyright(o.source, binary)
	if err != nil {
		return nil, fmt.Errorf("licences: %w", err)
	}
	for to, data := range map[string][]byte{
		"/etc/tidegate/tidegate.toml":                        words.sample,
		"/usr/share/bash-completion/completions/tidegate":    words.bash,
		"/usr/share/zsh/vendor-completions/_tidegate":        words.zsh,
		"/usr/share/fish/vendor_completions.d/tidegate.fish": words.fish,
		"/usr/share/man/man1/tidegate.1.gz":                  zipped(manual(words.help, words.flags, version, o.epoch)),
		"/usr/share/man/man5/tidegate.toml.5.gz":             zipped(manualOfConfig(words.sample, version, o.epoch)),
		"/usr/share/doc/tidegate/changelog.gz":               zipped(changelog(version, o.describe, o.epoch)),
		"/usr/share/doc/tidegate/copyright":                  licences,
	} {
		files[to] = file{data, 0o644}
	}
	return files, nil
}

// changelog says of which source the package is; the history is git's.
func changelog(version, describe string, at time.Time) []byte {
	return fmt.Appendf(nil, "tidegate (%s) stable; urgency=medium\n\n  * Built from the source at %s.\n\n -- %s  %s\n",
		version, describe, maintainer, at.Format(time.RFC1123Z))
}

// zipped has neither a name nor a time in its header.
func zipped(data []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	w.Write(data) // into memory
	w.Close()
	return b.Bytes()
}
