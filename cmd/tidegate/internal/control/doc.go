// Package control is how the gateway is asked how it is and told what to do: one
// API for the command line, over a unix socket, and for the page, behind its
// log-in.
//
//	tidegate status --unix socket--> Serve --+
//	                                         +--> ServeHTTP --> Read (Stats of all parts) --> words
//	browser --HTTP--> console, with a role --+
//
// What is wrong is said in sentences, for people who have never seen MQTT: the
// verdict, a headline, and findings with what to do. They are made from the
// numbers of the parts, in one place, so that the page and the command line say
// the same.
//
// # Roles
//
// Who comes through the socket is an administrator: it is open to root and to the
// group of the process. Who comes by the page has what the log-in gave. Everything
// but GET needs the administrator.
//
// # Cost
//
// No message costs anything, unless somebody looks at topics. Every ten seconds the
// numbers are read; once a second while somebody listens to /v1/live, whatever the
// number of listeners.
//
// Who looks at topics overhears the broker: it holds up nobody, and to those who
// publish it is nobody. The last values are forgotten two minutes after they were
// asked for last.
//
// # Limits
//
//	listeners of streams       128, of all kinds together
//	connections to the socket  64
//	a listener who takes nothing is given 10 s, then cut; a slow one misses
//	frames and gets the newest
//	log                        1000 lines, 512 KiB in all, 2000 bytes of a text
//	topics                     5000, 1 MiB in all, 1 KiB of a value; those that
//	                           came longest ago give way
//	tail                       200 messages a second, 4 KiB of a payload
//	publish                    256 KiB
//	links' events              1000 of each uplink (package uplink keeps them)
//	latency, flow              a day in minutes; 16 endpoints of each uplink
//	sensors                    a day in minutes of 100 quantities, the last value of 300
//	requests                   1 MiB
//	pages of lists             1000
//
// All of it full takes some 4.5 MB; a house with ten sensors and one cloud, of which
// nobody looks at topics, some 1 MB after a day. It is in RAM only, and gone with
// the process.
//
// Streams end when the gateway stops.
package control
