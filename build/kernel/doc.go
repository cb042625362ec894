// Package kernel boots a Debian arm64 kernel in QEMU with programs of ours and
// nothing else, so that the gateway can be tried on real kernel buses without
// a Pi.
//
//	Fetch ---> Kernel: image, modules (Debian's, and gpio-sim built from its source)
//	Initrd --> a folder in memory: /init (build/kernel/guest), /tidegate, files of the test
//	Boot ----> Machine: QEMU (-M virt, no KVM, one CPU)
//	             Do("load", "gpio-sim")   a verb for /init, answered
//	             Wait("sensor is back")   a line of the console, the gateway's log among them
//
// The guest's verbs are listed in build/kernel/guest. Host and guest talk over
// the one serial console: the kernel is quiet once /init runs, so that nothing
// breaks its lines.
//
// One CPU is a choice: an edge on a simulated line wakes the kernel's handler
// before the program that made the edge goes on, so counts are exact however
// busy the machine is that emulates.
//
// Caveats: nothing here says anything about the electrical side, nor about the
// drivers of the Pi's own controllers.
package kernel
