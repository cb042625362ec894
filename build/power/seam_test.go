package power

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What the test of the gateway rests on: which of the guest's writes a cut
// leaves, and that it fails when they are lost.
func TestSeam(t *testing.T) {
	const size = 4096
	for _, tt := range []struct {
		cache, seen      string
		unsynced, synced string // what is left of them
	}{
		{"none", "write back", "\x00", "b"},
		{"directsync", "write through", "a", "b"},
	} {
		t.Run(tt.cache, func(t *testing.T) {
			d := New(1<<20, *seed)
			b := newBench(t, d, tt.cache)
			b.boot()
			b.do("load", "virtio_pci", "virtio_blk")
			if got := b.do("read", "/sys/block/vda/queue/write_cache"); got != tt.seen {
				t.Errorf("the guest sees a cache that is %q, want %q", got, tt.seen)
			}
			b.do("direct", "/dev/vda", "8192", fmt.Sprint(size), "b", "sync")
			b.do("direct", "/dev/vda", "0", fmt.Sprint(size), "a")
			d.Off()
			b.kill()
			d.Cut(Drop)
			got := make([]byte, size)
			for _, place := range []struct {
				name string
				at   int64
				want string
			}{{"unsynced", 0, tt.unsynced}, {"synced", 8192, tt.synced}} {
				must(t, d.read(place.at, got))
				if want := strings.Repeat(place.want, size); string(got) != want {
					t.Errorf("%s: got %q..., want %q...", place.name, got[:8], want[:8])
				}
			}
			t.Logf("%+v", d.Stats())
		})
	}
}

// A superblock of which a power cut left one half old is put right, although
// a small file system has no copy of it.
func TestTornSuperblock(t *testing.T) {
	image := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 64<<20); err != nil {
		t.Fatal(err)
	}
	if _, err := command("mkfs.ext4", "-q", "-b", fmt.Sprint(blockSize), image); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	// The time of the last write, in the first half; the checksum is in the second.
	_, err = f.WriteAt([]byte{1, 2, 3}, 1024+0x30)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := command("e2fsck", "-fn", image); err == nil {
		t.Fatal("the file system is whole, want a torn superblock")
	}
	if mended, err := recovers(image); !mended || err != nil {
		t.Errorf("mended %v, %v; want it mended", mended, err)
	}
}

// The block that ends a transaction is eight sectors, and the power can go between
// them: the transaction is none then, and nothing else is found wrong. The kernel
// does not mount it before it was checked.
func TestTornCommit(t *testing.T) {
	image, block, script := t.TempDir()+"/image", t.TempDir()+"/block", t.TempDir()+"/script"
	must(t, os.WriteFile(block, bytes.Repeat([]byte("x"), blockSize), 0o600))
	must(t, os.WriteFile(script, fmt.Appendf(nil, "jo -c\njw -b 5000 %s\njc\n", block), 0o600))
	must(t, os.WriteFile(image, nil, 0o600))
	must(t, os.Truncate(image, 32<<20))
	for _, argv := range [][]string{{"mkfs.ext4", "-q", "-b", fmt.Sprint(blockSize), image}, {"debugfs", "-w", "-f", script, image}} {
		if _, err := command(argv...); err != nil {
			t.Fatal(err)
		}
	}
	disk, err := os.ReadFile(image)
	must(t, err)
	commit := []byte{0xc0, 0x3b, 0x39, 0x98, 0, 0, 0, 2} // magic and type, at the beginning of a block of the journal
	at := bytes.Index(disk, commit)
	if at < 0 || at%blockSize != 0 {
		t.Fatalf("the journal has no commit block: %d", at)
	}
	copy(disk[at+512:], bytes.Repeat([]byte{0x55}, 512))
	must(t, os.WriteFile(image, disk, 0o600))

	d := New(int64(len(disk)), *seed)
	must(t, d.Load(image))
	b := newBench(t, d, "none")
	b.boot()
	b.do("load", "virtio_pci", "virtio_blk", "crc32c_generic", "ext4")
	mount := []string{"/dev/vda", "/data", "ext4", mountOptions}
	if _, err := b.machine.Do(within(t), "mount", mount...); err == nil || !strings.Contains(err.Error(), "structure needs cleaning") {
		t.Errorf("the kernel mounts it unchecked: %v; then the check is not held here", err)
	}
	if mended, err := recovers(image); !mended || err != nil {
		t.Errorf("mended %v, %v; want it as it was before the transaction", mended, err)
	}
	b.kill()
	must(t, d.Load(image))
	b.boot()
	b.do("load", "virtio_pci", "virtio_blk", "crc32c_generic", "ext4")
	b.do("mount", mount...)
}
