package hw

import (
	"cmp"
	"context"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"tidegate/hw/internal/chip"
	"tidegate/hw/internal/discovery"
	"tidegate/internal/topic"
)

// HomeAssistantConfig is [hw.homeassistant].
type HomeAssistantConfig struct {
	Enabled bool   `toml:"enabled"` // announce all sensors, inputs and actuators; else take back what was announced
	Prefix  string `toml:"prefix"`  // of the topics that Home Assistant listens to
}

func defaultHomeAssistant() HomeAssistantConfig {
	return HomeAssistantConfig{Enabled: true, Prefix: "homeassistant"}
}

func (c HomeAssistantConfig) check() problems {
	var all problems
	wrong := !topic.ValidName(c.Prefix) || strings.HasPrefix(c.Prefix, "$") || strings.HasSuffix(c.Prefix, "/")
	all.bad(c.Enabled && wrong, "prefix", c.Prefix, "the beginning of a topic name, without + and # and no / at its end",
		"Home Assistant has it in the options of its MQTT integration; \"homeassistant\" is its own default")
	return all
}

// announcer tells Home Assistant of everything that is wired to the Pi, and of
// what no longer is.
//
//	start, reload ---> what differs from the memory of the last run, then the rest
//	its birth -------> all once more
//	every minute ----> what the board tells by now
type announcer struct {
	config  HomeAssistantConfig
	opt     Options
	log     *slog.Logger
	sensors []announced
	lines   []discovery.Device // inputs and actuators
	memory  memory
	birth   chan struct{} // has one element when Home Assistant wants to hear all
}

// announced is a sensor and what to say of it.
type announced struct {
	config SensorConfig
	kind   chip.Kind
	open   opener
	known  map[string]bool // quantities that the board was seen to tell; nil for a chip, which tells all
}

// addAnnouncer adds what tells Home Assistant, where there is something to tell
// or to take back.
func (h *Hardware) addAnnouncer(cfg Config, find finder, open opener) {
	if h.opt.Gateway == "" || len(h.parts) == 0 && !remembers(h.opt.Dir) {
		return
	}
	h.parts = append(h.parts, newAnnouncer(cfg, h.opt, find, open))
}

// boardEvery is how often the board is asked whether it tells more.
const boardEvery = time.Minute

func newAnnouncer(cfg Config, opt Options, find finder, open opener) *announcer {
	a := &announcer{config: cfg.HomeAssistant, opt: opt, log: opt.Log, birth: make(chan struct{}, 1)}
	if !cfg.HomeAssistant.Enabled {
		return a
	}
	a.lines = lineDevices(cfg, opt.Gateway)
	for _, c := range cfg.Sensor {
		c = c.withDefaults()
		k, _ := c.kind(find)
		s := announced{config: c.timed(k), kind: k, open: open}
		if k.Bus == chip.Board {
			s.known = map[string]bool{}
		}
		a.sensors = append(a.sensors, s)
	}
	return a
}

// run announces until ctx ends. What was announced stays: it is the
// availability that says whether it is there.
func (a *announcer) run(ctx context.Context) error {
	a.memory = recall(a.opt.Dir, a.log)
	a.recognize()
	a.publish(a.missed(a.settle()))
	var watching sync.WaitGroup
	defer watching.Wait()
	if a.config.Enabled && a.opt.Watch != nil {
		watching.Go(func() { a.opt.Watch(ctx, []string{discovery.Birth(a.config.Prefix)}, a.born) })
	}
	var tick <-chan time.Time // none without a board
	if slices.ContainsFunc(a.sensors, func(s announced) bool { return s.known != nil }) {
		ticker := time.NewTicker(boardEvery)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.birth:
			a.publish(a.messages())
		case <-tick:
			a.settle()
		}
	}
}

func (a *announcer) addStats(*Stats) {}

// born takes notice of a message on Home Assistant's birth topic.
func (a *announcer) born(m *Message) {
	if string(m.Payload) != discovery.Online {
		return
	}
	select {
	case a.birth <- struct{}{}:
	default: // it will hear all anyway
	}
}

