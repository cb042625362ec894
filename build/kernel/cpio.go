package kernel

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
)

// Initrd is what the guest finds in its file system when it starts: contents
// by absolute path. Everything is executable; folders are made as needed.
type Initrd map[string][]byte

// AddFile puts a file of this machine at a path of the guest.
func (i Initrd) AddFile(guest, host string) error {
	data, err := os.ReadFile(host)
	if err != nil {
		return err
	}
	i[guest] = data
	return nil
}

// Archive is the form in which the kernel takes it: cpio, "newc"
// (Documentation/driver-api/early-userspace/buffer-format.rst).
func (i Initrd) Archive() []byte {
	var out bytes.Buffer
	made := map[string]bool{"/": true}
	for _, name := range slices.Sorted(maps.Keys(i)) {
		for at, c := range name {
			if folder := name[:at]; c == '/' && at > 0 && !made[folder] {
				made[folder] = true
				entry(&out, folder, 0o040755, nil)
			}
		}
		entry(&out, path.Clean(name), 0o100755, i[name])
	}
	entry(&out, "TRAILER!!!", 0, nil)
	return out.Bytes()
}

// entry appends one file or folder; name and data are padded to four bytes.
func entry(out *bytes.Buffer, name string, mode int, data []byte) {
	name = strings.TrimPrefix(name, "/")
	const inode, owner, group, links, time, device = 0, 0, 0, 1, 0, 0
	fmt.Fprintf(out, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", inode, mode, owner, group, links, time,
		len(data), device, device, device, device, len(name)+1, 0)
	out.WriteString(name)
	out.WriteByte(0)
	pad(out)
	out.Write(data)
	pad(out)
}

func pad(out *bytes.Buffer) {
	for out.Len()%4 != 0 {
		out.WriteByte(0)
	}
}
