// Package rawio reads and writes sockets without telling Go's scheduler.
//
// Read and Write are syscall.Read and syscall.Write for a descriptor that never
// blocks. For a few bytes it costs more than the call itself to announce it (28
// to 34 % of the broker's CPU time at low rates, 15 % of the gateway's flat
// out, measured in turns with and without). The price is that the goroutine
// keeps its processor during the call, which the kernel's socket buffers bound
// to well under a millisecond.
package rawio
