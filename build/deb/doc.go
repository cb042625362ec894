// Command deb makes the Debian packages of the gateway from the binaries of
// `make cross`:
//
//	dist/tidegate-linux-arm64 ---> dist/tidegate_VERSION_arm64.deb
//	dist/tidegate-linux-arm6  ---> dist/tidegate_VERSION_armhf.deb   Pi Zero and 1, too
//	dist/tidegate-linux-amd64 ---> dist/tidegate_VERSION_amd64.deb
//
// A package is a table of files (contents.go), laid out in a folder with the
// modes and the time of the table and packed by dpkg-deb. Nothing else goes in:
// no clock, no umask, no user, no folder names; so the same source, Go and dpkg
// give the same bytes. dpkg-deb, because whoever has a Debian has it, it is what
// Debian's own packages are made with, and a library that does the same brings
// dozens of modules.
//
// What could go stale is generated: the default configuration is `tidegate
// sample`, the manual pages and the completions come from `tidegate help`, the
// list of licences from the modules that the linker put into the binary.
//
// Of the units in systemd/ the package has tidegate.service. The others belong
// to the image: they know its partitions.
package main
