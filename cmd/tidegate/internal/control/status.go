package control

import "time"

// Time is written as RFC 3339 with milliseconds, in UTC; the zero Time is null.
type Time time.Time

const timeLayout = "2006-01-02T15:04:05.000Z07:00"

// MarshalJSON implements json.Marshaler.
func (t Time) MarshalJSON() ([]byte, error) {
	if time.Time(t).IsZero() {
		return []byte("null"), nil
	}
	return time.Time(t).UTC().AppendFormat([]byte{}, `"`+timeLayout+`"`), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (t *Time) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*t = Time{}
		return nil
	}
	v, err := time.Parse(`"`+time.RFC3339+`"`, string(b))
	*t = Time(v)
	return err
}

// Verdict is how the gateway is, in one word.
type Verdict string

// The verdicts. Attention: something is not as it should be and nothing is lost.
// Trouble: somebody has to do something, or something is being lost.
const (
	Well      Verdict = "well"
	Attention Verdict = "attention"
	Trouble   Verdict = "trouble"
)

// Status is the body of /v1/status, and of each event of /v1/live.
type Status struct {
	Gateway    string    `json:"gateway"`
	Version    string    `json:"version"`
	Time       Time      `json:"time"`
	Uptime     float64   `json:"uptime"` // seconds
	ClockUnset bool      `json:"clock_unset"`
	Verdict    Verdict   `json:"verdict"`
	Headline   string    `json:"headline"`
	Findings   []Finding `json:"findings"` // the worst first

	Home      Home       `json:"home"`
	Uplinks   []Uplink   `json:"uplinks"`
	Sensors   []Sensor   `json:"sensors"`
	Actuators []Actuator `json:"actuators"`
	Card      Card       `json:"card"`
	Memory    Memory     `json:"memory"`
}

// Finding is one thing that somebody should know.
type Finding struct {
	Level string `json:"level"` // trouble, attention, info
	About string `json:"about"` // cloud, home, spool, sensors, card, memory, clock
	What  string `json:"what"`  // a sentence
	Hint  string `json:"hint"`  // what to do; may be empty
	Since Time   `json:"since"` // null: not known
}

// Home is what the devices do.
type Home struct {
	Devices      int        `json:"devices"`  // connected
	Sessions     int        `json:"sessions"` // also of those that are away
	InPerS       float64    `json:"in_per_s"` // messages
	OutPerS      float64    `json:"out_per_s"`
	Received     int64      `json:"received"` // since the start
	Sent         int64      `json:"sent"`
	Refused      int64      `json:"refused"` // by permissions or for lack of room
	LoginsFailed int64      `json:"logins_failed"`
	Dropped      int64      `json:"dropped"`
	Queued       int        `json:"queued"` // for devices that are away or slow
	Listeners    []Listener `json:"listeners"`
}

// Listener is an address where devices connect.
type Listener struct {
	Address  string `json:"address"`
	Protocol string `json:"protocol"` // tcp, tls, websocket, websocket over tls, unix
}

// The states of an uplink.
const (
	Flowing  = "flowing"  // the cloud acknowledges what is sent
	Partly   = "partly"   // some links are up
	Slow     = "slow"     // connected, and acknowledgements are late
	Storing  = "storing"  // nothing goes up; what comes is kept
	Starting = "starting" // no link has been up yet, for some seconds
	Stopped  = "stopped"
)

// Uplink is one cloud.
type Uplink struct {
	Name       string  `json:"name"`
	State      string  `json:"state"`
	Words      string  `json:"words"`
	Links      []Link  `json:"links"`
	Spool      Spool   `json:"spool"`
	SentPerS   float64 `json:"sent_per_s"`
	AckedPerS  float64 `json:"acked_per_s"`
	Dropped    []Drop  `json:"dropped"`
	Dead       Dead    `json:"dead"`
	Routes     []Route `json:"routes"`
	StatusText string  `json:"status_fault"` // why the cloud is not told that the gateway lives; "" when it is
}

// Link is one connection to the cloud.
type Link struct {
	ID         string  `json:"id"`
	Down       bool    `json:"down"`
	Endpoint   string  `json:"endpoint"` // "" for none
	State      string  `json:"state"`    // as uplink.LinkStats has it
	Flowing    bool    `json:"flowing"`  // acknowledgements come
	Words      string  `json:"words"`
	Hint       string  `json:"hint"`
	Fault      string  `json:"fault"` // the kind, for programs; "" when all is well
	Since      Time    `json:"since"`
	Lasting    float64 `json:"lasting"` // seconds in this state, by a clock that does not jump
	RTT        float64 `json:"rtt"`     // seconds; 0: not known, or not measured in the last minute
	InFlight   int     `json:"in_flight"`
	Sent       int64   `json:"sent"`
	Acked      int64   `json:"acked"`
	Received   int64   `json:"received"`
	Reconnects int64   `json:"reconnects"`
	Failovers  int64   `json:"failovers"`
	Returns    int64   `json:"returns"`
}

