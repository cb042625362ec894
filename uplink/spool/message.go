package spool

import "time"

// Message is one accepted PUBLISH. It and all it points to stay unchanged from
// acceptance on, so that every receiver can share them.
//
// edge and hw have a Message with the same fields; the command converts
// one into the other, and stops compiling when they differ.
type Message struct {
	Topic      string
	Payload    []byte
	Properties []byte    // the MQTT 5 properties to pass on, as on the wire [MQTT 5, 2.2.2] without their length: payload format, content type, response topic, correlation data, user properties. Never expiry, alias or subscription identifiers
	From       string    // client id of the publisher; "" for the gateway itself
	Accepted   time.Time // when it was accepted; its monotonic reading counts
	Expiry     uint32    // Message Expiry Interval in seconds from Accepted; 0 for none (a client's 0 becomes 1)
	QoS        byte      // 0, 1 or 2
	Retain     bool
}

// Ticket is the acknowledgement that waits until a message is safe. Whoever
// took the ticket calls Owner.Settle once, from any goroutine, perhaps before
// the call that handed it over has returned; reason is an MQTT 5 reason code,
// 0x00 when the message is safe, 0x97 when it was refused for lack of room.
// The zero Ticket waits for nothing.
type Ticket struct {
	Owner interface{ Settle(id uint64, reason byte) }
	ID    uint64 // chosen by Owner
}
