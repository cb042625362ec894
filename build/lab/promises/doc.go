// Package promises has no code but its tests: each breaks the world for one of
// the gateway's promises and lets an account decide that knows nothing from
// the gateway itself. Publishers write down what was acknowledged to them; the
// cloud's nodes, or a subscriber that followed the cluster, what arrived.
//
//	devices ---> gateway ---> proxy ---> node   one proxy for each of three nodes
//	   |            |           |          |
//	   |         data dir    cut, stall   kill, stop
//	   |        (power cuts,                |
//	   |         full, EIO)                 v
//	acked <------- ledger: lost, order ----- arrived
//
//	lost      acknowledged to the device, never arrived: must be 0
//	disorder  first arrivals of a topic out of order: must be 0
//
// go test runs each for a while; -soak twenty times as long.
package promises
