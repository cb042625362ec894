// Package load puts MQTT load on a broker and keeps an exact account of what
// became of every message.
//
// It has its own small MQTT 3.1.1 and 5 codec and client, so that it shares no
// mistake with what it measures and is faster than it: many packets per system
// call both ways, no allocation per message.
//
//	Fleet of Publishers --PUBLISH--> broker under test --PUBLISH--> Subscribers
//	   |  Topic.Next   ^                                                |
//	   |  Topic.Ack    |PUBACK                                          | Consumer.Receive
//	   v                                                                v
//	Ledger ------------------------------------------------------- Consumer --> Report
//
// # The ledger
//
// Each payload carries the run, the publisher, the topic's number, the sequence
// within the topic and the time of sending, so that it is recognised wherever
// and under whatever topic it arrives. The ledger keeps one bit per message for
// "acknowledged to the publisher" and each Consumer one for "received": a
// million messages take 256 KiB. It counts exactly, with no sampling:
//
//   - lost: acknowledged to the publisher, never received by the consumer
//   - missing: not acknowledged and not received; nobody promised anything
//   - surplus: received although never acknowledged
//   - duplicates: arrivals after the first of the same message
//   - disorder: first arrivals after that of a later message of the same topic
//   - gaps: runs of messages that never arrived, before one that did
//
// A Consumer is one place where every message should arrive once. Several
// subscribers may feed one Consumer: one on each of a set of separate brokers,
// which together are the cloud. Several Consumers of a ledger each expect every
// message: the receivers of a fan-out.
//
// # A run
//
//	ledger := load.NewLedger()
//	cloud := ledger.Consumer()
//	sub := load.NewSubscriber(load.SubscriberConfig{
//		Client:   load.Client{Addrs: []string{cloudAddr}, ID: "checker"},
//		Filters:  []load.Filter{{Topic: "home/#", QoS: 1}},
//		Consumer: cloud,
//	})
//	go sub.Run(ctx)
//	<-sub.Ready()
//	fleet := load.NewFleet(load.FleetConfig{
//		Client:  load.Client{Addrs: []string{gatewayAddr}},
//		Clients: 10, QoS: 1, Window: 20, Rate: 2000, Count: 80_000,
//	}, ledger)
//	err := fleet.Run(ctx) // returns when all 80,000 are acknowledged
//	err = cloud.Wait(ctx, time.Second)
//	fmt.Print(cloud.Report())
//
// # Caveats
//
// A client that loses its connection dials the next address of its list and
// sends what is not acknowledged again, oldest first, before anything new.
// Acknowledged means PUBACK, and PUBREC for QoS 2, with a reason below 0x80; a
// message of QoS 0 is never acknowledged, so that what did not arrive is
// missing, not lost.
//
// Latency is from the moment a message was put into its connection's buffer to
// the return of the read that brought it. A message that waits for room in the
// publisher's window has not been sent yet; see FleetStats.Behind.
package load
