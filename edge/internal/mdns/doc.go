// Package mdns tells a home's network a host name and services: Multicast DNS
// (RFC 6762) and DNS-SD (RFC 6763), as far as one who only answers needs it.
//
//	       start, new link         nobody objects           twice, a second apart
//	       ------------> probing ------------------> announcing -----> answering
//	                       ^  |  three times, 250 ms                      |
//	tidegate-2, name (2)   |  | taken                                     | another one
//	                       +--+<------------------------------------------+ has the name
//
// It shares port 5353 with Avahi, systemd-resolved and others: its sockets are
// bound to the groups, so that what is sent to this machine alone goes on to
// reach them. A name that another program of this machine tells is left to that;
// the services then point at it.
//
// Every link that is up, has addresses and can multicast is served, each with the
// addresses that it has; links and addresses may come and go.
//
// # Caveats
//
// A question in several packets is answered as if each were a whole one. Reverse
// names are not told: they belong to the host.
package mdns
