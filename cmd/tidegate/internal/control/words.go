package control

import (
	"fmt"
	"strconv"
	"time"

	"tidegate/uplink"
	"tidegate/uplink/spool"
)

// lasting tells a duration as a person would: "12 minutes", "3 days".
func lasting(d time.Duration) string {
	switch d = max(d, 0); {
	case d < 2*time.Second:
		return "a second"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d seconds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d minutes", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d hours", int(d.Hours()))
	}
	return counted(int64(d/(24*time.Hour)), "day")
}

// number groups the digits: 1,204.
func number(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// counted is a number of things: "1 message", "1,204 messages".
func counted(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return number(n) + " " + thing + "s"
}

// size is bytes for people: 12 kB, 3.4 MB.
func size(n int64) string {
	switch v := float64(n); {
	case n < 1000:
		return counted(n, "byte")
	case n < 10_000_000:
		return fmt.Sprintf("%.0f kB", v/1e3)
	case n < 10_000_000_000:
		return fmt.Sprintf("%.0f MB", v/1e6)
	default:
		return fmt.Sprintf("%.1f GB", v/1e9)
	}
}

// trouble is what a fault of a link means for people.
type trouble struct {
	level string
	what  string // a sentence without its stop; %s is the cloud
	hint  string
}

// The levels of findings.
const (
	levelTrouble   = "trouble"
	levelAttention = "attention"
	levelInfo      = "info"
)

const reload = "then reload: systemctl reload tidegate"

// troubles puts faults into words. What the gateway cannot overcome by itself is
// trouble; what may pass is attention.
var troubles = map[uplink.Fault]trouble{
	uplink.FaultRefused:        {levelAttention, "Nobody answers at %s's address", "Is the cloud's broker running? Compare host and port with endpoints in the configuration. The gateway keeps trying."},
	uplink.FaultUnreachable:    {levelAttention, "There is no way to %s: the network is down", "Look at the router, the cable or the Wi-Fi. The gateway keeps trying."},
	uplink.FaultTimedOut:       {levelAttention, "%s does not answer", "Is the internet there? If it is, a firewall may be in the way, or the host and port in endpoints are wrong. The gateway keeps trying."},
	uplink.FaultNoName:         {levelAttention, "The name of %s is not found", "Is the internet there? If it is, look for a typing mistake in endpoints. The gateway keeps trying."},
	uplink.FaultHandshake:      {levelTrouble, "%s and the gateway cannot agree on encryption", "Is this a port for TLS? Without encryption the address begins with mqtt://, with it with mqtts://."},
	uplink.FaultClock:          {levelAttention, "The gateway does not know the time, so it cannot check %s's certificate", "It asks the network for the time (NTP): is the internet there?"},
	uplink.FaultProxy:          {levelAttention, "The HTTP proxy on the way to %s does not let the gateway through", "Look at proxy and proxy-password-file of the uplink."},
	uplink.FaultExpired:        {levelTrouble, "The certificate of %s is not valid at this time", "Is the gateway's clock right? If it is, whoever runs the cloud has to renew the certificate."},
	uplink.FaultUntrusted:      {levelTrouble, "The certificate of %s is not trusted", "Does the name in endpoints match the certificate? A cloud with an authority of its own needs that in ca-file."},
	uplink.FaultOwnCertificate: {levelTrouble, "%s does not take the gateway's certificate", "Renew cert-file and key-file of the uplink; the gateway reads them again by itself."},
	uplink.FaultNoNode:         {levelAttention, "%s closes the connection at once", "Its load balancer may have no broker behind it just now, or this is not a port for MQTT. The gateway keeps trying."},
	uplink.FaultNoAnswer:       {levelAttention, "%s takes the connection and does not answer", "Is this a port for MQTT? If it is, the cloud's broker hangs. The gateway keeps trying."},
	uplink.FaultWebSocket:      {levelTrouble, "What answers at %s's address is no MQTT", "Look at the path of the address in endpoints; often it is /mqtt."},
	uplink.FaultCredentials:    {levelTrouble, "%s refuses the password", "Correct user and password-file of the uplink, " + reload},
	uplink.FaultNotAuthorized:  {levelTrouble, "%s does not let this gateway in", "Are user and password-file of the uplink right? If they are, give its user the permission to connect, there. The gateway keeps trying."},
	uplink.FaultWillRefused:    {levelAttention, "%s does not let the gateway tell that it lives", "Permit it to publish on the topic tidegate/GATEWAY/status, or set status = false in the uplink."},
	uplink.FaultBadClientID:    {levelTrouble, "%s does not take the gateway's client id", "Set client-id in the uplink to what the cloud expects, " + reload},
	uplink.FaultBanned:         {levelTrouble, "%s has banned this gateway", "Ask whoever runs the cloud."},
	uplink.FaultVersion:        {levelTrouble, "%s does not speak MQTT 5", "The uplink needs a cloud that does."},
	uplink.FaultBusy:           {levelAttention, "%s is too busy to let the gateway in", "The gateway keeps trying."},
	uplink.FaultRedirected:     {levelAttention, "%s sends the gateway to a server that it may not use", "Permit that server with redirect-to in the uplink."},
	uplink.FaultDeclined:       {levelTrouble, "%s refuses the gateway", "The log tells the reason that it gave."},
	uplink.FaultClosed:         {levelAttention, "The connection to %s broke", "The gateway keeps trying."},
	uplink.FaultHalfOpen:       {levelAttention, "What is sent to %s arrives nowhere", "Is the internet there? The gateway keeps trying."},
	uplink.FaultSilent:         {levelAttention, "%s has stopped answering", "The gateway keeps trying."},
	uplink.FaultStuck:          {levelAttention, "%s answers and acknowledges nothing", "Its broker may be overloaded. The gateway keeps trying."},
	uplink.FaultLate:           {levelAttention, "%s is slow: acknowledgements come late", "Nothing is lost; what is late is kept on the card."},
	uplink.FaultNotRouting:     {levelAttention, "A server of %s takes messages and does not pass them on", "The gateway has left it for another."},
	uplink.FaultShutDown:       {levelAttention, "%s is shutting down", "The gateway keeps trying."},
	uplink.FaultKicked:         {levelAttention, "Somebody has disconnected the gateway from %s", "The gateway keeps trying."},
	uplink.FaultTakenOver:      {levelTrouble, "Another client connects to %s under this gateway's name", "Every gateway needs an id of its own: set id in [gateway], or client-id in the uplink."},
	uplink.FaultProtocol:       {levelTrouble, "%s answers with something that is not MQTT 5", "Is this a broker for MQTT 5? The log tells what came."},
	uplink.FaultSubscription:   {levelTrouble, "%s does not let the gateway receive commands", "Permit it to subscribe to the topics of [[uplink.down]], there."},
	uplink.FaultFiles:          {levelTrouble, "A file that the uplink needs for %s cannot be used", "The log tells which: ca-file, cert-file, key-file or password-file."},
	uplink.FaultMoving:         {levelInfo, "The connection to %s is made anew, because the configuration changed", ""},
}

// troubleOf never returns empty words.
func troubleOf(f uplink.Fault) trouble {
	if t, ok := troubles[f]; ok {
		return t
	}
	return trouble{levelAttention, "%s cannot be reached", "The log tells more. The gateway keeps trying."}
}

// dropWords says why messages will not reach the cloud.
var dropWords = map[spool.Cause]string{
	spool.ForOldest:   "the memory for what waits was full, and the oldest gave way",
	spool.ForNewest:   "the memory for what waits was full, and the newest were not taken in",
	spool.ForReject:   "the memory for what waits was full, and the devices were told so",
	spool.ForDisk:     "the card's part for what waits was full, and the oldest gave way",
	spool.ForExpiry:   "their time to live was over, as the devices had set it",
	spool.ForAge:      "they had waited longer than max-age permits",
	spool.ForRefusal:  "the cloud refused them for good; they are among the dead letters",
	spool.ForDamage:   "a file on the card was damaged",
	spool.ForNoLetter: "the cloud refused them, and there was no room among the dead letters",
}

// lost says whether a cause takes messages away that somebody misses: not those
// that were to expire or that still lie among the dead letters.
func lost(c spool.Cause) bool {
	return c != spool.ForExpiry && c != spool.ForAge && c != spool.ForRefusal
}

var stateWords = map[string]string{
	uplink.Connecting: "connecting",
	uplink.Backoff:    "waiting before the next try",
	uplink.Connected:  "connected",
	uplink.Slow:       "connected, and slow",
	uplink.Draining:   "moving, after the last acknowledgements",
	uplink.Stopped:    "stopped",
}
