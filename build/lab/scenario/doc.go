// Package scenario breaks the world around a real gateway, one way at a time,
// and holds it to its promises.
//
//	devices --> gateway ==lanes with faults==> node  <-- account
//	 (lab)      (its own                       node      (lab)
//	            host)                          node  each on a host of its own
//
// Every scenario has devices that publish all the time, a break, a heal, and
// one row: when the gateway showed that it knew (its log, its status), when
// every topic carried something published after the break (or, when nothing
// could, after the heal), when nothing waited any more, and the account: what
// was acknowledged to devices against what arrived in the cloud.
//
// The gateway's presence is part of it: in the end somebody in the cloud who
// listened, and somebody who comes late, must know where the links are.
//
// The account and the devices are no part of what is broken: their lanes are
// always good. A stand-in node's record of what it accepted is the account
// there; on real brokers it is a subscriber: one on each of separate brokers,
// one on the first node of a cluster, which is never the one that is broken.
package scenario
