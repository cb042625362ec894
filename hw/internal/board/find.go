package board

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"tidegate/internal/disk"
)

// at is a file that has the same place on every machine.
func at(path string) func(*Board) string {
	return func(b *Board) string { return filepath.Join(b.root, path) }
}

// ofDisk is a file of the disk that holds the state folder.
func ofDisk(path string) func(*Board) string {
	return func(b *Board) string {
		if b.disk == "" {
			return ""
		}
		return disk.File(b.root, b.disk, path)
	}
}

// zones are the types of thermal zone that are the CPU's, the best first: Pi
// (device tree), Pi with older kernels, other boards, Intel, any PC.
var zones = []string{"cpu-thermal", "cpu_thermal", "bcm2835_thermal", "soc-thermal", "soc_thermal", "x86_pkg_temp", "acpitz"}

// chips are the names in hwmon that are the CPU's, for kernels without zones.
var chips = []string{"cpu_thermal", "coretemp", "k10temp"}

func cpuTemperature(b *Board) string {
	if dir := b.named("sys/class/thermal/thermal_zone*/type", zones); dir != "" {
		return filepath.Join(dir, "temp")
	}
	if dir := b.named("sys/class/hwmon/hwmon*/name", chips); dir != "" {
		return filepath.Join(dir, "temp1_input")
	}
	return ""
}

func lowVoltage(b *Board) string {
	if dir := b.named("sys/class/hwmon/hwmon*/name", []string{"rpi_volt"}); dir != "" {
		return filepath.Join(dir, "in0_lcrit_alarm")
	}
	return ""
}

// named returns the folder of the file of pattern whose content comes first in
// names; "" when there is none.
func (b *Board) named(pattern string, names []string) string {
	dir, best := "", len(names)
	for _, path := range b.glob(pattern) {
		content, _ := os.ReadFile(path)
		if i := slices.Index(names, strings.TrimSpace(string(content))); i >= 0 && i < best {
			dir, best = filepath.Dir(path), i
		}
	}
	return dir
}

func (b *Board) glob(pattern string) []string { return glob(b.root, pattern) }

func glob(root, pattern string) []string {
	all, _ := filepath.Glob(filepath.Join(root, pattern)) // fails on a bad pattern only
	return all
}

// diskFree returns the free MiB of the state folder's file system; NaN when
// there is no such folder.
func (b *Board) diskFree() float64 {
	var s syscall.Statfs_t
	if b.state == nil || syscall.Fstatfs(int(b.state.Fd()), &s) != nil {
		return absent
	}
	return float64(s.Bavail) * float64(s.Bsize) / mebi
}
