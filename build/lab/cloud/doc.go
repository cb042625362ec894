// Package cloud starts what stands for the cloud in tests and in the demo:
// three MQTT nodes, each a process of its own that can be killed, stopped and
// started again.
//
//	kind        what it is                              sessions shared   needs
//	standin     three separate edge brokers             no                nothing
//	mosquitto   three separate Mosquittos               no                Debian's mosquitto
//	rabbitmq    a cluster of three RabbitMQ 4 nodes,    yes               root, Debian's archive
//	            sessions in quorum queues
//	rabbitmq-   the same for nodes behind a load balancer that speaks the PROXY
//	proxied     protocol
//	rabbitmq-   the same for many messages a second: it hands out up to 1000 at
//	prefetch    once, where RabbitMQ's default is 10
//
// A stand-in node writes every message it accepts to a file before it
// acknowledges it, so that a kill takes nothing from the account: what a
// killed broker had accepted and not yet delivered is gone for subscribers.
package cloud
