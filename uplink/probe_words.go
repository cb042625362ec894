package uplink

import "fmt"

// What only a probe finds out, with a second look.
const (
	FaultHTTP     Fault = "http"      // an HTTP server answers: a captive portal, or the wrong port
	FaultNoTLS    Fault = "no-tls"    // TLS was expected, and something else is spoken
	FaultNeedsTLS Fault = "needs-tls" // plain MQTT was expected, and TLS is spoken
)

// remedies say what a person can do about a fault.
var remedies = map[Fault]string{
	FaultRefused:        "look at host and port in endpoints (1883 for mqtt://, 8883 for mqtts://); does the broker run, and listen to the network and not only to its own machine?",
	FaultUnreachable:    "look at the cable or the Wi-Fi, and at the router; tidegate doctor says what this machine has",
	FaultTimedOut:       "look at the address in endpoints; a firewall may drop what goes to that port: guest and company networks often let only 443 out, for which a wss:// endpoint is made",
	FaultNoName:         "if the name is right: does this machine have a network and a name server? See tidegate doctor",
	FaultHandshake:      "look at the port, and at what the cloud wants of TLS: version, alpn, a client certificate",
	FaultClock:          "give the gateway the time: it needs a network with NTP (UDP port 123) or a clock module; then test again",
	FaultProxy:          "look at proxy and proxy-password-file, or ask whoever runs the proxy to allow CONNECT to this host and port",
	FaultExpired:        "if this machine's clock is right, the certificate must be renewed in the cloud; else set the clock right: tidegate doctor",
	FaultUntrusted:      "look at ca-file, and at the name in endpoints; do not turn off the check: whoever is in between could read everything",
	FaultOwnCertificate: "renew the gateway's certificate (cert-file, key-file), or let the cloud know the authority that issued it",
	FaultNoNode:         "look at the port; a load balancer without nodes behind it closes like this, and so do brokers that refuse a client without saying why",
	FaultNoAnswer:       "the machine is there and the broker does not answer: look at it; or the port belongs to something else",
	FaultWebSocket:      "look at the path of the endpoint: most brokers have /mqtt",
	FaultCredentials:    "look at user and at the file that password-file names: one line, with nothing before or after the password",
	FaultNotAuthorized:  "Mosquitto says so of a wrong user or password too: copy both again; if they are right, the cloud's permissions do not allow this: look at them there; some clouds also tie a user to certain client ids",
	FaultBadClientID:    "look at client-id: some clouds allow only the names that they gave; with one name only, set single-client = true",
	FaultBanned:         "the cloud has banned this client or its address: lift that there",
	FaultVersion:        "use a broker that speaks MQTT 5 (Mosquitto since 1.6, EMQX, HiveMQ, RabbitMQ since 3.13, AWS IoT Core), or switch MQTT 5 on there",
	FaultBusy:           "the cloud is busy or a quota is used up: look there; the gateway tries again by itself",
	FaultRedirected:     "the gateway follows to hosts that redirect-to allows; else name that server in endpoints",
	FaultDeclined:       "look into the broker's log for the reason",
	FaultClosed:         "look into the broker's log for the reason",
	FaultProtocol:       "what answers there is no MQTT broker, or a broken one: look at host and port",
	FaultSubscription:   "allow it in the cloud's permissions, or change filter of the down route",
	FaultFiles:          "put the file there and let the gateway read it: chown tidegate FILE",
	FaultLate:           "the broker takes messages and does not acknowledge them in time: look at its load, its disk and the nodes behind it",
	FaultTakenOver:      "another client connects with the same client id: give each gateway an id of its own",
	FaultKicked:         "an administrator ended the connection: ask there",
	FaultShutDown:       "the node shuts down: test again when it is back",
	FaultHTTP:           "if this network has a log-in page, log in with a browser first; else look at host and port in endpoints",
	FaultNoTLS:          "begin the endpoint with mqtt:// (or ws://) if it must be without TLS, or take the broker's TLS port, usually 8883",
	FaultNeedsTLS:       "begin the endpoint with mqtts:// (or wss://), or take the broker's port without TLS, usually 1883",
	FaultUnknown:        "",
}

// reasonNames are the reason codes of SUBACK and PUBACK that refuse.
var reasonNames = map[byte]string{
	0x80: "without a reason", 0x83: "for a reason of its own", 0x87: "not authorized", 0x8F: "the filter is not valid there", 0x90: "the topic is not valid there",
	0x91: "the packet id is in use", 0x97: "a quota is used up", 0x99: "the payload is not valid", 0x9E: "shared subscriptions are not supported",
	0xA1: "subscription ids are not supported", 0xA2: "wildcards are not supported",
}

func reasonWords(reason byte) string {
	name := reasonNames[reason]
	if name == "" {
		return fmt.Sprintf("0x%02X", reason)
	}
	return fmt.Sprintf("%s, 0x%02X", name, reason)
}
