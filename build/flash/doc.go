// Command flash writes an image of the gateway to an SD card:
//
//	flash [-image FILE] [-files FOLDER] [-yes DEV] [-even DEV] DEV
//
//	flash list -image FILE [-url URL] [-version TEXT] [-o FILE]
//
// The second form writes the list from which Raspberry Pi Imager writes the same
// image.
//
// # What it refuses
//
// Everything that is, or may be, no card in a reader: a partition, a disk that
// is mounted or used in any way (its partitions, swap, LVM, RAID, encryption, the
// running system), that is write-protected, or smaller than the image. A disk is
// taken for a card when the kernel calls it removable, or when it is on USB (some
// readers say that they are not removable) or an SD card at a controller of its
// own, and when it has at most 512 GiB. -even DEV, with the same name again,
// overrides this last rule and no other. While it writes, the kernel lets
// nobody else mount the disk (O_EXCL), which also catches what the other checks
// may have missed.
//
// # What it does
//
// The image is read to its end before the card is touched: a damaged download
// spoils no card. The user's files go into the FAT partition of a copy, after
// `tidegate check`. It is written past the page cache, so that the progress is
// that of the card; the first chunk, with the partition table, comes last, so
// that a card whose writing was interrupted is no half system but an empty card.
// Then all is read back from the card, not from memory, and compared: cards that
// claim more room than they have, and worn-out ones, are found here.
//
// Compressed images go through xz, zstd and gzip, which whoever builds an image
// has; a decoder in Go would be two more modules for a tool of the build.
package main
