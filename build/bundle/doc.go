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
package bundle
