// Command tidegate is the gateway: a broker for the home, uplinks to the cloud
// and sensors, as one process.
//
//	devices <--> edge --forward--> uplink <--> cloud
//	              ^ ^                 |
//	   sensors ---+ +-----deliver-----+
//
// What the packages below do is theirs. Here are the command line, the
// configuration file (load.go: every problem in one message, with its line),
// the data directory with the boot epoch (datadir.go, epoch.go), the wiring of
// the three (gateway.go, glue.go), signals (run.go) and what systemd and the
// status socket are told (notify.go, status.go).
//
// Signals: TERM and INT stop in bounded time, sensors first, then the broker,
// then the uplinks, which write what the cloud has not acknowledged; a second
// one ends the process at once, and loses nothing that was acknowledged. HUP
// reads the configuration again and applies what changed; a file with problems
// changes nothing.
//
// Exit codes: 0 good; 1 what was asked about is bad, or the gateway could not
// go on; 2 the command line is wrong or a file cannot be read.
//
// Caveats: a stop waits two seconds for the acknowledgements of devices. A device
// that got none by then sends its message again, although the uplink has written
// it: a duplicate with another id. The gateway's
// id, the data directory, the log's format, the wear budget and the number of
// uplinks change at the next start only.
package main
