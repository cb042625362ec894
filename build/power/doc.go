// Package power is a disk whose power can be cut under a whole machine, so that
// the gateway's promises can be tried on a real kernel and a real file system.
//
//	gateway, bbolt ... fsync
//	ext4, journal ........ flush        the guest, QEMU
//	virtio-blk, write back ... FLUSH
//	------------------------------------------------------
//	Server, NBD on a socket             this process
//	Disk:   write ----> current ---FLUSH, FUA---> durable
//
// A Disk keeps in RAM what was written and not flushed. Cut decides what of that
// survives: nothing, some writes, or some of their sectors, also of later ones
// without earlier ones. What was flushed stays. The order of events in a cut is
// the caller's:
//
//	disk.Off()          // from here on writes and FLUSH fail; OffAfter does it at one of them
//	machine.Kill()      // or a reset of the machine
//	disk.Cut(mode)
//	disk.Save(file)     // what is left, for a look with e2fsck and debugfs
//	disk.On()
//
// QEMU must be told cache=none: then the guest sees a disk with a volatile cache
// ("write back" in /sys/block/vda/queue/write_cache), sends FLUSH where a file
// is synced, and all of them arrive here. With cache=directsync it sees none,
// sends no FLUSH, and every write arrives with FUA: nothing could be lost.
// TestSeam holds both to that.
//
// Caveats: sectors of 512 bytes are whole or old, never garbage; what was
// flushed is never lost, as bad cards lose it (SetLie is such a card, on which
// these tests must fail).
package power
