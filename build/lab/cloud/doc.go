// Package cloud starts what stands for the cloud in tests and in the demo:
// three MQTT nodes, each a process of its own that can be killed, stopped and
// started again.
//
//	kind        what it is                              sessions shared   needs
//	mosquitto   three separate Mosquittos               no                Debian's mosquitto
//	rabbitmq    a cluster of three RabbitMQ 4 nodes,    yes               root, Debian's archive
//	            sessions in quorum queues
package cloud
