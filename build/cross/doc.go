// Package cross holds nothing but a test: the binaries of `make cross` for ARM
// run, on the processors they are for, as far as QEMU's user mode shows it.
package cross
