// Package conformance holds a broker against the normative statements of MQTT 5
// and 3.1.1, packet by packet.
//
// Each test carries the numbers of the statements that it would catch being
// broken, and runs at both versions where they say the same. The table of all
// statements is in statements_test.go; the reasons why some have no test in
// coverage_test.go.
//
//	go test ./edge/conformance                        the edge broker, over TCP and WebSocket
//	go test ./edge/conformance -broker 127.0.0.1:1883 any other, also ws://127.0.0.1:8083/mqtt
//	go test ./edge/conformance -run Statements -v     what is covered, and what is not
//
// The client of these tests reads strictly: whatever a broker sends is held
// against the format of its packet, so that every test is also one of the
// statements about reserved bits, lengths, strings and reason codes.
//
// What must not happen is looked for without sleeping: a PINGRESP comes after
// all that the broker had for the client before it.
//
// # Mosquitto
//
// Debian's Mosquitto 2.0.11 shows that the tests do not ask too much. What it
// fails, it fails by these statements:
//
//	2.1.3-1            takes reserved bits of PINGREQ
//	3.1.2-8            keeps a will back for its delay though the session has ended,
//	                   and publishes none after DISCONNECT 0x80
//	3.1.2-24           PUBLISH one byte larger than the Maximum Packet Size, SUBACK of any size
//	3.1.4-1, 3.3.2-14  takes a CONNECT with properties of wrong values, wildcards in
//	                   Response Topics
//	3.3.4-2            (3.1.1) delivers overlapping subscriptions with the lower QoS
//	3.3.4-6            takes a subscription identifier from a client
//	3.3.4-9            sends two for one refused by PUBREC
//	3.8.3-4, 4.8.2-1   takes No Local with, and an empty name of, a shared subscription,
//	                   and sends it what is retained (section 4.8.2)
//	4.3.3-10           disconnects who sends a QoS 2 PUBLISH a third time before PUBREL
//
// Two tests ask more of the edge broker than of others: reason 0x92 for a packet
// id that is not known, and that who has no password is refused.
package conformance
