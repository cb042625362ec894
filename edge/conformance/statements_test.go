package conformance

import "strings"

// statement is one normative statement in our own words.
type statement struct {
	number string // without "MQTT-"
	who    byte   // whom it binds: 's'erver, 'c'lient, 'b'oth
	says   string
	like   string // of 3.1.1: the statement of MQTT 5 whose test is run at this version
}

// mqtt5 returns the statements of MQTT 5, in the specification's order.
func mqtt5() []statement { return read(statements5) }

// mqtt311 returns those of MQTT 3.1.1.
func mqtt311() []statement { return read(statements311) }

// read takes a table apart: number, who, text, and after "=" what it is like.
func read(table string) (list []statement) {
	for line := range strings.Lines(strings.TrimSpace(table)) {
		number, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		text, like, _ := strings.Cut(rest[2:], " =")
		list = append(list, statement{number, rest[0], text, like})
	}
	return list
}

const statements5 = `
1.5.4-1 b a string is well-formed UTF-8 without surrogates
1.5.4-2 b a string holds no U+0000
1.5.4-3 b U+FEFF in a string is kept
1.5.5-1 b a variable byte integer has no more bytes than it needs
1.5.7-1 b both strings of a pair are strings
2.1.3-1 b reserved flag bits have their fixed values
2.2.1-2 b a QoS 0 PUBLISH has no packet id
2.2.1-3 c a new SUBSCRIBE, UNSUBSCRIBE or PUBLISH has a free packet id that is not 0
2.2.1-4 s a PUBLISH of the server has a free packet id that is not 0
2.2.1-5 b an acknowledgement has the packet id of its PUBLISH
2.2.1-6 s SUBACK and UNSUBACK have the packet id of what they answer
2.2.2-1 b no properties means a property length of 0
3.1.0-1 c the first packet is a CONNECT
3.1.0-2 s a second CONNECT ends the connection
3.1.2-1 s a wrong protocol name is not accepted
3.1.2-2 s another protocol version is refused with 0x84 and the connection closed
3.1.2-3 s the reserved connect flag must be 0
3.1.2-4 s Clean Start 1 discards the session
3.1.2-5 s Clean Start 0 resumes a session that is there
3.1.2-6 s Clean Start 0 makes a session where none is
3.1.2-7 s a will is kept with the session
3.1.2-8 s a will is published after the end of the connection, unless DISCONNECT 0x00 or a new connection came
3.1.2-9 b with the will flag the fields of the will are there
3.1.2-10 s a will is published once, and not after DISCONNECT 0x00
3.1.2-11 b no will: Will QoS is 0
3.1.2-12 b Will QoS is 0, 1 or 2
3.1.2-13 b no will: Will Retain is 0
3.1.2-14 s a will without Will Retain is not retained
3.1.2-15 s a will with Will Retain is retained
3.1.2-16 b no user name flag, no user name
3.1.2-17 b a user name flag, a user name
3.1.2-18 b no password flag, no password
3.1.2-19 b a password flag, a password
3.1.2-20 c a silent client pings
3.1.2-21 c the client uses the Server Keep Alive
3.1.2-22 s a client silent for one and a half times the keep alive is disconnected
3.1.2-23 b the session is kept for the Session Expiry Interval
3.1.2-24 s no packet is larger than the client's Maximum Packet Size
3.1.2-25 s a message too large for a client is dropped as if it had been sent
3.1.2-26 s no topic alias above the client's maximum
3.1.2-27 s no topic alias to a client without a maximum
3.1.2-28 s no Response Information that was not asked for
3.1.2-29 s without Request Problem Information: no reason string nor user property but on PUBLISH, CONNACK, DISCONNECT
3.1.2-30 c with an Authentication Method only AUTH and DISCONNECT come before CONNACK
3.1.3-1 c the fields of the payload come in their order
3.1.3-2 b the client id names the session
3.1.3-3 c the client id is the first field
3.1.3-4 c the client id is a string
3.1.3-5 s client ids of 1 to 23 letters and digits are allowed
3.1.3-6 s a client without an id gets one of its own
3.1.3-7 s and is told it
3.1.3-8 s a refused client id ends the connection
3.1.3-9 s a new connection before the Will Delay Interval is over keeps the will from being published
3.1.3-11 c the will topic is a string
3.1.3-12 c the user name is a string
3.1.4-1 s a CONNECT of a wrong format ends the connection
3.1.4-2 s who may not connect is disconnected
3.1.4-3 s a client id that comes again: the older connection gets DISCONNECT 0x8E and is closed
3.1.4-4 s Clean Start is obeyed
3.1.4-5 s CONNECT is answered with CONNACK 0x00
3.1.4-6 s nothing that follows a refused CONNECT is processed
3.2.0-1 s CONNACK comes before any other packet
3.2.0-2 s there is one CONNACK in a connection
3.2.2-1 s bits 7 to 1 of the CONNACK's flags are 0
3.2.2-2 s Clean Start 1: Session Present 0
3.2.2-3 s Clean Start 0: Session Present says whether there was a session
3.2.2-4 c an unexpected Session Present ends the connection
3.2.2-5 c without Session Present the client forgets its session
3.2.2-6 s a refusing CONNACK has Session Present 0
3.2.2-7 s after a CONNACK of 0x80 or more the connection is closed
3.2.2-8 s the CONNACK's reason is one of its table
3.2.2-9 s a server without QoS 1 or 2 says so
3.2.2-10 s and still accepts subscriptions with any QoS
3.2.2-11 c no PUBLISH above the Maximum QoS
3.2.2-12 s a will above the Maximum QoS is refused
3.2.2-13 s a retained will is refused where nothing is retained
3.2.2-14 c no retained PUBLISH where nothing is retained
3.2.2-15 c no packet is larger than the server's Maximum Packet Size
3.2.2-16 s an empty client id is answered with one that no other session has
3.2.2-17 c no topic alias above the server's maximum
3.2.2-18 c no topic alias where there is no maximum
3.2.2-19 s no reason string that makes CONNACK too large
3.2.2-20 s no user property that makes CONNACK too large
3.2.2-21 c the client uses the Server Keep Alive
3.2.2-22 s without a Server Keep Alive the client's holds
3.3.1-1 b DUP is 1 on what is sent again
3.3.1-2 b DUP is 0 at QoS 0
3.3.1-3 b DUP of what goes out does not depend on what came in
3.3.1-4 b a PUBLISH has no QoS 3
3.3.1-5 s RETAIN replaces the topic's retained message
3.3.1-6 s an empty payload with RETAIN removes it
3.3.1-7 s an empty message is not retained
3.3.1-8 s without RETAIN what is retained does not change
3.3.1-9 s Retain Handling 0 sends what is retained
3.3.1-10 s Retain Handling 1 sends it only for a new subscription
3.3.1-11 s Retain Handling 2 does not send it
3.3.1-12 s without Retain As Published the RETAIN flag is 0
3.3.1-13 s with it the RETAIN flag is the publisher's
3.3.2-1 b the topic name comes first and is a string
3.3.2-2 b a topic name has no wildcards
3.3.2-3 s the topic name matches the subscriber's filter
3.3.2-4 s the Payload Format Indicator is passed on
3.3.2-5 s what has expired is not sent
3.3.2-6 s the expiry that is sent is less by the time spent in the server
3.3.2-7 b topic aliases end with their connection
3.3.2-8 b a topic alias is not 0
3.3.2-9 c no topic alias above the server's maximum
3.3.2-10 c the client takes every alias up to its maximum
3.3.2-11 s no topic alias above the client's maximum
3.3.2-12 s the server takes every alias up to its maximum
3.3.2-13 b the Response Topic is a string
3.3.2-14 b the Response Topic has no wildcards
3.3.2-15 s the Response Topic is passed on
3.3.2-16 s the Correlation Data is passed on
3.3.2-17 s all User Properties are passed on
3.3.2-18 s and in their order
3.3.2-19 b the Content Type is a string
3.3.2-20 s the Content Type is passed on
3.3.4-1 b a PUBLISH is answered as its QoS says
3.3.4-2 s overlapping subscriptions: the highest QoS holds
3.3.4-3 s overlapping subscriptions: their identifiers are sent
3.3.4-4 s one copy has all identifiers
3.3.4-5 s several copies have one each
3.3.4-6 c a client's PUBLISH has no subscription identifier
3.3.4-7 c no more than Receive Maximum PUBLISHes unacknowledged
3.3.4-8 c only PUBLISH waits for that
3.3.4-9 s no more than the client's Receive Maximum PUBLISHes unacknowledged
3.3.4-10 s only PUBLISH waits for that
3.4.2-1 b PUBACK's reason is one of its table
3.4.2-2 b no reason string that makes PUBACK too large
3.4.2-3 b no user property that makes PUBACK too large
3.5.2-1 b PUBREC's reason is one of its table
3.5.2-2 b no reason string that makes PUBREC too large
3.5.2-3 b no user property that makes PUBREC too large
3.6.1-1 s the flags of PUBREL are 0010
3.6.2-1 b PUBREL's reason is one of its table
3.6.2-2 b no reason string that makes PUBREL too large
3.6.2-3 b no user property that makes PUBREL too large
3.7.2-1 b PUBCOMP's reason is one of its table
3.7.2-2 b no reason string that makes PUBCOMP too large
3.7.2-3 b no user property that makes PUBCOMP too large
3.8.1-1 s the flags of SUBSCRIBE are 0010
3.8.3-1 c filters of SUBSCRIBE are strings
3.8.3-2 c a SUBSCRIBE has a filter at least
3.8.3-3 s No Local: nothing comes back to its publisher
3.8.3-4 c No Local with a shared subscription is a protocol error
3.8.3-5 s reserved bits of the subscription options make it malformed
3.8.4-1 s SUBSCRIBE is answered with SUBACK
3.8.4-2 s of the same packet id
3.8.4-3 s the same filter again replaces the subscription
3.8.4-4 s and sends what is retained again, by Retain Handling, and loses nothing
3.8.4-5 s several filters are like several SUBSCRIBEs with one SUBACK
3.8.4-6 s a reason for each filter
3.8.4-7 s which is the granted QoS or a failure
3.8.4-8 s a message's QoS is the lower of the publisher's and the granted one
3.9.2-1 s no reason string that makes SUBACK too large
3.9.2-2 s no user property that makes SUBACK too large
3.9.3-1 s the reasons have the order of the filters
3.9.3-2 s SUBACK's reasons are of its table
3.10.1-1 s the flags of UNSUBSCRIBE are 0010
3.10.3-1 c filters of UNSUBSCRIBE are strings
3.10.3-2 c an UNSUBSCRIBE has a filter at least
3.10.4-1 s a filter is compared character by character, and its subscription deleted
3.10.4-2 s no new message is sent for it
3.10.4-3 s deliveries that were begun are completed
3.10.4-4 s UNSUBSCRIBE is answered with UNSUBACK
3.10.4-5 s of the same packet id, also when nothing was deleted
3.10.4-6 s several filters are like several UNSUBSCRIBEs with one UNSUBACK
3.11.2-1 s no reason string that makes UNSUBACK too large
3.11.2-2 s no user property that makes UNSUBACK too large
3.11.3-1 s the reasons have the order of the filters
3.11.3-2 s UNSUBACK's reasons are of its table
3.12.4-1 s PINGREQ is answered with PINGRESP
3.14.0-1 s no DISCONNECT before a CONNACK that accepts
3.14.1-1 b reserved bits of DISCONNECT end in 0x81
3.14.2-1 b DISCONNECT's reason is one of its table
3.14.2-2 s a server's DISCONNECT has no Session Expiry Interval
3.14.2-3 b no reason string that makes DISCONNECT too large
3.14.2-4 b no user property that makes DISCONNECT too large
3.14.4-1 b nothing is sent after DISCONNECT
3.14.4-2 b the connection is closed after DISCONNECT
3.14.4-3 s DISCONNECT 0x00 discards the will
3.15.1-1 b the flags of AUTH are 0
3.15.2-1 b AUTH's reason is one of its table
3.15.2-2 b no reason string that makes AUTH too large
3.15.2-3 b no user property that makes AUTH too large
4.1.0-1 b the session is not discarded while the connection is open
4.1.0-2 s it is discarded when its expiry has passed
4.2-1 b the transport is an ordered, lossless stream
4.3.1-1 b QoS 0 is sent with DUP 0
4.3.2-1 b QoS 1: a new message has a free packet id
4.3.2-2 b QoS 1: and DUP 0
4.3.2-3 b QoS 1: it is unacknowledged until PUBACK
4.3.2-4 b QoS 1: it is answered with PUBACK of its packet id
4.3.2-5 b QoS 1: after PUBACK the packet id stands for a new message
4.3.3-1 b QoS 2: a new message has a free packet id
4.3.3-2 b QoS 2: and DUP 0
4.3.3-3 b QoS 2: it is unacknowledged until PUBREC
4.3.3-4 b QoS 2: a PUBREC below 0x80 is answered with PUBREL of its packet id
4.3.3-5 b QoS 2: PUBREL is unacknowledged until PUBCOMP
4.3.3-6 b QoS 2: PUBLISH is not sent again after PUBREL
4.3.3-7 b QoS 2: what was sent does not expire
4.3.3-8 b QoS 2: PUBLISH is answered with PUBREC of its packet id
4.3.3-9 b QoS 2: after a refusing PUBREC the packet id stands for a new message
4.3.3-10 b QoS 2: until PUBREL the same packet id is answered with PUBREC and not delivered again
4.3.3-11 b QoS 2: PUBREL is answered with PUBCOMP of its packet id
4.3.3-12 b QoS 2: after PUBCOMP the packet id stands for a new message
4.3.3-13 b QoS 2: the exchange goes on though the message has expired
4.4.0-1 b a resumed session sends what is unacknowledged again with its packet ids, and at no other time
4.4.0-2 b what was refused by the receiver is not sent again
4.5.0-1 s a message is added to the session of each subscriber
4.5.0-2 c a client acknowledges whatever it gets
4.6.0-1 c PUBLISHes are sent again in their order
4.6.0-2 c PUBACKs are sent in the order of the PUBLISHes
4.6.0-3 c PUBRECs are sent in the order of the PUBLISHes
4.6.0-4 c PUBRELs are sent in the order of the PUBRECs
4.6.0-5 s messages of one client, topic and QoS arrive in their order
4.6.0-6 s every topic is ordered for subscriptions that are not shared
4.7.0-1 b wildcards are for filters only
4.7.1-1 b # stands alone in the last level
4.7.1-2 b + stands alone in its level
4.7.2-1 s a filter that begins with a wildcard does not match a topic that begins with $
4.7.3-1 b topics and filters have a character at least
4.7.3-2 b and no U+0000
4.7.3-3 b and at most 65535 bytes
4.7.3-4 s and are not normalised
4.8.2-1 c a shared subscription begins with $share/ and a share name
4.8.2-2 c the share name has no wildcard and is followed by / and a filter
4.8.2-3 s a shared subscription's messages have its granted QoS
4.8.2-4 s a QoS 2 delivery that was begun is completed with the same client
4.8.2-5 s or with none
4.8.2-6 s a message refused by one member goes to no other
4.9.0-1 b the send quota is not above the Receive Maximum
4.9.0-2 b at a quota of 0 no PUBLISH is sent
4.9.0-3 b other packets are processed all the same
4.12.0-1 s an unknown Authentication Method is refused with 0x8C and the connection closed
4.12.0-2 s AUTH of the server says 0x18
4.12.0-3 c AUTH of the client says 0x18
4.12.0-4 s an authentication that fails ends the connection
4.12.0-5 b AUTH and CONNACK have the Authentication Method of CONNECT
4.12.0-6 s no AUTH and no Authentication Method to a client that has sent none
4.12.0-7 c no AUTH from such a client
4.12.1-1 c authentication is repeated with the same method
4.12.1-2 b where that fails the connection is closed
4.13.1-1 s what is malformed or breaks the protocol ends the connection
4.13.2-1 b a CONNACK or DISCONNECT of 0x80 or more ends the connection
6.0.0-1 b WebSocket: packets go in binary frames
6.0.0-2 b WebSocket: frames and packets need not begin together
6.0.0-3 c WebSocket: the client offers the subprotocol mqtt
6.0.0-4 s WebSocket: the server chooses it
`
