// Package conformance holds a broker against the normative statements of MQTT 5
// and 3.1.1, packet by packet.
//
// Each test carries the numbers of the statements that it would catch being
// broken, and runs at both versions where they say the same. The table of all
// statements is in statements_test.go; the reasons why some have no test in
// coverage_test.go.
//
//	go test ./edge/conformance                        the edge broker
//	go test ./edge/conformance -broker 127.0.0.1:1883 any other
//	go test ./edge/conformance -run Statements -v     what is covered, and what is not
//
// The client of these tests reads strictly: whatever a broker sends is held
// against the format of its packet, so that every test is also one of the
// statements about reserved bits, lengths, strings and reason codes.
//
// What must not happen is looked for without sleeping: a PINGRESP comes after
// all that the broker had for the client before it.
package conformance