// Route is a rule that carries topics.
type Route struct {
	Down     bool   `json:"down"`
	Filter   string `json:"filter"`
	Messages int64  `json:"messages"`
	Refused  int64  `json:"refused"`
	Paused   bool   `json:"paused"`
	Words    string `json:"words"` // why it is paused or its messages are held back
}

// Spool is what waits for the cloud.
type Spool struct {
	RAMMessages  int      `json:"ram_messages"` // not acknowledged and on no disk
	RAMBytes     int64    `json:"ram_bytes"`
	InFlight     int      `json:"in_flight"`
	DiskMessages int      `json:"disk_messages"`
	DiskBytes    int64    `json:"disk_bytes"` // of the files
	DiskLimit    int64    `json:"disk_limit"`
	OldestAge    float64  `json:"oldest_age"`    // seconds
	DrainSeconds *float64 `json:"drain_seconds"` // until nothing waits, as it goes now; null: nothing waits, or nobody knows
	FullSeconds  *float64 `json:"full_seconds"`  // until the disk's part is full, as it goes now; null: it does not fill
	Words        string   `json:"words"`
	Fault        string   `json:"fault"` // with the disk; "" when all is well
	Classes      []Class  `json:"classes"`
}

// Waiting is how many messages wait for the cloud, but for those in flight.
func (s *Spool) Waiting() int { return s.RAMMessages + s.DiskMessages }

// Class is what waits of one class, over all links.
type Class struct {
	Name      string  `json:"name"`
	RAM       int     `json:"ram"`
	InFlight  int     `json:"in_flight"`
	Disk      int     `json:"disk"`
	Bytes     int64   `json:"bytes"` // in RAM and on disk
	OldestAge float64 `json:"oldest_age"`
}

// Drop counts messages that will never reach the cloud.
type Drop struct {
	Route string `json:"route"`
	Cause string `json:"cause"`
	Count int64  `json:"count"`
	Words string `json:"words"`
}

// Dead is how much lies among the dead letters.
type Dead struct {
	Count int   `json:"count"`
	Bytes int64 `json:"bytes"`
	Lost  int64 `json:"lost"` // for which there was no room, since the start
}

// Sensor is a sensor or an input that is wired to the gateway.
type Sensor struct {
	Name      string  `json:"name"`
	Kind      string  `json:"kind"`
	Topic     string  `json:"topic"`
	Values    []Value `json:"values"`
	Time      Time    `json:"time"` // of the values; null: none yet
	Available bool    `json:"available"`
	Words     string  `json:"words"` // why it is not available
}

// Value is one quantity of a sensor.
type Value struct {
	Field string   `json:"field"` // "" for the only one
	Unit  string   `json:"unit"`
	Value *float64 `json:"value"` // null: none, or it is a text
	Text  string   `json:"text"`  // of an input: ON, OFF, PRESS
	Trend string   `json:"trend"` // rising, falling, steady; "" when nobody knows
}

// Actuator is something the gateway switches.
type Actuator struct {
	Name      string   `json:"name"`
	Kind      string   `json:"kind"`
	Topic     string   `json:"topic"`    // of the state
	Command   string   `json:"command"`  // topic
	Commands  []string `json:"commands"` // that it knows
	State     string   `json:"state"`    // ON, OFF, OPEN, CLOSED; "" while nobody knows
	Available bool     `json:"available"`
	Words     string   `json:"words"`
}

// Card is the memory card, or whatever disk the data lies on.
type Card struct {
	Disk      string  `json:"disk"`
	Free      int64   `json:"free"` // bytes
	Size      int64   `json:"size"`
	Today     Written `json:"today"`
	LastDay   Written `json:"last_day"`
	Total     Written `json:"total"`
	LifeUsed  *int    `json:"life_used"` // percent; null: the card does not say
	SparesLow bool    `json:"spares_low"`
	WearLeft  float64 `json:"wear_left"` // of the budget, 0 to 1
	Words     string  `json:"words"`
}

// Written is what was written in a time.
type Written struct {
	Seconds int64 `json:"seconds"`
	Bytes   int64 `json:"bytes"` // by everything
	Ours    int64 `json:"ours"`  // of that, by the gateway
}

// Memory is what the process takes.
type Memory struct {
	RSS        int64 `json:"rss"` // bytes
	Goroutines int   `json:"goroutines"`
	Held       int64 `json:"held"` // by devices, as limits.memory counts
}
