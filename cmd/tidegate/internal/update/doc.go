// Package update brings new software to a gateway that was installed as an
// image, and brings the old one back when the new one is not well.
//
//	file or URL --> bundle --rauc--> the slot that does not run
//	                                        | start
//	       confirmed <--- healthy ------ on trial --- not healthy, no boot,
//	                                        |         panic: three tries
//	                                        +--------> returned: the old slot
//
// There are two root file systems, slots A and B, read-only, each with its
// kernel. RAUC checks a bundle's signature and writes the slot that does not
// run. U-Boot starts the slot that is next and counts its tries down before
// each (tidegate/internal/slots); a kernel that panics restarts by itself, one
// that hangs once the initrd has loaded the watchdog's driver is reset by it, and
// a slot without tries left is passed over. What the user has, and what waits for the cloud, lies on a
// partition of its own and is not touched.
//
// A slot that was written is on trial until `tidegate update confirm -wait`,
// which runs as a service, has seen the gateway healthy on its status socket,
// without interruption, for a time: the broker listens, every spool is loaded
// and has no trouble, and each uplink that had a link up when the update was
// installed has one again. If that does not happen within a deadline it
// restarts the machine, which costs a try.
//
// # Power cuts
//
// At every moment of an update one slot is whole, confirmed and the one that
// starts. The slot to be written gets no tries first; it gets them, and becomes
// the next one, in one write of one sector after RAUC has written and synced
// all of it. The record in /data/system/update only tells what happened; the
// highest serial of a manifest is in a second file too, and counts though the
// record is damaged.
//
// # Stored forms
//
// A bundle says in its signed manifest which versions of the stored forms
// (edge.db, the spool; tidegate/internal/formats) its software reads. One that
// does not read what is stored is refused, and so is a rollback to such
// software: what waits is never traded for a version. New software on trial
// writes the forms that the other slot reads, and goes on to newer ones at its
// first start after it was confirmed; so the return from a trial keeps
// everything. After that the way back is closed to whoever asks, and if the
// machine must take it all the same, because the newer slot does not start any
// more, the old software leaves what it cannot read untouched in a folder and
// serves the home; the newer one finds it again.
//
// # Commands from outside
//
// With [update] in the configuration the gateway listens on a topic for a
// Manifest, signed with a key of its own. It has no privilege: it checks the
// manifest, hands it to root through a file, and publishes what becomes of it.
// Root checks it again.
//
// # Caveats
//
// The configuration is the user's and stays as it is. A key that only newer
// software knows is an error to the old one, whose gateway then does not start
// after a rollback; take such keys out first.
// A factory reset forgets the highest serial with all else: where the same key is
// configured again, manifests of before count again. Downgrades stay refused.
// While the boot partition cannot be mounted nothing is decided: a trial goes on,
// and each start spends a try.
// An uplink that is away for longer than deadline times tries after an update
// brings the old version back, although nothing is wrong with the new one.
package update
