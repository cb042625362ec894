package hw

import "time"

// Message is one reading, as a PUBLISH. It and all it points to stay unchanged
// once submitted, so that every receiver can share them.
//
// edge and uplink/spool have a Message with the same fields; the command
// converts one into the other, and stops compiling when they differ.
type Message struct {
	Topic      string
	Payload    []byte
	Properties []byte    // MQTT 5 properties as on the wire [MQTT 5, 2.2.2] without their length
	From       string    // client id of the publisher; "" for the gateway itself
	Accepted   time.Time // when it was read; its monotonic reading counts
	Expiry     uint32    // Message Expiry Interval in seconds from Accepted; 0 for none
	QoS        byte      // 0, 1 or 2
	Retain     bool
}
