// Package bundle makes what a gateway is updated with: a RAUC bundle in the
// verity format, signed, with the root file system of an image.
//
//	image -> slot A -> shrunk to what it holds -> squashfs -> signed
//
// The manifest in it names the machine (tidegate-arm64), the version, and, in
// RAUC's field "build", the versions of the stored forms that the software
// reads: "formats edge=1-1 spool=1-1". Without that a gateway takes no bundle.
//
// The key and its certificate come from whoever releases. Without them there is
// a pair for development, made on demand in the user's data folder, never in
// the repository; an image that is built with the certificate as its keyring
// trusts whoever has that key.
//
// # What was tried
//
// With the tag image (`make image-test`; 40 and 60 minutes beside other work)
// the real image is updated in QEMU, by signed manifests over its broker.
// TestUpdates: a foreign signature and a bundle cut short are refused; a good one
// is confirmed, with the patience that is shipped; a kernel that panics and a
// service that never gets healthy are returned from after three tries. TestPowerCuts
// takes the power away at 20 writes and flushes, twelve while the slot is written
// and eight in the trial, of which a cut leaves nothing, whole writes or sectors:
// after each the old slot runs with the update failed, or the new one, confirmed.
// In all of them a retained message stays, and what waited for the cloud comes.
package bundle
