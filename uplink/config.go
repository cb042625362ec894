package uplink

import (
	"strings"
	"time"

	"tidegate/internal/conf"
	"tidegate/uplink/spool"
)

// Config is one [[uplink]] of the configuration: one cloud. Start from
// DefaultConfig, so that what the file leaves out has its default.
type Config struct {
	Name      string   `toml:"name"`      // for logs, numbers and the folder of the spool
	Endpoints []string `toml:"endpoints"` // mqtt://, mqtts://, ws:// and wss:// URLs; mqtt+srv:// and mqtts+srv:// names
	Links     int      `toml:"links"`     // up links; the down link comes on top when there are down routes
	ClientID  string   `toml:"client-id"` // prefix of the links' client ids; "" for the gateway's id

	ResolveEvery conf.Duration `toml:"resolve-every"` // between two lookups of the endpoints' names; also at each loss
	DNSServer    string        `toml:"dns-server"`    // address[:53]; "" for the system's

	SingleClient bool `toml:"single-client"` // one link for both directions, called ClientID: for clouds that allow one client id

	User         string `toml:"user"`
	PasswordFile string `toml:"password-file"`
	CAFile       string `toml:"ca-file"`   // PEM; "" for the system's
	CertFile     string `toml:"cert-file"` // PEM; with KeyFile, for clouds that ask for a client certificate
	KeyFile      string `toml:"key-file"`

	ALPN              []string  `toml:"alpn"`                // protocols that TLS asks for
	Proxy             string    `toml:"proxy"`               // http://[user@]host[:port]; "" for the environment's, "none"
	ProxyPasswordFile string    `toml:"proxy-password-file"` // of Proxy's user
	RateLimit         conf.Size `toml:"rate-limit"`          // bytes a second, of all links together; 0 for none

	KeepAlive      conf.Duration `toml:"keepalive"`
	ConnectTimeout conf.Duration `toml:"connect-timeout"` // TCP, TLS and CONNACK together
	AckTimeout     conf.Duration `toml:"ack-timeout"`     // least time before a PUBACK counts as late; grows with the round trip
	Patience       conf.Duration `toml:"patience"`        // how long a node may answer pings and acknowledge nothing
	ReconnectMax   conf.Duration `toml:"reconnect-max"`   // most time between two tries of one of up to three endpoints; of more, longer in proportion
	StableAfter    conf.Duration `toml:"stable-after"`    // how long an endpoint must be well before links return to it; 0: never
	DrainTimeout   conf.Duration `toml:"drain-timeout"`   // at stop and before a return, for the PUBACKs of what is in flight

	InFlight      int       `toml:"in-flight"`       // messages per link; the cloud's Receive Maximum may be less
	InFlightBytes conf.Size `toml:"in-flight-bytes"` // per link; one message always fits
	MaxPacket     conf.Size `toml:"max-packet"`      // largest packet taken from the cloud
	DownInFlight  int       `toml:"down-in-flight"`  // commands that may wait for devices: the Receive Maximum of the down link

	WaitForDevices conf.Duration `toml:"wait-for-devices"` // after a start, for the one that a command is for

	PauseAfter int           `toml:"pause-after"` // refusals in a row, then an up route is paused
	PauseFor   conf.Duration `toml:"pause-for"`   // most time until a paused route, or a topic that is refused for now, tries again

	Placement     string        `toml:"placement"`      // round-robin, random, sticky, weighted
	Weights       []int         `toml:"weights"`        // for weighted, one per entry of endpoints; none: all alike
	RedirectTo    []string      `toml:"redirect-to"`    // where a node may send links, besides the hosts of Endpoints: hosts, *.domain, networks
	RedirectFor   conf.Duration `toml:"redirect-for"`   // how long 0x9C Use Another Server holds; 0x9D Server Moved holds until that one fails
	Cluster       bool          `toml:"cluster"`        // false: separate brokers, which share no sessions
	SessionExpiry conf.Duration `toml:"session-expiry"` // of the down link, in a cluster
	LoopGuard     bool          `toml:"loop-guard"`     // send the message id, and drop what comes down with the gateway's own

	Prefix       string        `toml:"prefix"`        // of the gateway's own topics in the cloud; %g is the gateway's id; "" for DefaultPrefix
	Status       bool          `toml:"status"`        // tell PREFIX/status, retained, whether the gateway lives
	OfflineAfter conf.Duration `toml:"offline-after"` // the will waits so long for the down link to come back, in a cluster
	Canary       bool          `toml:"canary"`        // see whether nodes route to each other, on PREFIX/canary/LINK; in a cluster of several endpoints
	CanaryEvery  conf.Duration `toml:"canary-every"`

	Up    []Up         `toml:"up"`
	Down  []Down       `toml:"down"`
	Spool spool.Config `toml:"spool"`
}

