// Package uplink carries messages from the edge to one MQTT 5 cloud and back,
// over several connections, through the loss of any node.
//
//	Send -> route -> remap -> link by hash of the cloud topic -> spool.Push
//	                                                               |
//	              ticket <- spool.Ack <- PUBACK <- node <- link <- spool.Take
//
//	node -> down link -> loop guard -> route -> remap -> early -> Options.Deliver
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
// when a link begins to look for an endpoint, and on a timer. A failover does
// not wait for the answer: it goes to the next address at once. When the answer
// changes links stay connected, and who connects anew uses the new one. A
// lookup that fails changes nothing. TLS expects a certificate for the
// configured name, for SRV too: the records themselves are not to be trusted.
//
// # Commands
//
// A command is acknowledged to the cloud when every device it is for has
// acknowledged it or has it waiting in its session, many at a time, in the order
// in which they came [MQTT-4.6.0-2]. So what is not acknowledged delays what
// came later, once down-in-flight commands wait, or as many as the cloud hands
// out at once: RabbitMQ 10 (mqtt.prefetch), Mosquitto 20
// (max_inflight_messages). Raise these for many commands a second. A device that
// is connected and does not answer counts as away after edge.limits.stall-after,
// and nobody waits for it any more until it answers in time again. A full queue
// turns a command away: PUBACK 0x97, and a count in the edge.
//
// Nothing waits but the acknowledgement: the reader hands over what comes as it
// comes. Memory is bounded by the limits of sessions. A cloud that sends more
// than the Receive Maximum is told of and borne, since Mosquitto 2.0.11 does; the
// limits of sessions hold for what it sends.
//
// While the gateway is away the cloud's session keeps commands. After a start
// they come at once, before devices are back, whose sessions went with the
// process: a command that nobody subscribes to waits, unacknowledged, and
// those of its topic behind it, until somebody does, wait-for-devices is over,
// or 4 MiB wait.
// Before a stop (HoldCommands) and before a link moves, further commands stay
// with the cloud and those that the edge has are waited for: they come once.
// After kill -9 or the loss of a node, what was not acknowledged comes again.
//
// When the cloud had a session and has none after a move, the log says so and
// Stats.Missed counts it. Separate brokers keep no session: commands come from
// the one broker that the link is on, and from the new subscription on nothing
// is lost. To hear of commands on each of several brokers, make each an
// [[uplink]] of its own.
//
// What came down goes up nowhere, whatever the routes say, not even to another
// uplink: a gateway is no bridge between clouds, and two clouds with overlapping
// routes would send a command round for ever. What comes back to the gateway
// with its own id, over whichever cloud, is dropped (loop-guard).
//
// # One client id
//
// With single-client one link, called exactly client-id, does both. It has a
// session, for the commands; upwards it works as an up link does, and sends what
// was in flight again with new packet ids: at QoS 1 the receiver keeps nothing
// that the old ones would matter to. PUBLISH and SUBSCRIBE, which share the
// space of packet ids then, take theirs from different ranges. The directions
// have a goroutine each, and neither waits for the other but on the wire.
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
// A link is dead when TCP says so, when PUBACKs are late (ack-timeout, more
// when the round trip is long) and a ping that was sent when half of that time
// was over has no PINGRESP either, when no PINGRESP comes because the connection
// was idle, or because another link lost the same endpoint. With traffic in
// flight and the default settings that is 1.3 s after the last sign of life. The
// round trip is known from the handshake on, only time in which this process
// ran counts, and while the kernel still moves what was written before the ping,
// a slow line is not taken for a dead node. When the links elsewhere are late
// too it is more likely the way to all of them, and the wait is four times as
// long. A node that answers pings but acknowledges nothing is a slow cloud:
// the link stays, for patience. Any byte answers a ping, so that a slow line is
// not taken for a dead node, but a packet that has begun must be whole within
// patience and a second for each of its KiB. A shorter keepalive of the cloud is
// obeyed; a longer one changes nothing. Which endpoint is next is a pure function: the
// one with the fewest other links of the gateway, then the order of placement.
// The first round through the list is without pause; then each endpoint has
// its own backoff with full jitter. A connection forgives a failure for each
// second that it lasts; after a stable one the same endpoint, which may be a
// load balancer, is dialled at once. When the whole cloud was away, the first
// link that has a connection again ends the pauses of the others, so that each
// still finds a node of its own.
//
// # Placement
//
// Where a link belongs is a pure function of the gateway's id, the link and the
// list. The links of a gateway sit on distinct endpoints while there are enough;
// only then the placement decides. It spreads a fleet no worse than chance, when
// a node dies its links alone move, to all the others alike, and weighted shares
// are as the weights say although links sit apart. PLACEMENT.md shows it for
// 10,000 gateways, and what a cluster sees when it comes back: full jitter,
// whose pauses grow with the number of endpoints beyond three so that the tries
// of a link do not. The loss of one node is answered at once, without jitter.
//
// # Faults
//
// What keeps a link from being up has a name for programs (LinkStats.Fault, and
// a counter for each in LinkStats.Faults) beside the words of LinkStats.Cause:
//
//	killed node                    closed
//	half-open connection           half-open: the kernel sends in vain
//	stopped process                silent: the kernel's data is taken, nobody answers
//	answers pings only             slow, and after patience stuck
//	no longer routes               not-routing
//	wrong credentials              credentials (0x86), not-authorized (0x87)
//	certificate of the cloud       certificate-expired, certificate-unknown
//	certificate of the gateway     own-certificate
//	load balancer without a node   no-node: closed before CONNACK; no-connack: not answered
//	network                        refused, unreachable, timeout, dns
//
// and more, see Fault. The log has one line when a link is lost and one when it
// is up; one for each endpoint that cannot be reached, however many links try it
// however often, and one when it can be reached again, with the count.
//
// # Canary
//
// In a cluster of several endpoints a small QoS 0 message with a short expiry
// goes up each up link (canary-every) and comes back on the down link. A pair of
// nodes counts after one came through it; two missing in a row speak against
// the pair. Of the nodes that could be to blame the one that explains all that
// is seen is left, and is the last choice for a minute, doubling to half an
// hour. When two explain it equally well the links stay and say so. Nobody is
// judged by links that moved meanwhile or are slow, nor while canaries may wait
// behind commands, in the session's queue in the cloud. Canaries do not hold up the
// pings of an idle connection: an up link reads nothing of them, the down link
// writes nothing. What a node took and acknowledged before it was found out is
// not sent again.
//
// # Presence
//
// A retained message on PREFIX/status says that the gateway lives, as JSON (type
// statement; the sample configuration shows one). Nothing of it touches the
// spool or the disk.
//
//	CONNECT of -d0, with the will -> SUBSCRIBE -> birth
//	links change: again, after half a second of calm, each 10 s, and three at once
//	drops change: again, at most every minute
//	something else is heard there: again, in half a second, longer each time
//	stop: "offline", waits for its PUBACK, DISCONNECT 0x00
//
// In a cluster the will waits for offline-after, so that a failover, which takes
// the session over, leaves no false word. Separate brokers speak the will at
// once, each for itself: -d0 sits on one of them, and the retained word on the
// others is that of the connection before. Epoch and number tell which statement
// is the latest; a will has the last of its connection's numbers, and so is later
// than all that was said on it. RabbitMQ retains on each node for itself: who
// comes later, to a node where -d0 never was, is told with the next statement. And
// it retains no will that has a delay: who is there hears it, who comes later finds
// the statement before it.
// A cloud that refuses the CONNECT for its will (0x87, 0x9A, 0x9B) gets one
// without it, or without what it lacks: commands matter more. It is asked again,
// as after a statement refused with 0x87, at pauses that double from thirty
// times reconnect-max to an hour: with a statement on the connection that is
// there, and with the next CONNECT for the will. One that ends
// the connection when something is published there gets no more for a while.
// Messages on the gateway's own topics reach devices only over a down route that
// matches the status topic; canaries never.
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
// PUBACK 0x87, 0x90, 0x95 and 0x99, and what exceeds the cloud's Maximum Packet
// Size: the spool keeps the message among the dead letters and the stream goes
// on. 0x80, 0x83, 0x97 and others that may change: the message waits and tries
// again, longer each time up to pause-for; later ones of its topic wait behind
// it in the spool, other topics go on. Those of the topic that were already in
// flight may have overtaken it by then.
//
// Either kind, pause-after times in a row without an acknowledgement in between,
// pauses the up route: a mistake in the cloud's permissions does not empty the
// spool into the dead letters. The route's messages stay in the spool, in order,
// while other routes of the same stream go on; now and then one may try, of
// another topic each time, and an acknowledgement of any opens the route.
//
//	open -- pause-after refusals in a row --> paused --> one tries --+
//	  ^                                         ^                    |
//	  |                                         +----- refused ------+
//	  +------------------ acknowledged ------------------------------+
//
// # Redirections
//
// 0x9C Use Another Server and 0x9D Server Moved, in CONNACK or DISCONNECT, take
// the link to the first server of the Server Reference that can be reached: a
// host of endpoints or redirect-to, by the same scheme, never without TLS when
// the sender had it, three in a row at most. It stays for redirect-for, after
// 0x9D until that connection ends, then goes back to the list. The sender is
// avoided for redirect-for. Without a server to go to the link goes on through
// the list. What was in flight is sent again as after any loss; what the node
// acknowledged before it left is read first. (No broker at hand sends these:
// tried against a scripted server.)
//
// # Probe
//
// Probe goes the way of a link to each endpoint, one step after the other, with
// the same dialling and the same words, and says where it ends and what a person
// can do. It connects as CLIENT-test, with a clean session, so that the links
// stay; where a cloud knows one client id only it asks first. When an answer is
// not MQTT 5 it looks again: for HTTP, TLS, MQTT without TLS, MQTT 3.1.1; those
// looks show neither user nor password.
//
// # Caveats
//
// MQTT 5 only, over TCP, TLS and WebSocket, through HTTP proxies that know
// CONNECT. QoS 2 crosses as QoS 1 with the message's id.
//
// A failover dials from the last answer of DNS: an address that has just
// vanished may be dialled once more before the new answer is there. A DNS that
// gives another part of a large set each time makes endpoints come and go;
// links stay where they are. A proxy finds hosts by name, so all addresses of a
// name are one endpoint there.
//
// Renewed certificates are noticed within seconds. The first link that the
// cloud refuses with them keeps trying, and the others keep their connections
// until it succeeds. A changed password is used by the next connection.
//
// rate-limit holds messages back, nothing else: one large message leaves at
// once and is paid for afterwards, and commands that come down count but do not
// wait. What waits longer than spill-after is written to disk.
package uplink
