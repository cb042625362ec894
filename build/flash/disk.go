package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// disk is what the kernel tells of a disk. It comes from /sys and /proc below a
// root, which tests make.
type disk struct {
	Path      string // "/dev/sdb"
	Name      string // "sdb"
	Whole     string // name of the whole disk when this is a partition; else ""
	Size      int64  // bytes; 0 without a card
	Removable bool
	ReadOnly  bool
	USB, SD   bool
	Model     string
	Used      []string // why nobody may write to it: "sdb1 is mounted on /media/x"
	Parts     []part
}

type part struct {
	Name  string
	Start int64 // bytes
	Size  int64 // bytes
}

const sector = 512 // the unit of /sys/class/block, whatever the disk's is

// look reads what the kernel tells of the disk at a path such as /dev/sdb.
func look(root, path string) (*disk, error) {
	real := path
	if root == "/" {
		var err error
		if real, err = filepath.EvalSymlinks(path); err != nil { // /dev/disk/by-id/...
			return nil, err
		}
		info, err := os.Stat(real)
		if err != nil {
			return nil, err
		}
		if info.Mode()&fs.ModeDevice == 0 || info.Mode()&fs.ModeCharDevice != 0 {
			return nil, fmt.Errorf("%s is no disk; name one such as /dev/sdb (lsblk lists them)", path)
		}
	}
	d := &disk{Path: real, Name: strings.ReplaceAll(strings.TrimPrefix(real, "/dev/"), "/", "!")}
	s := sys{root}
	if !s.exists("sys/class/block", d.Name) {
		return nil, fmt.Errorf("%s is no disk that this machine has; lsblk lists them", path)
	}
	place, err := filepath.EvalSymlinks(filepath.Join(root, "sys/class/block", d.Name))
	if err != nil {
		return nil, err
	}
	if s.exists("sys/class/block", d.Name, "partition") {
		d.Whole = filepath.Base(filepath.Dir(place))
		return d, nil
	}
	d.Size = s.number(d.Name, "size") * sector
	d.Removable = s.number(d.Name, "removable") == 1
	d.ReadOnly = s.number(d.Name, "ro") == 1
	d.USB = strings.Contains(place, "/usb")
	d.SD = s.text(d.Name, "device/type") == "SD"
	d.Model = strings.TrimSpace(s.text(d.Name, "device/vendor") + " " + s.text(d.Name, "device/model"))
	if d.SD {
		d.Model = "SD card " + s.text(d.Name, "device/name")
	}
	for _, name := range s.partitions(d.Name) {
		d.Parts = append(d.Parts, part{Name: name, Start: s.number(name, "start") * sector, Size: s.number(name, "size") * sector})
	}
	slices.SortFunc(d.Parts, func(a, b part) int { return int(min(max(a.Start-b.Start, -1), 1)) })
	d.Used, err = s.uses(d.Name)
	return d, err
}

// same says whether two looks saw one disk.
func (d *disk) same(o *disk) bool {
	return d.Path == o.Path && d.Size == o.Size && d.Model == o.Model && d.Removable == o.Removable && slices.Equal(d.Parts, o.Parts)
}

// sys reads below a root.
type sys struct{ root string }

func (s sys) exists(path ...string) bool {
	_, err := os.Stat(filepath.Join(append([]string{s.root}, path...)...))
	return err == nil
}

// text is a file of a block device; "" when it has none.
func (s sys) text(name, file string) string {
	data, err := os.ReadFile(filepath.Join(s.root, "sys/class/block", name, file))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

func (s sys) number(name, file string) int64 {
	n, err := strconv.ParseInt(s.text(name, file), 10, 54)
	if err != nil {
		return 0
	}
	return n
}

func (s sys) partitions(name string) []string {
	files, _ := filepath.Glob(filepath.Join(s.root, "sys/class/block", name, "*", "partition")) // fails on a bad pattern only
	var all []string
	for _, f := range files {
		all = append(all, filepath.Base(filepath.Dir(f)))
	}
	return all
}

// uses says what a disk, its partitions, and what stands on them (LVM, RAID,
// encryption) are used for.
func (s sys) uses(name string) ([]string, error) {
	mounts, err := os.ReadFile(filepath.Join(s.root, "proc/self/mountinfo"))
	if err != nil {
		return nil, err // without it nothing is known to be safe
	}
	swaps, err := os.ReadFile(filepath.Join(s.root, "proc/swaps"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []string
	seen := map[string]bool{}
	for todo := append([]string{name}, s.partitions(name)...); len(todo) > 0; todo = todo[1:] {
		n := todo[0]
		if seen[n] {
			continue
		}
		seen[n] = true
		all = append(all, mountsOf(string(mounts), n, s.text(n, "dev"))...)
		for line := range strings.Lines(string(swaps)) {
			if f := strings.Fields(line); len(f) > 0 && filepath.Base(f[0]) == n {
				all = append(all, n+" is swap")
			}
		}
		holders, _ := filepath.Glob(filepath.Join(s.root, "sys/class/block", n, "holders", "*"))
		for _, h := range holders {
			holder := filepath.Base(h)
			as := s.text(holder, "dm/name")
			all = append(all, strings.TrimRight(fmt.Sprintf("%s is part of %s %s", n, holder, as), " "))
			todo = append(todo, holder)
			todo = append(todo, s.partitions(holder)...)
		}
	}
	return all, nil
}

// mountsOf finds a device in the mount table by its number and by its name:
// btrfs has numbers of its own [proc_pid_mountinfo(5)].
func mountsOf(table, name, number string) []string {
	var all []string
	for line := range strings.Lines(table) {
		before, after, _ := strings.Cut(line, " - ")
		f, source := strings.Fields(before), strings.Fields(after)
		if len(f) < 5 {
			continue
		}
		if f[2] == number || len(source) > 1 && source[1] == "/dev/"+name {
			all = append(all, fmt.Sprintf("%s is mounted on %s", name, f[4]))
		}
	}
	return all
}
