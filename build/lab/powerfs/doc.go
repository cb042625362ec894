// Package powerfs is a file system whose power can be cut. It keeps
// everything in memory and mounts through FUSE, so that any program, bbolt
// with its memory map and its lock among them, runs on it unchanged.
//
// A Disk holds two views. The current one is what programs read. The durable
// one is what a power cut leaves for certain, and POSIX promises little of it:
// a file's bytes and length after fsync or fdatasync of the file, a name
// (create, mkdir, rename, unlink) after fsync of its directory. Ext4 is kinder
// in practice; who relies on that relies on luck.
//
//	write, truncate ----> file: current ----fsync file----> file: durable
//	create, rename, ... > names: current ---fsync dir-----> names: durable
//
// The order of events in a power cut is the caller's:
//
//	disk.Off()        // the lights go out: from here on nothing has an effect
//	process.Kill()    // who used it must be gone before Unmount
//	mount.Unmount()
//	disk.Cut(mode)    // the power is back; decides what of the unsynced survived
//	powerfs.Mount(disk, dir)
//
// Between Off and Kill changes return EIO, so that no promise given in that
// moment can rest on them.
//
// A program that maps a file must not live in the process that serves the
// mount: its page fault blocks a thread without the Go scheduler knowing, and
// the two wait for each other.
package powerfs
