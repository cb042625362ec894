// Package card keeps a daily account of what is written to the card: by the
// gateway, and by everything on the machine.
//
//	/sys/block/DISK/stat, /proc/uptime --+
//	bytes of the wear budget ------------+--> Account --> Stats; once a day a message
//	                                     |
//	                  card-account <-----+ 4 times a day, 4 KiB in place
//
// The disk is that below the data directory (internal/disk, which the board's
// sensor asks too). The kernel counts sectors per boot; the account adds up over
// boots and restarts.
//
// # Days without a clock
//
// A Pi has no clock of its own, so a day of the account is 24 hours in which the
// machine was on, from /proc/uptime, whatever the time of day: the seconds of
// several boots add up to one. Both counters, seconds and sectors, begin at each
// boot; the boot id tells whether they did since they were last looked at. A
// clock that jumps changes nothing.
//
// # What it costs and what it may miss
//
// Four writes a day into one of two pages, in turn, in place: a torn write
// leaves the other. A power cut takes what was not stored, up to six hours of
// it, bytes and seconds alike: what was written in a day stays right, the total
// becomes too small. An account that cannot be read begins anew.
//
// Sectors are what the kernel gave to the card. What the card makes of them
// inside is known to its maker.
package card
