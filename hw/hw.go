package hw

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"tidegate/hw/internal/chip"
	"tidegate/internal/wall"
)

// Options is what the rest of the gateway gives the hardware.
type Options struct {
	Gateway string // id of the gateway
	Version string // of the gateway
	Log     *slog.Logger
	Dir     string                   // where the gateway keeps its state
	Spend   func(bytes int64)        // is told what the card is given; may be nil
	Submit  func(*Message)           // takes a reading like the PUBLISH of a device; called from several goroutines
	Clock   func() (time.Time, bool) // the time of day, and whether anybody knows it; nil: the kernel's word
	// MayPublish says whether a client of the broker may publish on a topic; nil:
	// all may.
	MayPublish func(client, topic string) bool
	// Watch calls f with every message whose topic one of the filters matches,
	// the retained ones first, in the caller's goroutine until ctx ends; nil when
	// nobody can be heard.
	Watch func(ctx context.Context, filters []string, f func(*Message))
}

// AvailabilityTopic has "online", retained, while the hardware is read, and
// "offline" after a clean stop.
const AvailabilityTopic = "tidegate/availability"

// Hardware is everything wired to the Pi.
type Hardware struct {
	opt   Options
	parts []part
	ears  *hearing // nil without actuators

	places []Place

	follows  bool        // another Hardware, which has said nothing at its end
	followed atomic.Bool // by another
}

// part is something of the hardware that runs: a bus with its sensors, a line.
type part interface {
	run(ctx context.Context) error // returns after ctx has ended, or with what ends the gateway
	addStats(*Stats)               // may be called at any time
}

// Stats counts since New.
type Stats struct {
	Sensors  int           `json:"sensors"`
	Readings int64         `json:"readings"`
	Errors   int64         `json:"errors"` // readings that a sensor could not give
	Sensor   []SensorStats `json:"sensor"`

	Input    []LineStats `json:"input"`
	Actuator []LineStats `json:"actuator"`
}

// SensorStats is what is known of one sensor.
type SensorStats struct {
	Name     string `json:"name"`
	Kind     string `json:"kind"`
	Bus      string `json:"bus"`
	State    State  `json:"state"`
	Cause    string `json:"cause,omitempty"` // why it is offline
	Readings int64  `json:"readings"`
	Errors   int64  `json:"errors"`
}

// New checks the configuration and finds the sensors; Run reads them.
func New(cfg Config, opt Options) (*Hardware, error) {
	return build(cfg, opt, chip.Find, kernelBuses(opt.Dir))
}

func build(cfg Config, opt Options, find finder, open opener) (*Hardware, error) {
	if problems := cfg.check(find); len(problems) > 0 {
		errs := make([]error, len(problems))
		for i, p := range problems {
			errs[i] = errors.New("hw." + p.String())
		}
		return nil, errors.Join(errs...)
	}
	if opt.Clock == nil {
		opt.Clock = wall.Now
	}
	h := &Hardware{opt: opt, places: placesOf(cfg, find)}
	h.addSensors(cfg.Sensor, find, open)
	h.addLines(cfg, kernelLines{})
	h.addAnnouncer(cfg, find, open)
	return h, nil
}

// addSensors makes a reader for each bus.
func (h *Hardware) addSensors(all []SensorConfig, find finder, open opener) {
	buses := map[string]*reader{}
	for _, c := range all {
		c = c.withDefaults()
		k, _ := c.kind(find)
		s := newSensor(c, k, open, h.opt)
		r := buses[s.bus]
		if r == nil {
			r = &reader{bus: s.bus, log: h.opt.Log.With("bus", s.bus), announce: h.announce}
			buses[s.bus] = r
			h.parts = append(h.parts, r)
		}
		r.sensors = append(r.sensors, s)
	}
}

// Run reads and drives everything until ctx ends.
func (h *Hardware) Run(ctx context.Context) error {
	if len(h.parts) == 0 {
		if h.follows {
			h.announce(AvailabilityTopic, string(Offline))
		}
		<-ctx.Done()
		return nil
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	h.announce(AvailabilityTopic, string(Online))
	var hearing, wg sync.WaitGroup
	if h.ears != nil { // until all has ended: what comes meanwhile is for an heir
		listening, deafen := context.WithCancel(context.WithoutCancel(ctx))
		defer hearing.Wait()
		defer deafen()
		hearing.Go(func() { h.ears.run(listening) })
	}
	errs := make([]error, len(h.parts))
	for i, p := range h.parts {
		wg.Go(func() {
			if errs[i] = p.run(ctx); errs[i] != nil {
				stop()
			}
		})
	}
	wg.Wait()
	if !h.followed.Load() {
		h.announce(AvailabilityTopic, string(Offline))
	}
	return errors.Join(errs...)
}

// Stats may be called at any time.
func (h *Hardware) Stats() Stats {
	s := Stats{Sensor: []SensorStats{}, Input: []LineStats{}, Actuator: []LineStats{}}
	for _, p := range h.parts {
		p.addStats(&s)
	}
	return s
}

// announce publishes a word about something, retained.
func (h *Hardware) announce(topic, word string) {
	h.opt.Submit(&Message{
		Topic: topic, Payload: []byte(word), Properties: properties(contentType("plain")),
		Accepted: time.Now(), QoS: 1, Retain: true,
	})
}
