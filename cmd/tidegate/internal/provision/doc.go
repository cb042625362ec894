// Package provision makes a gateway out of an image and of the files that a
// person put on the boot partition, which every computer can read and write. It
// runs as root at every boot, before the network and before the gateway:
//
//	boot partition (FAT)               data partition
//	  tidegate.toml    --check----->     config/     /etc/tidegate of the gateway
//	  *.pem, *.key,    --inbox----->       |
//	  cloud-password                     identity/   id, CA, server certificate, users, SSH host key
//	  wifi.txt         --hash------>     system/     wifi, authorized_keys, hostname, the inbox
//	  devices.txt      --hash------>     tidegate/   state of the gateway
//	  tidegate-report.txt <-- what was found, what to do
//
// # Promises
//
// A bad file never replaces a good one: the gateway starts with the last good
// configuration, else with the one of the image.
//
// Power may be cut at any moment. Every file appears whole or not at all, a
// configuration of several files appears together (Commit), and a run after the
// cut ends as one that was not cut: no secret is lost, none stays on the boot
// partition.
//
// A secret leaves the boot partition only after it is on disk on the data
// partition; then it is overwritten, as far as an SD card overwrites at all: a
// card may keep old blocks where only its maker finds them. On a data partition
// that keeps nothing, secrets stay where they are and the report says so.
//
// Nothing stops the boot. What cannot be done becomes a line of the report and a
// blink code of the LED (see Codes).
//
// # No clock
//
// The time at boot is a lower bound of the real one. What it proves is used (a
// certificate that has ended by it has ended), what it does not is left alone.
//
// # Randomness
//
// Keys, the id and passwords come from crypto/rand, which asks getrandom(2): that
// waits until the kernel's pool has been filled once.
package provision
