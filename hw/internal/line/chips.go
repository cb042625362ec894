package line

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"tidegate/internal/inorder"
)

// Chips are the GPIO chips of a machine.
type Chips struct {
	Dev string // the folder of devices; "" is /dev
}

// Chip is one GPIO chip.
type Chip struct {
	Path  string // "/dev/gpiochip0"
	Name  string // "gpiochip0", as the kernel counts
	Label string // "pinctrl-bcm2711", what it is
	Lines int
}

// LineInfo is what the kernel says of one line.
type LineInfo struct {
	Offset   int
	Name     string // "" for one without a name
	Used     bool
	Consumer string // who uses it; "" when nobody does or nobody says
}

// List returns the chips, those of the header first. The errors of chips that
// cannot be opened are joined and come with the others.
func (c Chips) List() ([]Chip, error) {
	paths, err := filepath.Glob(filepath.Join(cmp.Or(c.Dev, "/dev"), "gpiochip*"))
	if err != nil {
		return nil, err
	}
	var chips []Chip
	var errs []error
	for _, path := range paths {
		chip, err := describe(path)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		// A Pi 5 has its header's chip a second time, as the older kernels
		// counted it.
		if !slices.ContainsFunc(chips, func(have Chip) bool { return have.Name == chip.Name }) {
			chips = append(chips, chip)
		}
	}
	inorder.Sort(chips, func(a, b Chip) int {
		return cmp.Or(boolCompare(b.onHeader(), a.onHeader()), cmp.Compare(len(a.Name), len(b.Name)), cmp.Compare(a.Name, b.Name))
	})
	return chips, errors.Join(errs...)
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// onHeader says whether the first lines of the chip are the GPIO numbers of a
// Raspberry Pi's header: bcm2835, 2711 and 2712 have it on their own chip
// except the Pi 5, where it is the RP1's.
func (c Chip) onHeader() bool {
	return slices.Contains([]string{"pinctrl-bcm2835", "pinctrl-bcm2711", "pinctrl-rp1"}, c.Label)
}

func describe(path string) (Chip, error) {
	f, err := openChip(path)
	if err != nil {
		return Chip{}, err
	}
	defer f.Close()
	var info chipInfo
	if err := call(f, callChipInfo, &info); err != nil {
		return Chip{}, fmt.Errorf("ask GPIO chip %s: %w", path, err)
	}
	return Chip{Path: path, Name: text(info.name), Label: text(info.label), Lines: int(info.lines)}, nil
}

// Info returns what the kernel says of the chip's lines.
func (c Chip) Info() ([]LineInfo, error) {
	f, err := openChip(c.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	all := make([]LineInfo, c.Lines)
	for i := range all {
		if all[i], err = infoOf(f, i); err != nil {
			return nil, fmt.Errorf("ask line %d of GPIO chip %s: %w", i, c.Path, err)
		}
	}
	return all, nil
}

func infoOf(f *os.File, offset int) (LineInfo, error) {
	info := lineInfo{offset: uint32(offset)}
	if err := call(f, callLineInfo, &info); err != nil {
		return LineInfo{}, err
	}
	return LineInfo{Offset: offset, Name: text(info.name), Used: info.flags&flagUsed != 0, Consumer: text(info.consumer)}, nil
}

func openChip(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("%w; %s", err, mayOpen(path))
	}
	return f, err
}

// mayOpen says what lets the gateway open a device.
func mayOpen(path string) string {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil || st.Gid == 0 || st.Mode&0o060 != 0o060 {
		return `no group may open it: add a udev rule, SUBSYSTEM=="gpio", KERNEL=="gpiochip*", GROUP="gpio", MODE="0660", and the user that runs tidegate to the group gpio`
	}
	group := strconv.FormatUint(uint64(st.Gid), 10)
	if g, err := user.LookupGroupId(group); err == nil {
		group = g.Name
	}
	return fmt.Sprintf("add the user that runs tidegate to the group %s (usermod -aG %s tidegate) and start it again", group, group)
}

// place is a line that was found.
type place struct {
	chip   Chip
	offset int
}

func (p place) String() string { return fmt.Sprintf("%s:%d", p.chip.Name, p.offset) }

// find looks for a line by its name.
func (c Chips) find(s string) (place, error) {
	n, err := parse(s)
	if err != nil {
		return place{}, err
	}
	chips, listErr := c.List()
	if len(chips) == 0 && listErr == nil {
		listErr = fmt.Errorf("no GPIO chip in %s: this kernel has none, or its driver is not loaded", cmp.Or(c.Dev, "/dev"))
	}
	found, err := n.among(chips, Chip.Info)
	if err == nil {
		return found, nil
	}
	if listErr != nil {
		return place{}, fmt.Errorf("line %s: %w", s, listErr)
	}
	return place{}, fmt.Errorf("line %s: %w", s, err)
}

// among finds the line; info is Chip.Info.
func (n name) among(chips []Chip, info func(Chip) ([]LineInfo, error)) (place, error) {
	if n.chip != "" {
		for _, chip := range chips {
			if n.chip != chip.Name && n.chip != chip.Label && n.chip != filepath.Base(chip.Path) {
				continue
			}
			if n.offset >= chip.Lines {
				return place{}, fmt.Errorf("%s (%s) has the lines 0 to %d", chip.Name, chip.Label, chip.Lines-1)
			}
			return place{chip, n.offset}, nil
		}
		return place{}, fmt.Errorf("there is no chip %s, only %s", n.chip, names(chips))
	}
	return n.byName(chips, info)
}

// byName prefers what the kernel names; Debian's kernels name the header's
// lines after their second use (SDA1, TXD1), so the header's chip is taken by
// number then.
func (n name) byName(chips []Chip, info func(Chip) ([]LineInfo, error)) (place, error) {
	var all []place
	for _, chip := range chips {
		lines, err := info(chip)
		if err != nil {
			return place{}, err
		}
		for _, l := range lines {
			if l.Name == n.line {
				all = append(all, place{chip, l.Offset})
			}
		}
	}
	switch {
	case len(all) == 1, len(all) > 1 && all[0].chip.onHeader() && !all[1].chip.onHeader():
		return all[0], nil
	case len(all) > 1:
		return place{}, fmt.Errorf("several lines have this name: write %s or %s", all[0], all[1])
	case n.offset >= 0 && len(chips) > 0 && chips[0].onHeader():
		return place{chips[0], n.offset}, nil
	}
	return place{}, fmt.Errorf("no chip has a line of this name; there are %s", names(chips))
}

// names lists chips for an error.
func names(chips []Chip) string {
	list := make([]string, len(chips))
	for i, c := range chips {
		list[i] = fmt.Sprintf("%s (%s, %d lines)", c.Name, c.Label, c.Lines)
	}
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}
