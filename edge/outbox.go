package edge

// The states of a delivery.
const (
	isWaiting  = iota // not sent yet
	isSent            // PUBLISH sent; waits for PUBACK or PUBREC
	isReleased        // PUBREL sent; waits for PUBCOMP
	isOver            // nothing more to do; keeps its packet id until it is first
)

// delivery is one QoS 1 or 2 message on its way to a client.
type delivery struct {
	m      *Message // nil once released or over
	f      *form
	w      *waiter // only while sent or released
	qos    byte
	retain bool
	state  byte
}

// outbox holds the deliveries of a session in the order of sending: first
// those in flight, then those that wait. Packet ids run on from the first, so
// that the place of a delivery follows from its id, and nothing is searched.
//
//	first            again           gone             n
//	  | in flight      | in flight     | waiting       |
//	  | on this conn   | on an earlier | for the first |
//	  |                | one: to be    | sending       |
//	  |                | sent again    |               |
type outbox struct {
	ring   []delivery // length is a power of two
	head   int        // place of the first
	n      int        // deliveries held
	gone   int        // of these, from the first: sent at least once, or over
	again  int        // of these, from the first: sent on this connection, or over
	flying int        // of these, in flight on this connection
	first  uint16     // packet id of the first, less one
	base   uint64     // position of the first: how many deliveries came before it
	held   int64      // bytes of those sent at least once
	queued int64      // bytes of those that wait
}

// maxSpan bounds the ids between the oldest delivery in flight and the newest:
// a client that never acknowledges one message cannot make us remember more.
const maxSpan = 1 << 15

const packetIDs = 65535

// keptRing is the longest ring an empty outbox keeps, in deliveries.
const keptRing = 1024

func (o *outbox) at(i int) *delivery { return &o.ring[(o.head+i)&(len(o.ring)-1)] }

// id returns the packet id of delivery i: 1 to 65535.
func (o *outbox) id(i int) uint16 { return uint16((int(o.first)+i)%packetIDs) + 1 }

// find returns the delivery in flight with a packet id, or nil.
func (o *outbox) find(id uint16) *delivery {
	i := (int(id) - 1 - int(o.first) + packetIDs) % packetIDs
	if i >= o.again {
		return nil
	}
	return o.at(i)
}

// add appends a delivery that waits.
func (o *outbox) add(d delivery) {
	if o.n == len(o.ring) {
		o.grow()
	}
	o.n++
	*o.at(o.n - 1) = d
}

func (o *outbox) grow() {
	bigger := make([]delivery, max(8, 2*len(o.ring)))
	for i := range o.n {
		bigger[i] = *o.at(i)
	}
	o.ring, o.head = bigger, 0
}

// waiting returns how many wait to be sent.
func (o *outbox) waiting() int { return o.n - o.gone }

// drop lets go of the message of a delivery that was sent.
func (o *outbox) drop(d *delivery) {
	if d.m != nil {
		o.held -= queuedSize(d.m)
		d.m = nil
	}
}

// finish ends a delivery that was sent and gives up the ids that are free now.
func (o *outbox) finish(d *delivery) {
	o.drop(d)
	*d = delivery{state: isOver}
	o.trim()
}

// trim drops what is over from the front.
func (o *outbox) trim() {
	for o.gone > 0 && o.at(0).state == isOver {
		o.head = (o.head + 1) & (len(o.ring) - 1)
		o.first = uint16((int(o.first) + 1) % packetIDs)
		o.base++
		o.n--
		o.gone--
		o.again = max(o.again-1, 0)
	}
	if o.n == 0 && len(o.ring) > keptRing {
		o.ring, o.head = nil, 0
	}
}
