// Package edge is the broker that home devices connect to.
//
// It speaks MQTT 3.1, 3.1.1 and 5 over TCP, TLS, unix sockets, WebSocket and
// secure WebSocket. The control plane (CONNECT,
// SUBSCRIBE, DISCONNECT and their answers) uses mochi's packet codec; the
// message plane, from a PUBLISH read to the bytes written to each subscriber,
// is the package's own.
//
//	device --PUBLISH--> frames -> publish -> route -> deliver --> session -> conn --> device
//	                                  |                  (QoS 1, 2: outbox)
//	                                  +-> retained (trie, edge.db)
//	                                  +-> Options.Forward(message, ticket)
//	device <--PUBACK, PUBREC-- conn <- session.Settle <- the ticket is settled
//
// # Promises
//
// A message that the uplink took is acknowledged to its device only when the
// ticket is settled. Local delivery waits neither for that nor for a disk.
//
// A slow subscriber is waited for while it makes progress; one that makes none
// is waited for by nobody: its QoS 1 and 2 messages stay in its session, within
// limits, its QoS 0 messages are dropped and counted, and after the write
// timeout its connection is cut.
//
// Commands from the cloud wait for nobody: what one client does not take is
// queued for it or dropped there. A client that leaves a command unacknowledged
// for the stall time has its ticket settled, as if it were away.
//
// Other parts of the gateway see messages through Watch. What they do not take
// in time is dropped, the oldest first: they hold nobody up.
//
// A shared subscription's messages go in turn to the members that are connected,
// rather not to one whose queue is long. What was not yet sent to a member that
// leaves moves to the others; what was sent stays in its session, and moves only
// at QoS 1 and when that ends.
//
// The home's network is told of the broker by mDNS, under tidegate.local or, when
// another gateway has that, tidegate-2.local (edge/internal/mdns).
//
// Every statement of MQTT 5 and 3.1.1 that a broker can break has a test, or a
// reason why not, in edge/conformance.
//
// QoS 2 is exactly once in both directions, across connections, takeovers and
// clean stops; after a crash it is at least once.
//
// Sessions with an expiry, their subscriptions and queues, and retained messages
// are in edge.db too. After a clean stop all of it is there, with what is in
// flight. After a power cut what came after the last commit is missing: at most
// sync-interval and the time that a commit takes; of messages to clients that
// were connected two seconds more, which they have to acknowledge them: a QoS 1
// message between devices is acknowledged when it is in the queues in RAM. A
// message that the uplink took is safe whatever happens to this file.
//
// Nothing is done for that while a message passes. Each interval the sessions
// are compared with the file; a message acknowledged by then is never written.
//
// A stop publishes no wills, but puts them off until the restart, as MQTT lets it
// [MQTT 5, 3.1.2.5]: those of clients that were connected are on disk, sessions or
// none, from five minutes after they came, and after a clean stop in any case. A
// device that comes and goes costs two commits in five minutes at most by that, and
// one that stays one. A will that waits for its delay is kept with its session, and
// goes on with what was left at the last commit.
//
// The time of a session runs while its client is away, on disk from a tenth of its
// expiry on: a device that comes and goes costs no commits by it. At a start sessions
// are judged by the permissions that hold then. For one client that is away the card
// is given, at a sync-interval of 1m and 100 bytes a message, 1.1 MB an hour at one
// message a minute, 2.1 MB at one a second and 9.3 MB at ten (BenchmarkQueueWear).
//
// Times are monotonic: a clock that jumps expires nothing.
//
// # Goroutines
//
// Each connection has one goroutine, which reads, and does all that a packet
// brings about up to appending bytes to the buffers of other connections. When
// it has nothing more to read it writes these out, without ever blocking; what
// a socket does not take is left to a goroutine that lives until that
// connection is drained. Idle connections hold neither buffers nor a second
// goroutine.
//
// A WebSocket is no layer of its own but two steps on the way: what is read is
// unmasked in the reader's buffer, and what waits to be written gets its frame
// headers when a writer takes it. So all that is said here holds for it too, and
// an idle one costs as little.
//
// # Locks
//
// In this order: Broker.changing, seat.attach, Broker.mu, Broker.retaining, session.mu, conn.mu.
// The trie's, the route cache's and a watcher's locks are taken last, and never
// around another. Nothing blocks and no callback runs under session.mu or conn.mu.
// Under Broker.retaining only Forward is called, which publishes nothing itself.
//
// # Memory
//
// What clients can make the broker hold is bounded by limits.memory, retained
// messages by limits.retained-bytes, queues by session.all-queue-bytes. Go's
// collector may have twice their sum resident, less when that nears half of the
// RAM; a connection takes some 10 KB besides (over TLS some 30 KB more), and the
// program 12 MB. What exceeds a limit is answered with Quota exceeded, waits, or
// is dropped and counted.
//
// # Caveats
//
// Overlapping subscriptions of one client make one delivery, with the highest
// QoS and all identifiers. When a queue is full the newest message is dropped,
// or by policy the oldest that was not sent yet; the newest again once a client
// has left something unacknowledged while 32768 others were dropped.
// A message queued for several sessions is
// stored for each. Of sessions in a damaged edge.db come back those that its tree
// still leads to; of retained messages all that can be read. After a crash a
// message can be taken for a duplicate at QoS 2 by a client that still holds the
// packet id of one sent to it after the last commit.
// A message that moves to another member of a shared subscription comes after
// those that this one has already.
// A Message Expiry Interval of 0 counts as 1, and is sent on as 1, where
// [MQTT-3.3.2-6] has 0: it goes to who is there or is back within the second.
// What was sent once is sent again until it is acknowledged, however old
// [MQTT-4.3.3-7], with 1 second left.
// There is no enhanced authentication: a CONNECT that asks for one is refused with
// 0x8C. A client whose Maximum Packet Size is too small for its CONNACK or SUBACK
// is disconnected with 0x95. No reason strings are sent.
// A client that the gateway itself has cut off takes its will back when it returns
// within session.will-grace of the restart, where [MQTT-3.1.2-8] knows only the
// will's own delay: it has not failed, and an update need not tell of hundreds of
// devices that they are offline. With a grace of 0 all wills are published at the
// start. A client whose DISCONNECT came after the last commit before a power cut
// has to return, too, and one that came in the last five minutes before it has no
// will.
package edge
