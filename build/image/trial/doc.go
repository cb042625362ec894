// Package trial boots whole cards: the image as it is flashed, from U-Boot to
// the gateway's broker, on QEMU's virt and raspi3b. All of it has the tag image:
//
//	make image-test
//
// A card is a copy of the image, as large as a card to be bought; files for its
// boot partition are put there by mtools, as a user does with his computer. The
// machine is watched from outside only: its console, its ports through QEMU's
// user-mode network, the writes to its card as QEMU counts them, and what is on
// the card afterwards.
//
// Caveats: the Pi's closed first stages do not run, the times are an emulator's,
// and raspi3b has neither Wi-Fi nor the wired network of a Pi 3 (a USB one
// stands in).
package trial
