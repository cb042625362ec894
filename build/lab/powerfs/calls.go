package powerfs

import (
	"os"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// calls answers the kernel. Nothing is cached by name or attribute (all
// timeouts are zero): the tests' files are few, and what they see is true.
type calls struct {
	fuse.RawFileSystem // ENOSYS for the rest
	d                  *Disk

	// Guarded by d.mu.
	open    map[uint64]*node    // by file handle; an unlinked file lives on here
	lists   map[uint64][]string // by directory handle: the names when it was opened
	handles uint64
}

func newCalls(d *Disk) *calls {
	return &calls{
		RawFileSystem: fuse.NewDefaultRawFileSystem(),
		d:             d,
		open:          map[uint64]*node{},
		lists:         map[uint64][]string{},
	}
}

func (c *calls) String() string { return "powerfs" }

func (c *calls) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	n, err := c.d.lookup(h.NodeId, name)
	if err == 0 {
		entry(n, out)
	}
	return fuse.Status(err)
}

func (c *calls) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	n := c.node(in.NodeId)
	if n == nil {
		return fuse.Status(syscall.ESTALE)
	}
	attr(n, &out.Attr)
	return fuse.OK
}

func (c *calls) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	n := c.node(in.NodeId)
	if n == nil {
		return fuse.Status(syscall.ESTALE)
	}
	if size, ok := in.GetSize(); ok {
		if err := c.d.truncate(n, int64(size)); err != 0 {
			return fuse.Status(err)
		}
	}
	if mode, ok := in.GetMode(); ok {
		n.mode = n.mode&syscall.S_IFMT | mode&0o7777
	}
	if t, ok := in.GetMTime(); ok {
		n.mtime = t
	}
	attr(n, &out.Attr)
	return fuse.OK
}

func (c *calls) Mkdir(_ <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	n, err := c.d.create(in.NodeId, name, syscall.S_IFDIR|in.Mode&0o7777)
	if err == 0 {
		entry(n, out)
	}
	return fuse.Status(err)
}

func (c *calls) Unlink(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	return fuse.Status(c.d.remove(h.NodeId, name, false))
}

func (c *calls) Rmdir(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	return fuse.Status(c.d.remove(h.NodeId, name, true))
}

func (c *calls) Rename(_ <-chan struct{}, in *fuse.RenameIn, name, newName string) fuse.Status {
	if in.Flags != 0 {
		return fuse.EINVAL // no exchange, no whiteout: nobody here uses them
	}
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	return fuse.Status(c.d.rename(in.NodeId, name, in.Newdir, newName))
}

func (c *calls) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	n, err := c.d.create(in.NodeId, name, syscall.S_IFREG|in.Mode&0o7777)
	if err == syscall.EEXIST && in.Flags&syscall.O_EXCL == 0 {
		n, err = c.d.lookup(in.NodeId, name)
	}
	if err != 0 {
		return fuse.Status(err)
	}
	entry(n, &out.EntryOut)
	out.Fh = c.handle(n)
	return fuse.OK
}

func (c *calls) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	n := c.node(in.NodeId)
	if n == nil {
		return fuse.Status(syscall.ESTALE)
	}
	if in.Flags&syscall.O_TRUNC != 0 {
		if err := c.d.truncate(n, 0); err != 0 {
			return fuse.Status(err)
		}
	}
	out.Fh = c.handle(n)
	return fuse.OK
}

func (c *calls) Release(_ <-chan struct{}, in *fuse.ReleaseIn) {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	c.release(in.Fh)
}

func (c *calls) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	n := c.open[in.Fh]
	if n == nil {
		return nil, fuse.EBADF
	}
	if err := c.d.allow(Read, 0); err != 0 {
		return nil, fuse.Status(err)
	}
	if in.Offset >= uint64(len(n.data)) {
		return fuse.ReadResultData(nil), fuse.OK
	}
	return fuse.ReadResultData(buf[:copy(buf, n.data[in.Offset:])]), fuse.OK
}

func (c *calls) Write(_ <-chan struct{}, in *fuse.WriteIn, b []byte) (uint32, fuse.Status) {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	n := c.open[in.Fh]
	if n == nil {
		return 0, fuse.EBADF
	}
	if err := c.d.write(n, int64(in.Offset), b); err != 0 {
		return 0, fuse.Status(err)
	}
	return uint32(len(b)), fuse.OK
}

func (c *calls) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status { return c.sync(in.NodeId) }

func (c *calls) FsyncDir(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status { return c.sync(in.NodeId) }

func (c *calls) sync(id uint64) fuse.Status {
	c.d.mu.Lock()
	delay := c.d.delay
	c.d.mu.Unlock()
	time.Sleep(delay)
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	n := c.node(id)
	if n == nil {
		return fuse.Status(syscall.ESTALE)
	}
	return fuse.Status(c.d.sync(n))
}

func (c *calls) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	n := c.node(in.NodeId)
	if n == nil || !n.dir() {
		return fuse.ENOTDIR
	}
	out.Fh = c.handle(n)
	c.lists[out.Fh] = n.sorted()
	return fuse.OK
}

func (c *calls) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	dir, names := c.open[in.Fh], c.lists[in.Fh]
	if dir == nil || in.Offset > uint64(len(names)) {
		return fuse.EBADF
	}
	for i, name := range names[in.Offset:] {
		e := fuse.DirEntry{Name: name, Off: in.Offset + uint64(i) + 1}
		n := dir.names[name]
		if n == nil {
			continue // removed since
		}
		e.Ino, e.Mode = n.id, n.mode
		if !out.AddDirEntry(e) {
			break
		}
	}
	return fuse.OK
}

func (c *calls) ReleaseDir(in *fuse.ReleaseIn) {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	c.release(in.Fh)
}

// StatFs tells of much room: how full a disk is, tmpfs tests better.
func (c *calls) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	const block, blocks = 4096, 1 << 20
	*out = fuse.StatfsOut{Bsize: block, Frsize: block, Blocks: blocks, Bfree: blocks, Bavail: blocks, Files: blocks, Ffree: blocks, NameLen: 255}
	return fuse.OK
}

// node returns the node with the id, also an unlinked one that is open.
func (c *calls) node(id uint64) *node { return c.d.nodes[id] }

func (c *calls) handle(n *node) uint64 {
	c.handles++
	c.open[c.handles] = n
	n.opens++
	return c.handles
}

func (c *calls) release(handle uint64) {
	if n := c.open[handle]; n != nil {
		n.opens--
	}
	delete(c.open, handle)
	delete(c.lists, handle)
}

func entry(n *node, out *fuse.EntryOut) {
	out.NodeId = n.id
	attr(n, &out.Attr)
}

func attr(n *node, out *fuse.Attr) {
	size := uint64(len(n.data))
	*out = fuse.Attr{
		Ino: n.id, Mode: n.mode, Nlink: 1, Size: size, Blocks: (size + 511) / 512, Blksize: 4096,
		Owner: fuse.Owner{Uid: uint32(os.Getuid()), Gid: uint32(os.Getgid())},
	}
	out.SetTimes(&n.mtime, &n.mtime, &n.mtime)
}
