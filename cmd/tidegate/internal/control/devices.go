package control

import (
	"net/http"
	"strings"
	"time"

	"tidegate/edge"
)

// Device is a client of the broker: connected, or away with a session.
type Device struct {
	ClientID    string    `json:"client_id"`
	User        string    `json:"user"` // "" for an anonymous one
	Address     string    `json:"address"`
	Listener    string    `json:"listener"`
	Protocol    string    `json:"protocol"`
	Transport   string    `json:"transport"`
	Connected   bool      `json:"connected"`
	Since       time.Time `json:"since"` // connected, or away
	Received    int64     `json:"received"`
	Sent        int64     `json:"sent"`
	Queued      int       `json:"queued"`
	QueuedBytes int64     `json:"queued_bytes"`
}

// Devices is the body of /v1/devices: a part of those that were asked for, by id.
type Devices struct {
	Total   int            `json:"total"`
	Devices []DeviceOfList `json:"devices"`
}

// DeviceOfList is a device with how many subscriptions it has.
type DeviceOfList struct {
	Device
	Subscriptions int `json:"subscriptions"`
}

// DeviceDetail is the body of /v1/devices/{client_id}.
type DeviceDetail struct {
	Device
	Subscriptions []Subscription `json:"subscriptions"`
	Will          *Will          `json:"will"`
	KeepAlive     float64        `json:"keep_alive"` // seconds; 0: any silence
	Expiry        float64        `json:"expiry"`     // seconds that the session is kept; 0: as long as it is connected
	InFlight      int            `json:"in_flight"`
	Dropped       int64          `json:"dropped"`
}

// Subscription is one of a device.
type Subscription struct {
	Filter string `json:"filter"`
	QoS    byte   `json:"qos"`
}

// Will is what is published when the device fails.
type Will struct {
	Topic       string `json:"topic"`
	QoS         byte   `json:"qos"`
	Retain      bool   `json:"retain"`
	PayloadSize int    `json:"payload_size"` // bytes
}

func deviceOf(c *edge.Client) Device {
	return Device{
		ClientID: c.ID, User: c.User, Address: c.Address, Listener: c.Listener, Protocol: c.Protocol, Transport: c.Transport,
		Connected: c.Connected, Since: c.Since.UTC().Round(time.Millisecond),
		Received: c.Received, Sent: c.Sent, Queued: c.Queued, QueuedBytes: c.QueuedBytes,
	}
}

// listDevices answers with those whose id, user or address has the words searched
// for.
func (a *API) listDevices(w http.ResponseWriter, r *http.Request) error {
	if a.opt.Clients == nil {
		return missing("devices")
	}
	p, err := pageOf(r)
	if err != nil {
		return err
	}
	words := strings.ToLower(r.URL.Query().Get("search"))
	var found []DeviceOfList
	for _, c := range a.opt.Clients() {
		if strings.Contains(strings.ToLower(c.ID+"\n"+c.User+"\n"+c.Address), words) {
			found = append(found, DeviceOfList{deviceOf(&c), c.Subscriptions})
		}
	}
	return answer(w, Devices{Total: len(found), Devices: cut(found, p)})
}

func (a *API) device(w http.ResponseWriter, r *http.Request) error {
	if a.opt.Client == nil {
		return missing("devices")
	}
	c, ok := a.opt.Client(r.PathValue("id"))
	if !ok {
		return noDevice(r)
	}
	d := DeviceDetail{Device: deviceOf(&c.Client), Subscriptions: []Subscription{}, KeepAlive: c.KeepAlive.Seconds(), Expiry: c.Expiry.Seconds(), InFlight: c.InFlight, Dropped: c.Dropped}
	for _, f := range c.Filters {
		d.Subscriptions = append(d.Subscriptions, Subscription{f.Filter, f.QoS})
	}
	if c.Will != nil {
		d.Will = &Will{c.Will.Topic, c.Will.QoS, c.Will.Retain, c.Will.PayloadSize}
	}
	return answer(w, d)
}

func (a *API) disconnect(w http.ResponseWriter, r *http.Request) error {
	if a.opt.Disconnect == nil {
		return missing("devices")
	}
	if !a.opt.Disconnect(r.PathValue("id")) {
		return noDevice(r)
	}
	return answer(w, struct{}{})
}

func noDevice(r *http.Request) error {
	return nothing("no device "+r.PathValue("id")+" is connected", "it may have gone in the meantime; /v1/devices lists those that are here")
}
