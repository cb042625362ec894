package conformance

const statements311 = `
1.5.3-1 b a string is well-formed UTF-8 =1.5.4-1
1.5.3-2 b a string holds no U+0000 =1.5.4-2
1.5.3-3 b U+FEFF is kept =1.5.4-3
2.2.2-1 b reserved flag bits have their fixed values =2.1.3-1
2.2.2-2 b other values end the connection =2.1.3-1
2.3.1-1 b SUBSCRIBE, UNSUBSCRIBE and PUBLISH above QoS 0 have a packet id that is not 0 =2.2.1-4
2.3.1-2 c of a client it is free
2.3.1-3 c of a client it is the same when sent again
2.3.1-4 s of the server both hold too =2.2.1-4
2.3.1-5 b a QoS 0 PUBLISH has no packet id =2.2.1-2
2.3.1-6 b an acknowledgement has the packet id of its PUBLISH =2.2.1-5
2.3.1-7 s SUBACK and UNSUBACK have the packet id of what they answer =2.2.1-6
3.1.0-1 c the first packet is a CONNECT =3.1.0-1
3.1.0-2 s a second CONNECT ends the connection =3.1.0-2
3.1.2-1 s a wrong protocol name is not accepted =3.1.2-1
3.1.2-2 s another protocol level is refused with 0x01 =3.1.2-2
3.1.2-3 s the reserved connect flag must be 0 =3.1.2-3
3.1.2-4 s without Clean Session the session is resumed or made =3.1.2-5
3.1.2-5 s and keeps QoS 1 and 2 messages while the client is away =3.1.2-23
3.1.2-6 s Clean Session discards =3.1.2-4
3.1.2-7 s what is retained is not the session's =3.3.1-5
3.1.2-8 s a will is kept and published after the end, unless DISCONNECT came =3.1.2-8
3.1.2-9 b with the will flag the fields of the will are there =3.1.2-9
3.1.2-10 s a will is published once, and not after DISCONNECT =3.1.2-10
3.1.2-11 b no will: Will QoS and Will Retain are 0 and its fields missing =3.1.2-11
3.1.2-12 s no will flag, no will =3.1.2-10
3.1.2-13 b no will: Will QoS is 0 =3.1.2-11
3.1.2-14 b Will QoS is not 3 =3.1.2-12
3.1.2-15 b no will: Will Retain is 0 =3.1.2-13
3.1.2-16 s a will without Will Retain is not retained =3.1.2-14
3.1.2-17 s a will with Will Retain is retained =3.1.2-15
3.1.2-18 b no user name flag, no user name =3.1.2-16
3.1.2-19 b a user name flag, a user name =3.1.2-17
3.1.2-20 b no password flag, no password =3.1.2-18
3.1.2-21 b a password flag, a password =3.1.2-19
3.1.2-22 b no user name flag, no password flag =3.1.4-1
3.1.2-23 c a silent client pings
3.1.2-24 s a client silent for one and a half times the keep alive is disconnected =3.1.2-22
3.1.3-1 c the fields of the payload come in their order
3.1.3-2 b the client id names the session =3.1.3-2
3.1.3-3 c the client id is the first field
3.1.3-4 c the client id is a string =1.5.4-1
3.1.3-5 s client ids of 1 to 23 letters and digits are allowed =3.1.3-5
3.1.3-6 s a client without an id gets one of its own =3.1.3-6
3.1.3-7 c without an id Clean Session is set =3.1.3-8
3.1.3-8 s or the connection is refused with 0x02 =3.1.3-8
3.1.3-9 s a refused client id is told by 0x02 =3.1.3-8
3.1.3-10 c the will topic is a string =1.5.4-1
3.1.3-11 c the user name is a string =1.5.4-1
3.1.4-1 s a CONNECT of a wrong format ends the connection =3.1.4-1
3.1.4-2 s a client id that comes again ends the older connection =3.1.4-3
3.1.4-3 s Clean Session is obeyed =3.1.4-4
3.1.4-4 s CONNECT is answered with CONNACK 0 =3.1.4-5
3.1.4-5 s nothing that follows a refused CONNECT is processed =3.1.4-6
3.2.0-1 s CONNACK comes first =3.2.0-1
3.2.2-1 s Clean Session: Session Present 0 =3.2.2-2
3.2.2-2 s otherwise 1 when there was a session =3.2.2-3
3.2.2-3 s and 0 when there was none =3.2.2-3
3.2.2-4 s a refusing CONNACK has Session Present 0 =3.2.2-6
3.2.2-5 s and ends the connection =3.2.2-7
3.2.2-6 s where no return code fits the connection is closed without CONNACK =3.1.4-1
3.3.1-1 b DUP is 1 on what is sent again =3.3.1-1
3.3.1-2 b DUP is 0 at QoS 0 =3.3.1-2
3.3.1-3 b DUP of what goes out does not depend on what came in =3.3.1-3
3.3.1-4 b a PUBLISH of QoS 3 ends the connection =3.3.1-4
3.3.1-5 s RETAIN keeps the message =3.3.1-5
3.3.1-6 s a new subscription gets what is retained =3.3.1-9
3.3.1-7 s a QoS 0 message with RETAIN discards the older one =3.3.1-5
3.3.1-8 s what is sent because of a new subscription has RETAIN 1 =3.3.1-9
3.3.1-9 s what is sent otherwise has RETAIN 0 =3.3.1-12
3.3.1-10 s an empty payload with RETAIN removes =3.3.1-6
3.3.1-11 s an empty message is not retained =3.3.1-7
3.3.1-12 s without RETAIN what is retained does not change =3.3.1-8
3.3.2-1 b the topic name comes first and is a string =3.3.2-1
3.3.2-2 b a topic name has no wildcards =3.3.2-2
3.3.2-3 s the topic name matches the subscriber's filter =3.3.2-3
3.3.4-1 b a PUBLISH is answered as its QoS says =3.3.4-1
3.3.5-1 s overlapping subscriptions: the highest QoS holds =3.3.4-2
3.3.5-2 s a PUBLISH that is not allowed is acknowledged, or the connection closed
3.6.1-1 s the flags of PUBREL are 0010 =3.6.1-1
3.8.1-1 s the flags of SUBSCRIBE are 0010 =3.8.1-1
3.8.3-1 c filters of SUBSCRIBE are strings =3.8.3-1
3.8.3-2 s a server without wildcards refuses them
3.8.3-3 c a SUBSCRIBE has a filter at least =3.8.3-2
3.8.3-4 s reserved bits and QoS 3 make it malformed =3.8.3-5
3.8.4-1 s SUBSCRIBE is answered with SUBACK =3.8.4-1
3.8.4-2 s of the same packet id =3.8.4-2
3.8.4-3 s the same filter again replaces the subscription, retained messages are sent again, nothing is lost =3.8.4-4
3.8.4-4 s several filters are like several SUBSCRIBEs with one SUBACK =3.8.4-5
3.8.4-5 s a return code for each filter =3.8.4-6
3.8.4-6 s a message's QoS is the lower of the publisher's and the granted one =3.8.4-8
3.9.3-1 s the return codes have the order of the filters =3.9.3-1
3.9.3-2 s and are 0, 1, 2 or 0x80 =3.9.3-2
3.10.1-1 s the flags of UNSUBSCRIBE are 0010 =3.10.1-1
3.10.3-1 c filters of UNSUBSCRIBE are strings =3.10.3-1
3.10.3-2 c an UNSUBSCRIBE has a filter at least =3.10.3-2
3.10.4-1 s a filter is compared character by character, and its subscription deleted =3.10.4-1
3.10.4-2 s no new message is sent for it =3.10.4-2
3.10.4-3 s deliveries that were begun are completed =3.10.4-3
3.10.4-4 s UNSUBSCRIBE is answered with UNSUBACK of the same packet id =3.10.4-4
3.10.4-5 s also when nothing was deleted =3.10.4-5
3.10.4-6 s several filters are like several UNSUBSCRIBEs with one UNSUBACK =3.10.4-6
3.12.4-1 s PINGREQ is answered with PINGRESP =3.12.4-1
3.14.1-1 s reserved bits of DISCONNECT end the connection =3.14.1-1
3.14.4-1 c the client closes after DISCONNECT
3.14.4-2 c and sends nothing more
3.14.4-3 s DISCONNECT discards the will =3.14.4-3
4.1.0-1 b the session is kept as long as it lasts =3.1.2-23
4.1.0-2 s it lasts as long as the connection at least =4.1.0-1
4.3.1-1 b the QoS 0 protocol =4.3.1-1
4.3.2-1 b the QoS 1 protocol of the sender =4.3.2-3
4.3.2-2 b the QoS 1 protocol of the receiver =4.3.2-5
4.3.3-1 b the QoS 2 protocol of the sender =4.3.3-6
4.3.3-2 b the QoS 2 protocol of the receiver =4.3.3-10
4.4.0-1 b a resumed session sends what is unacknowledged again =4.4.0-1
4.5.0-1 s a message is added to the session of each subscriber =4.5.0-1
4.5.0-2 c a client acknowledges whatever it gets
4.6.0-1 c PUBLISHes are sent again in their order
4.6.0-2 c PUBACKs are sent in the order of the PUBLISHes
4.6.0-3 c PUBRECs are sent in the order of the PUBLISHes
4.6.0-4 c PUBRELs are sent in the order of the PUBRECs
4.6.0-5 s every topic is ordered =4.6.0-6
4.6.0-6 s messages of one client, topic and QoS arrive in their order =4.6.0-5
4.7.1-1 b wildcards are for filters only =4.7.0-1
4.7.1-2 b # stands alone in the last level =4.7.1-1
4.7.1-3 b + stands alone in its level =4.7.1-2
4.7.2-1 s a filter that begins with a wildcard does not match a topic that begins with $ =4.7.2-1
4.7.3-1 b topics and filters have a character at least =4.7.3-1
4.7.3-2 b and no U+0000 =4.7.3-2
4.7.3-3 b and at most 65535 bytes =4.7.3-3
4.7.3-4 s and are not normalised =4.7.3-4
4.8.0-1 b what breaks the protocol ends the connection =4.13.1-1
4.8.0-2 b what a client or server cannot handle for now may end it
6.0.0-1 b WebSocket: packets go in binary frames =6.0.0-1
6.0.0-2 b WebSocket: frames and packets need not begin together =6.0.0-2
6.0.0-3 c WebSocket: the client offers the subprotocol mqtt
6.0.0-4 s WebSocket: the server chooses it =6.0.0-4
7.0.0-1 b who is both a server and a client conforms as both
7.0.0-2 b no extension is needed to interoperate
7.1.1-1 s the transport is an ordered, lossless stream
7.1.2-1 c the transport is an ordered, lossless stream
`
