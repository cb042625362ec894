// Bench compares Tidegate with another MQTT broker, Debian's Mosquitto at its
// best settings unless told otherwise, on one machine:
//
//	make build && go run ./build/bench          # about half an hour
//	go run ./build/bench -short                 # some minutes
//	go run ./build/bench -figures qos1,latency -rounds 9
//
// Machines are noisy and the brokers are measured on the same CPUs as the load,
// so only ratios mean something. Every figure is measured in rounds; in a round
// both brokers have their turn, one right after the other, in alternating order,
// each started afresh with the same load. A third turn goes to a broker that
// does nothing but acknowledge and copy, a process like the others: what the
// generator reaches there is the limit of the generator.
//
//	go run ./build/bench -figures outage,crash -outage 10m -rounds 1   # three quarters of an hour
//	sudo go run ./build/bench -figures balanced                        # HAProxy and a RabbitMQ cluster
//
// A newer Mosquitto than the machine has, in a directory of its own, with a
// script as PROGRAM that executes it there:
//
//	mmdebstrap --variant=extract --include=mosquitto trixie DIR
//	exec DIR/usr/lib64/ld-linux-x86-64.so.2 --library-path DIR/usr/lib/x86_64-linux-gnu DIR/usr/sbin/mosquitto "$@"
//	go run ./build/bench -mosquitto PROGRAM
//
// CPU is user and system time of the broker's process from /proc/PID/stat.
// Counts of lost, duplicated and disordered messages are exact; package load
// says how they are made. The cloud of the uplink figures is a Mosquitto; where
// it goes away, behind a proxy of our own: "away" means that the proxy refuses
// and cuts connections while the cloud lives on, so that what the cloud loses is
// nobody's fault here.
package main