// recognize counts what a board told in an earlier run as told: Wi-Fi may only
// be on its way, and what is taken back loses what people set in Home Assistant.
func (a *announcer) recognize() {
	for _, s := range a.sensors {
		if s.known != nil {
			for key := range discovery.Keys([]byte(a.memory.Announced[a.device(s).Topic(a.config.Prefix)])) {
				s.known[key] = true
			}
		}
	}
}

// settle publishes what differs from what was announced last, and returns it.
func (a *announcer) settle() []discovery.Message {
	is := a.messages()
	changes := discovery.Changes(a.memory.payloads(), is)
	if len(changes) == 0 {
		return nil
	}
	a.memory.replace(is, changes)
	if err := a.memory.save(a.opt.Dir); err != nil {
		a.log.Warn("what Home Assistant was told is not kept; what leaves the configuration may stay there", "err", err)
	}
	a.publish(changes)
	return changes
}

// missed is what is not among the changes: all is announced at every start,
// and what was taken back last is taken back once more, because after a power
// cut the broker may have an older word of it.
func (a *announcer) missed(changes []discovery.Message) (all []discovery.Message) {
	said := map[string]bool{}
	for _, m := range changes {
		said[m.Topic] = true
	}
	for _, topic := range a.memory.Gone {
		if !said[topic] {
			all = append(all, discovery.Message{Topic: topic})
		}
	}
	for _, m := range a.messages() {
		if !said[m.Topic] {
			all = append(all, m)
		}
	}
	return all
}

func (a *announcer) publish(all []discovery.Message) {
	for _, m := range all {
		a.opt.Submit(&Message{
			Topic: m.Topic, Payload: m.Payload, Properties: properties(contentType("json")),
			Accepted: time.Now(), QoS: 1, Retain: true,
		})
	}
}

func (a *announcer) messages() []discovery.Message {
	origin := discovery.Origin{Name: "Tidegate", Version: a.opt.Version}
	var all []discovery.Message
	for _, s := range a.sensors {
		s.look()
		if d := a.device(s); len(d.Components) > 0 {
			all = append(all, discovery.Announce(a.config.Prefix, origin, d))
		}
	}
	for _, d := range a.lines {
		all = append(all, discovery.Announce(a.config.Prefix, origin, d))
	}
	return all
}

// look finds out what a board tells by now.
func (s announced) look() {
	if s.known == nil {
		return
	}
	w, wire, err := s.open(s.config, s.kind)
	if err != nil {
		return
	}
	if wire != nil {
		defer wire.Close()
	}
	board, err := s.kind.Open(w)
	if err != nil {
		return
	}
	defer board.Halt()
	values := make([]float64, len(s.kind.Quantities))
	if board.Read(values) != nil {
		return
	}
	for i, q := range s.kind.Quantities {
		if !math.IsNaN(values[i]) {
			s.known[q.Name] = true
		}
	}
}

// device is what there is to say of a sensor.
func (a *announcer) device(s announced) discovery.Device {
	c := s.config
	d := discovery.Device{
		Gateway: a.opt.Gateway, Name: c.Name, Model: cmp.Or(s.kind.Title, s.kind.Name),
		Availability: []string{AvailabilityTopic, c.availability()},
	}
	for _, m := range measuresOf(c, s.kind) {
		if s.known != nil && !s.known[m.Name] {
			continue
		}
		part := discovery.Measured(m.Name, m.Class, m.unit, m.Total, m.decimals)
		part.State, part.Expire, part.Diagnostic = m.topic, c.stale(), s.kind.Bus == chip.Board
		if c.Payload == "json" {
			part.Field = m.Name
		}
		d.Components = append(d.Components, part)
	}
	return d
}

// stale is after how many seconds without a reading a value is none any more:
// three times the longest silence that is usual.
func (c SensorConfig) stale() int {
	silence := c.Every
	for _, q := range c.Quantity {
		if q.Change > 0 {
			silence = max(c.AtLeast, c.Every)
		}
	}
	return staleAfter(silence.Std())
}

func staleAfter(silence time.Duration) int {
	return int(math.Ceil(max(3*silence, time.Minute).Seconds()))
}
