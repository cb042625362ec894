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
// # The API
//
// HTTP with JSON: bodies are the exported types here. Below /v1/ on the socket,
// below /api/v1/ on the page's port. What goes wrong is answered with 400 and above
// and an Error: what happened, and what to do. Those marked with * are streams of
// server-sent events.
//
//	GET    /v1/status                   Status: verdict, findings, home, uplinks, sensors, card
//	GET    /v1/live                     * status: a Status at once and each second
//	GET    /v1/stats                    the raw numbers, as on the status socket
//	GET    /v1/log                      Lines; level, search; follow=1: * line, dropped
//	GET    /v1/devices                  Devices; search, offset, limit
//	GET    /v1/devices/{id}             DeviceDetail
//	POST   /v1/devices/{id}/disconnect  ends the connection; the session stays
//	GET    /v1/users                    Users
//	POST   /v1/users                    NewUser: Password, once
//	PUT    /v1/users/{name}             changes what a user may do
//	DELETE /v1/users/{name}
//	POST   /v1/users/{name}/password    a new one: Password
//	GET    /v1/topics                   Topics: a level of the tree; under, search, offset, limit
//	GET    /v1/tail                     * message, dropped; filter
//	POST   /v1/publish                  Publication
//	GET    /v1/history                  History of an uplink's links and flow; uplink
//	POST   /v1/uplinks/{name}/test      * step, end: the walk to the cloud
//	GET    /v1/dead                     DeadLetters; uplink, offset, limit
//	POST   /v1/dead/retry               Decision: Count
//	POST   /v1/dead/drop                Decision: Count
//	GET    /v1/sensors/history          SensorHistory; name
//	POST   /v1/actuators/{name}         Command
//	GET    /v1/config                   ConfigText, secrets hidden
//	POST   /v1/config/check             a configuration as text: Checked
//
// On the machine itself:
//
//	curl --unix-socket /run/tidegate/control.sock http://gateway/v1/status
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
//	users kept here            1000, 100 filters a list, 256 bytes a filter, 1 MiB in all
//	requests                   1 MiB
//	pages of lists             1000
//
// All of it full takes some 4.5 MB; a house with ten sensors and one cloud, of which
// nobody looks at topics, some 1 MB after a day. It is in RAM only, and gone with
// the process.
//
// Streams end when the gateway stops.
package control
