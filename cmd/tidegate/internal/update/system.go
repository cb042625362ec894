package update

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"tidegate/internal/slots"
)

// System says where things are on the gateway.
type System struct {
	Version    string // of the software that runs
	Compatible string // of the machine: what a bundle must be made for

	Boot        string   // the boot partition, with the state of the slots
	State       string   // a folder on the data partition: the record, a download
	Data        string   // the gateway's data directory
	Run         string   // a folder in RAM, root's: progress
	Status      string   // the gateway's status socket
	CommandLine string   // of the kernel
	RAUC        []string // command
	Reboot      []string // command
}

// Compatible is what bundles for the image of this project are made for.
const Compatible = "tidegate-arm64"

// OnImage is a gateway that was installed as an image.
func OnImage(version string) System {
	return System{
		Version: version, Compatible: Compatible,
		Boot: "/boot/firmware", State: "/data/system/update", Data: "/var/lib/tidegate", Run: "/run/tidegate-update",
		Status: "/run/tidegate/status.sock", CommandLine: "/proc/cmdline",
		RAUC: []string{"rauc"}, Reboot: []string{"systemctl", "reboot"},
	}
}

// ErrNotImage says that there are no slots to update.
var ErrNotImage = errors.New("this is not an image install: use apt")

// Booted returns the slot that the system was started from, or ErrNotImage.
func (s System) Booted() (slots.Slot, error) {
	line, err := os.ReadFile(s.CommandLine)
	if err != nil {
		return "", err
	}
	for word := range strings.FieldsSeq(string(line)) {
		if name, ok := strings.CutPrefix(word, "rauc.slot="); ok {
			return slots.Parse(name)
		}
	}
	return "", ErrNotImage
}

// lock keeps two updates apart. It goes with the process.
func (s System) lock() (unlock func(), err error) {
	if err := os.MkdirAll(s.State, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(s.State, lockName), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	for range 20 { // one who only looks has it for a moment
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			break
		}
		time.Sleep(50 * time.Millisecond)
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.New("another update is under way: tidegate update status")
		}
		return nil, fmt.Errorf("lock %s: %w", s.State, err)
	}
	return func() { f.Close() }, nil
}

const lockName = "lock"

// busy says whether a process is at an update. It needs no privilege.
func (s System) busy() bool {
	f, err := os.Open(filepath.Join(s.State, lockName))
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}

// underWay says whether an update is: one whose process was killed is not.
func (s System) underWay(u Update) bool {
	if u.Phase == Downloading || u.Phase == Installing {
		return s.busy()
	}
	return !u.Phase.over()
}
