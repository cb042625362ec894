// Package uplink carries messages from the edge to one MQTT 5 cloud and back,
// over several connections, through the loss of any node.
//
//	Send -> route -> remap -> link by hash of the cloud topic -> spool.Push
//	                                                               |
//	              ticket <- spool.Ack <- PUBACK <- node <- link <- spool.Take
//
//	node -> down link -> loop guard -> route -> remap -> Options.Deliver
//	          PUBACK <- in order of arrival <- ticket settled
//
// # Links and endpoints
//
// A link is an identity, an MQTT client id: "<gateway>-u0", "-u1" and so on
// upwards, "<gateway>-d0" downwards. An endpoint is a place. A cloud topic
// belongs to one up link for ever, so the order of a topic is the order of one
// connection at a time, and a failover moves the link, never the topic. A
// change of the number of links is the exception: the spool then drains what
// it has before it goes on.
//
// An up link connects with clean start: the spool is its memory. What was in
// flight when the connection ended is sent again first, in the same order, with
// new packet ids and without the DUP flag, since the session is new. So a loss
// costs at most one window of duplicates and never the order of first arrivals.
// The down link asks for a session: in a cluster, commands sent while it moved
// are delivered by the node it moved to. On separate brokers (cluster = false)
// a session on one of them would be a trap, and none is asked for.
//
// An endpoint is one address. A host name stands for all of its addresses, an
// SRV name for all of its targets' in the order of their priority; DNS is asked
// when a link begins to look for an endpoint, and on a timer. A failover does not wait for the
// answer: it goes to the next address at once. When the answer changes links
// stay connected, and who connects anew uses the new one. A lookup that fails
// changes nothing. TLS expects a certificate for the configured name, for SRV
// too: the records themselves are not to be trusted.
//
// # States of a link
//
//	            +---------------- every endpoint failed ----------------+
//	            v                                                       |
//	stopped -> connecting -> up <-> slow (late PUBACKs, pings answered) |
//	            ^    |        |                                         |
//	            |    +-- backoff <--------------------------------------+
//	            +------------ lost: the next endpoint at once
//	                          draining (the gateway stops, the configuration
//	                          changed, or the link returns) -> stopped or
//	                          connecting
//
// A link is dead when TCP says so, when no PINGRESP comes to a ping that was
// sent because PUBACKs are late (ack-timeout, more when the round trip is
// long), because the connection was idle, or because another link lost the same
// endpoint. While the kernel still moves what was written before the ping, a
// slow line is not taken for a dead node. A node that answers pings but acknowledges nothing is a slow cloud:
// the link stays, for patience. Which endpoint is next is a pure function: the
// one with the fewest other links of the gateway, then the order of placement.
// The first round through the list is without pause; then each endpoint has
// its own backoff with full jitter, forgiven after a stable spell. When the
// whole cloud was away, the first link that has a connection again ends the
// pauses of the others, so that each still finds a node of its own.
//
// # Return
//
// The links of a gateway have a home each: what placement gives while every
// endpoint is well. A link that is elsewhere, or that shares an endpoint while
// another has two links fewer, is better placed there. That endpoint is looked
// at from below MQTT (TCP, TLS) every few seconds; when it was well for
// stable-after, and by chance up to half as long again so that a fleet does not
// return at once, the link moves, one at a time:
//
//	open the new connection -> stop sending -> all PUBACKs came -> DISCONNECT
//	0x00 on the old one -> CONNECT on the new one -> send
//
// Nothing is sent twice, and the pause is a round trip to each. A link whose
// PUBACKs do not come within drain-timeout stays. One that gets no good CONNACK within
// a second goes back, and the spell of that endpoint doubles, to an hour at
// most, as it does when the link is lost there within the spell. The down link
// leaves when the edge has settled what came; what comes meanwhile is passed by
// and comes again from the session, on the other node. On separate brokers it
// stays: there is no such session.
//
// # Refusals
//
// PUBACK 0x80, 0x83, 0x97 and others that may change: the link waits until
// everything in flight is answered, pauses, sends the refused messages again in
// order, and opens its window slowly. Messages of the same topic that were
// already in flight may have overtaken the refused one by then. 0x87, 0x90,
// 0x95 and 0x99, and what exceeds the cloud's Maximum Packet Size: the spool
// keeps the message among the dead letters and the stream goes on.
//
// # Caveats
//
// MQTT 5 only, over TCP, TLS and WebSocket. QoS 2 crosses as QoS 1
// with the message's id. Server Reference, a canary and presence come later.
package uplink
