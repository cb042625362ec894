package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidegate/build/kernel"
)

// expected is how long anything here takes on two busy cores; time-outs are
// five times as long.
const expected = 30 * time.Second

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*expected)
	t.Cleanup(cancel)
	return ctx
}

// room is a machine with cards in readers on USB and a disk that is no card.
type room struct {
	*kernel.Machine
	qmp   *kernel.QMP
	files map[string]string // by the name in QEMU
	disks map[string]string // the same: "/dev/sda"
}

func newRoom(t *testing.T, image string) *room {
	t.Helper()
	k, err := kernel.Fetch(t.Context(), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	files := kernel.Initrd{}
	for guest, pkg := range map[string]string{"/init": "tidegate/build/kernel/guest", "/flash": "tidegate/build/flash"} {
		if err := files.AddProgram(t.Context(), guest, pkg, t.TempDir()); err != nil {
			t.Fatal(err)
		}
	}
	if err := files.AddFile("/image", image); err != nil {
		t.Fatal(err)
	}
	if err := k.AddModules(files); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	r := &room{files: map[string]string{}, disks: map[string]string{}}
	for i, name := range []string{"card", "pulled", "broken", "inside", "small"} { // told apart by their sizes
		r.files[name] = filepath.Join(dir, name)
		size := int64(16+i) << 20
		if name == "small" {
			size = 4 << 20
		}
		save(t, r.files[name], nil)
		if err := os.Truncate(r.files[name], size); err != nil {
			t.Fatal(err)
		}
		r.disks[name] = fmt.Sprint(size / sector)
	}
	tool(t, "/sbin/mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-L", "photos", r.files["small"])
	socket := filepath.Join(dir, "qmp")
	r.Machine, err = kernel.Boot(within(t), kernel.Options{Kernel: k, Files: files, Dir: dir, QEMU: []string{
		"-qmp", "unix:" + socket + ",server=on,wait=off", "-device", "qemu-xhci,id=usb",
		"-drive", "if=none,id=card,format=raw,file=" + r.files["card"], "-device", "usb-storage,bus=usb.0,drive=card,removable=on",
		"-drive", "if=none,id=small,format=raw,file=" + r.files["small"], "-device", "usb-storage,bus=usb.0,drive=small,removable=on",
		// Fast up to its second chunk, and then so slow that it never ends.
		"-drive", "if=none,id=pulled,format=raw,throttling.bps-total=2000,throttling.bps-total-max=9500000,file=" + r.files["pulled"], "-device", "usb-storage,id=reader,bus=usb.0,drive=pulled,removable=on",
		// Writing fails in the second chunk. It is a reader that says it is not removable.
		"-blockdev", "driver=blkdebug,node-name=broken,image.driver=file,image.filename=" + r.files["broken"] + ",inject-error.0.event=none,inject-error.0.iotype=write,inject-error.0.errno=5,inject-error.0.sector=10000",
		"-device", "usb-storage,bus=usb.0,drive=broken,removable=off",
		"-drive", "if=none,id=inside,format=raw,file=" + r.files["inside"], "-device", "virtio-blk-pci,drive=inside",
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Kill(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("console:\n%s", r.Console())
		}
	})
	if r.qmp, err = kernel.DialQMP(within(t), socket); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.qmp.Close() })
	r.do(t, "load", "virtio_pci", "virtio_blk", "xhci_pci", "usb_storage delay_use=0", "sd_mod", "crc32c_generic", "ext4")
	r.find(t)
	return r
}

// do carries out a verb that must succeed.
func (r *room) do(t *testing.T, verb string, words ...string) string {
	t.Helper()
	text, err := r.Do(within(t), verb, words...)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// find waits until the kernel has all the disks, and learns their names.
func (r *room) find(t *testing.T) {
	t.Helper()
	ctx := within(t)
	for left := len(r.disks); left > 0; {
		for _, dir := range strings.Fields(r.do(t, "list", "/sys/block/[sv]d?")) {
			size := strings.TrimSpace(r.do(t, "read", dir+"/size"))
			for name, want := range r.disks {
				if size == want {
					r.disks[name] = "/dev/" + filepath.Base(dir)
					left--
				}
			}
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the kernel does not find all disks: %v", r.disks)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// start runs the command on a disk, with flags, and returns the mark before what it says.
func (r *room) start(t *testing.T, name string, flags ...string) int {
	t.Helper()
	mark := r.Mark()
	r.do(t, "start", append(append([]string{name, "/flash", "-image", "/image"}, flags...), r.disks[name])...)
	return mark
}

// ended waits for the end of the command and expects a line of it.
func (r *room) ended(t *testing.T, name string, mark int, code int, want ...string) {
	t.Helper()
	if _, err := r.WaitAfter(within(t), mark, fmt.Sprintf("%s: ended: exit status %d", name, code)); err != nil {
		t.Fatal(err)
	}
	r.do(t, "stop", name)
	for _, w := range want {
		if r.Last(mark, name+": ", w) == "" {
			t.Errorf("%s: it does not say %q", name, w)
		}
	}
}

// Real block devices on a real kernel: a card that is written, one that is
// mounted, one that is pulled out, one that fails, and a disk that is no card.
func TestCardsInReaders(t *testing.T) {
	raw := newImage(t, t.TempDir())
	image, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	r := newRoom(t, raw)

	mark := r.start(t, "inside", "-yes", r.disks["inside"])
	r.ended(t, "inside", mark, 1, "does not look like a card: it is neither removable")
	r.do(t, "mount", r.disks["small"], "/mnt", "ext4", "")
	mark = r.start(t, "small", "-even", r.disks["small"])
	r.ended(t, "small", mark, 1, "is in use: ", " is mounted on /mnt; unmount it")
	r.do(t, "umount", "/mnt")
	mark = r.start(t, "small", "-yes", r.disks["small"])
	r.ended(t, "small", mark, 1, "is too small: it has 4.2 MB, and the image needs 9.4 MB")
	mark = r.start(t, "card", "-yes", r.disks["card"])
	r.ended(t, "card", mark, 0, "no partitions", "will be overwritten with /image", "write: 9.4 MB in", "verify: 9.4 MB in", "is ready: every byte was read back")
	got, err := os.ReadFile(r.files["card"])
	if err != nil || string(got[:len(image)]) != string(image) {
		t.Errorf("the card is not the image (%v)", err)
	}
	mark = r.start(t, "broken", "-yes", r.disks["broken"])
	r.ended(t, "broken", mark, 1, "input/output error: the card failed or was pulled out", "is incomplete and starts no machine")

	pulled := r.start(t, "pulled", "-yes", r.disks["pulled"])
	if _, err := r.WaitAfter(within(t), pulled, "pulled: write: "); err != nil {
		t.Fatal(err)
	}
	if _, err := r.qmp.Do(within(t), "device_del", map[string]string{"id": "reader"}); err != nil {
		t.Fatal(err)
	}
	r.ended(t, "pulled", pulled, 1, "pulled out", "is incomplete and starts no machine")

	// The kernel has read the new table. Nobody answers, so nothing is written.
	mark = r.start(t, "card")
	r.ended(t, "card", mark, 1, "FAT TIDEGATE", "nothing was written")
}
