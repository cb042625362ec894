package discovery

import "strings"

// Platform is what Home Assistant makes of a component.
type Platform string

// The platforms.
const (
	Sensor       Platform = "sensor"        // a number, or a text
	BinarySensor Platform = "binary_sensor" // on or off, as it is
	Event        Platform = "event"         // something happened: a button was pressed
	Switch       Platform = "switch"        // on or off, as commanded
	Valve        Platform = "valve"         // open or closed, as commanded
	Light        Platform = "light"         // on or off and how bright
	Number       Platform = "number"        // a number, as commanded
)

// StateClass is how Home Assistant makes statistics of a sensor.
type StateClass string

// The state classes.
const (
	NoStatistics    StateClass = ""
	Measurement     StateClass = "measurement"      // mean, least and most
	TotalIncreasing StateClass = "total_increasing" // a counter; what falls has begun at 0 again
)

// Device is one thing that people would call so. Its gateway and name make its
// topic and all its ids, so it keeps its history in Home Assistant for as long
// as these stay.
type Device struct {
	Gateway      string // id of the gateway
	Name         string // as configured: letters, digits, "-" and "_"
	Title        string // as shown; "": made of Name
	Manufacturer string
	Model        string // "Bosch BME280"
	Availability []string
	Components   []Component
}

// Component is one quantity, state or control of a device. What a platform does
// not know must be left at its zero value.
type Component struct {
	Key        string // unique in the device: "temperature"
	Platform   Platform
	Title      string // as shown; "": made of Key
	Main       bool   // it is what the device is about, and is shown under the device's title
	Class      string // device class; "": none
	Unit       string
	StateClass StateClass
	Precision  *int // digits after the point to show; nil: as they come
	Diagnostic bool // shown apart from what the device is for

	State  string // topic; needed for all that has a state
	Field  string // of the JSON published on State; "": the whole payload is the value; of Light "state" or ""
	Binary bool   // the value is a number, 0 for off; else it is On or Off
	Expire int    // seconds without a message after which the value is unknown; 0: never

	Command string   // topic, of switch, valve, light and number
	On, Off string   // payloads, both ways; "": "ON" and "OFF", of a valve "OPEN" and "CLOSED"
	Events  []string // of Event: what Field can say
	Least   float64  // of Number
	Most    float64  // of Number; of Light: the greatest brightness
	Step    float64  // of Number
}

// Origin says who publishes, for Home Assistant's log.
type Origin struct {
	Name    string `json:"name"`
	Version string `json:"sw_version,omitempty"`
	URL     string `json:"support_url,omitempty"`
}

// Topic is where the device is announced.
func (d Device) Topic(prefix string) string {
	return prefix + "/device/" + node(d.Gateway) + "/" + node(d.Name) + "/config"
}

// Filter matches the topics of all devices of a gateway.
func Filter(prefix, gateway string) string { return prefix + "/device/" + node(gateway) + "/+/config" }

// Birth is the topic on which Home Assistant says that it has started, by the
// payload "online", and wants to hear of all devices.
func Birth(prefix string) string { return prefix + "/status" }

// Online is the payload of Home Assistant's birth message.
const Online = "online"

// node is a level of a discovery topic, which has letters, digits, "_" and "-"
// only.
func node(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		}
		return '_'
	}, s)
}

// id names a device, or a component of it, in the whole home: names have no
// slash, so no two things share one.
func (d Device) id(parts ...string) string {
	return strings.Join(append([]string{"tidegate", d.Gateway, d.Name}, parts...), "/")
}

// words are spelt otherwise than their key.
var words = map[string]string{
	"cpu": "CPU", "co2": "CO₂", "voc": "VOC", "tvoc": "TVOC", "eco2": "eCO₂", "ph": "pH", "uv": "UV",
	"wifi": "Wi-Fi", "sd": "SD", "pi": "Pi",
}

// title makes "Living room" of "living-room" and "CPU temperature" of
// "cpu_temperature".
func title(name string) string {
	all := strings.FieldsFunc(name, func(r rune) bool { return r == '-' || r == '_' })
	for i, w := range all {
		switch spelt, known := words[strings.ToLower(w)]; {
		case known:
			all[i] = spelt
		case i == 0:
			all[i] = strings.ToUpper(w[:1]) + w[1:]
		}
	}
	return strings.Join(all, " ")
}
