// Package network makes a network of the lab's own, whose ways lose, delay,
// narrow and swallow IP packets, below TCP and each direction by itself.
//
//	+--- network namespace ---+         +--- network namespace ---+
//	| gateway        10.77.0.2|         | node           10.77.0.3|
//	|      TUN "lab"          |         |      TUN "lab"          |
//	+---------|---------------+         +---------|---------------+
//	          |      lane gateway -> node: Fault  |
//	          +==================================>+
//	          +<==================================+
//	                 lane node -> gateway: Fault
//
// Each host is a network namespace with a TUN device. This process holds the
// other ends of the devices and passes packets between them, over one lane for
// each ordered pair of hosts: a switch, and with it all that a kernel without
// netem lacks. A lane keeps the order of its packets.
//
// Nothing of it touches the machine's network, and nothing stays behind: Enter
// runs the program again in network, mount and process namespaces of its own,
// namespaces have no names, and whatever runs in them ends when that program
// does, however it ends. It needs root and /dev/net/tun.
package network