// Up is a route from the edge to the cloud. The first route whose filter
// matches a topic carries it; what matches none stays at home.
type Up struct {
	Filter string `toml:"filter"` // local topics
	Strip  string `toml:"strip"`  // prefix taken off the topic; the filter must begin with it
	Add    string `toml:"add"`    // prefix put in front after that
	QoS    *int   `toml:"qos"`    // most; 0 or 1, 1 when left out. QoS 2 always goes up as 1, with its id
	Retain string `toml:"retain"` // keep (default) or clear
	Class  string `toml:"class"`  // urgent, normal (default) or bulk
}

// Down is a route from the cloud to the edge: a subscription of the down link.
type Down struct {
	Filter string `toml:"filter"` // cloud topics
	Strip  string `toml:"strip"`  // prefix taken off the topic; the filter must begin with it
	Add    string `toml:"add"`    // prefix put in front after that
	QoS    *int   `toml:"qos"`    // of the subscription; 0 or 1, 1 when left out
	Retain string `toml:"retain"` // keep (default) or clear
}

// DefaultPrefix is where a gateway has its own topics in the cloud; %g stands
// for the gateway's id.
const DefaultPrefix = "tidegate/%g"

// topics are what the uplink uses for itself in the cloud.
type topics struct {
	status string // "" for none
	canary string // with a slash at the end; "" for none
}

func (c Config) topics(gateway string) (t topics) {
	prefix := strings.ReplaceAll(or(c.Prefix, DefaultPrefix), "%g", gateway)
	if c.Status {
		t.status = prefix + "/status"
	}
	if c.canaries() {
		t.canary = prefix + "/canary/"
	}
	return t
}

// canaries says whether canaries may fly; where the nodes are separate, there is
// nothing between them to look at.
func (c Config) canaries() bool { return c.Canary && c.Cluster && !c.SingleClient }

// listens says whether there is a down link. DNS may make several nodes of one
// endpoint, but for canaries alone there is none on that chance.
func (c Config) listens() bool {
	return len(c.Down) > 0 || c.Status || c.canaries() && len(c.Endpoints) > 1
}

// DefaultConfig returns the defaults. It has no endpoints and no routes.
func DefaultConfig() Config {
	return Config{
		Name: "cloud", Links: 2,
		ResolveEvery:   conf.Duration(time.Minute),
		KeepAlive:      conf.Duration(15 * time.Second),
		ConnectTimeout: conf.Duration(5 * time.Second),
		AckTimeout:     conf.Duration(time.Second),
		Patience:       conf.Duration(30 * time.Second),
		ReconnectMax:   conf.Duration(time.Second),
		StableAfter:    conf.Duration(time.Minute),
		DrainTimeout:   conf.Duration(2 * time.Second),
		InFlight:       256, InFlightBytes: 1 << 20, MaxPacket: 1 << 20, DownInFlight: 1024,
		WaitForDevices: conf.Duration(10 * time.Second),
		Placement:      RoundRobin, Weights: []int{}, PauseAfter: 10, PauseFor: conf.Duration(time.Minute), RedirectTo: []string{}, RedirectFor: conf.Duration(time.Hour), Cluster: true, SessionExpiry: conf.Duration(24 * time.Hour), LoopGuard: true,
		Prefix: DefaultPrefix, Status: true, OfflineAfter: conf.Duration(30 * time.Second),
		Canary: true, CanaryEvery: conf.Duration(10 * time.Second),
		Spool: spool.DefaultConfig(),
	}
}
