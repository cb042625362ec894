package control

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"tidegate/edge"
	"tidegate/hw"
)

const (
	mostSeries = 100 // of all sensors together, a day of each is 17 KB
	mostSensed = 300 // values of all sensors together
	trendOver  = 10  // minutes
)

// senses has what sensors, inputs and actuators said last, and their day.
type senses struct {
	places   func() []hw.Place
	hear     func(ctx context.Context, filters []string, f func(*edge.Message, int64))
	retained func(filter string, f func(*edge.Message) bool)

	known []hw.Place // Run's alone
	end   context.CancelFunc
	done  chan struct{}

	mu  sync.Mutex // guards what follows
	of  []*sensed
	at  map[string][]*quantity // by topic
	all int                    // series
}

// sensed is one sensor, input or actuator.
type sensed struct {
	hw.Place
	quantities []*quantity
}

// quantity is one thing that it says.
type quantity struct {
	hw.Measure
	now            float64 // NaN: none
	text           string
	time           time.Time
	minute         mean
	day            bool // there is room for its series
	mins, maxs, ms series
}

// follow hears what is configured now; it is called now and then, by one
// goroutine.
func (s *senses) follow(ctx context.Context) {
	places := s.places()
	if reflect.DeepEqual(places, s.known) && (s.end != nil || len(places) == 0) {
		return
	}
	s.rest()
	s.known = places
	topics := s.build(places)
	if len(topics) == 0 {
		return
	}
	ctx, s.end = context.WithCancel(ctx)
	s.done = make(chan struct{})
	go func(done chan struct{}) {
		defer close(done)
		s.hear(ctx, topics, func(m *edge.Message, _ int64) {
			if m != nil {
				s.take(m)
				return
			}
			for _, topic := range topics { // an actuator may say nothing more for days
				s.retained(topic, func(m *edge.Message) bool { s.take(m); return true })
			}
		})
	}(s.done)
}

func (s *senses) rest() {
	if s.end != nil {
		s.end()
		<-s.done
		s.end = nil
	}
}

// build makes place for what is configured; what was known of the same thing
// stays.
func (s *senses) build(places []hw.Place) (topics []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.of
	s.of, s.at, s.all = nil, map[string][]*quantity{}, 0
	n := 0
	for _, p := range places {
		one := &sensed{Place: p}
		if i := slices.IndexFunc(before, func(o *sensed) bool { return reflect.DeepEqual(o.Place, p) }); i >= 0 {
			one = before[i]
		} else {
			for _, m := range p.Measures {
				one.quantities = append(one.quantities, &quantity{Measure: m, now: math.NaN()})
			}
		}
		if n += len(one.quantities); n > mostSensed {
			break
		}
		for _, q := range one.quantities {
			if q.day = !q.Text && s.all < mostSeries; q.day {
				s.all++
			}
			s.at[q.Topic] = append(s.at[q.Topic], q)
		}
		s.of = append(s.of, one)
	}
	return slices.Sorted(maps.Keys(s.at))
}

// take notes what was said. Only the gateway itself speaks for its sensors.
func (s *senses) take(m *edge.Message) {
	if m.From != "" || len(m.Payload) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var object map[string]any
	for _, q := range s.at[m.Topic] {
		var said any = string(m.Payload)
		if q.JSON {
			if object == nil && json.Unmarshal(m.Payload, &object) != nil {
				return
			}
			said = object[q.Field]
		}
		q.take(said, m.Accepted)
	}
}

func (q *quantity) take(said any, at time.Time) {
	q.time, q.now, q.text = at, math.NaN(), ""
	switch x := said.(type) {
	case float64:
		q.now = x
	case string:
		v, err := strconv.ParseFloat(strings.TrimSpace(x), 64)
		if err != nil || q.Text {
			q.text = clip(x, 100)
			return
		}
		q.now = v
	}
	if q.day && !math.IsNaN(q.now) && !math.IsInf(q.now, 0) {
		q.minute.add(q.now)
	}
}

// roll ends minutes. What did not change within its dead band is as it was, if
// the sensor is there.
func (s *senses) roll(n int, h *hw.Stats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range n {
		for _, one := range s.of {
			online, _ := standing(one.Name, h)
			for _, q := range one.quantities {
				if q.day {
					q.roll(online)
				}
			}
		}
	}
}

func (q *quantity) roll(online bool) {
	if q.minute.n == 0 && online && !math.IsNaN(q.now) {
		q.minute.add(q.now)
	}
	low, high := q.minute.min, q.minute.max
	if q.minute.n == 0 {
		low, high = math.NaN(), math.NaN()
	}
	q.mins.push(low)
	q.maxs.push(high)
	q.ms.push(q.minute.take())
}

// trend compares with ten minutes ago; what the minutes in between spread is
// steady.
func (q *quantity) trend() string {
	then := q.ms.ago(trendOver)
	if math.IsNaN(then) || math.IsNaN(q.now) {
		return ""
	}
	noise, n := 0.0, 0
	for i := 1; i <= trendOver; i++ {
		if spread := q.maxs.ago(i) - q.mins.ago(i); !math.IsNaN(spread) {
			noise, n = noise+spread, n+1
		}
	}
	least := max(math.Abs(then)*0.003, noise/float64(max(n, 1)))
	switch d := q.now - then; {
	case d > least:
		return "rising"
	case d < -least:
		return "falling"
	}
	return "steady"
}

// standing says whether something that is wired is there, and why not.
func standing(name string, h *hw.Stats) (online bool, cause string) {
	for _, x := range h.Sensor {
		if x.Name == name {
			return x.State == hw.Online, x.Cause
		}
	}
	for _, list := range [][]hw.LineStats{h.Input, h.Actuator} {
		for _, x := range list {
			if x.Name == name {
				return x.State == hw.Online, x.Cause
			}
		}
	}
	return false, ""
}

// show fills in what is said.
func (s *senses) show(out *Status, h *hw.Stats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.of {
		online, cause := standing(one.Name, h)
		words := "works"
		switch {
		case !online && cause == "":
			words = "not read yet"
		case !online:
			words = cause
		}
		if one.Command != "" {
			q := one.quantities[0]
			out.Actuators = append(out.Actuators, Actuator{Name: one.Name, Kind: one.Kind, Topic: q.Topic, Command: one.Command, Commands: one.Commands, State: q.text, Available: online, Words: words})
			continue
		}
		x := Sensor{Name: one.Name, Kind: one.Kind, Values: []Value{}, Available: online, Words: words}
		for _, q := range one.quantities {
			v := Value{Field: q.Field, Unit: q.Unit, Text: q.text, Trend: q.trend()}
			if !math.IsNaN(q.now) {
				now := q.now
				v.Value = &now
			}
			if x.Values, x.Topic = append(x.Values, v), q.Topic; q.time.After(time.Time(x.Time)) {
				x.Time = Time(q.time)
			}
		}
		out.Sensors = append(out.Sensors, x)
	}
}

// SensorHistory is the body of /v1/sensors/history.
type SensorHistory struct {
	Step   float64        `json:"step"` // seconds
	Start  Time           `json:"start"`
	Series []SensorSeries `json:"series"`
}

// SensorSeries is the day of one quantity.
type SensorSeries struct {
	Name  string `json:"name"` // of the sensor
	Field string `json:"field"`
	Unit  string `json:"unit"`
	Min   Points `json:"min"`
	Max   Points `json:"max"`
	Mean  Points `json:"mean"`
}

// sensorHistory is GET /v1/sensors/history.
func (a *API) sensorHistory(w http.ResponseWriter, r *http.Request) error {
	name := r.URL.Query().Get("name")
	a.mu.Lock()
	n, start := a.minutes.n, Time(a.minutes.start())
	a.mu.Unlock()
	out := SensorHistory{Step: step.Seconds(), Start: start, Series: []SensorSeries{}}
	s := &a.senses
	s.mu.Lock()
	found := false
	for _, one := range s.of {
		if one.Name != name && name != "" || one.Command != "" {
			continue
		}
		found = true
		for _, q := range one.quantities {
			if q.day {
				out.Series = append(out.Series, SensorSeries{one.Name, q.Field, q.Unit, q.mins.points(n), q.maxs.points(n), q.ms.points(n)})
			}
		}
	}
	s.mu.Unlock()
	if !found && name != "" {
		return nothing(fmt.Sprintf("there is no sensor %q", name), "name one of [[hw.sensor]] or [[hw.input]]")
	}
	return answer(w, out)
}

// Command is the body of POST /v1/actuators/{name}.
type Command struct {
	Command string `json:"command"` // ON, OFF, TOGGLE; of a valve OPEN, CLOSE; of a dimmer also 0 to 100
}

// command is POST /v1/actuators/{name}.
func (a *API) command(w http.ResponseWriter, r *http.Request) error {
	var c Command
	if err := body(w, r, &c); err != nil {
		return err
	}
	name := r.PathValue("name")
	status := a.Status()
	i := slices.IndexFunc(status.Actuators, func(x Actuator) bool { return x.Name == name })
	if i < 0 {
		return nothing(fmt.Sprintf("there is no actuator %q", name), "name one of [[hw.actuator]]")
	}
	x := status.Actuators[i]
	word := strings.ToUpper(strings.TrimSpace(c.Command))
	percent, err := strconv.Atoi(word)
	level := x.Kind == "dimmer" && err == nil && percent >= 0 && percent <= 100
	if !level && !slices.Contains(x.Commands, word) && !slices.Contains([]string{"ON", "OFF"}, word) {
		return bad(fmt.Sprintf("%s does not know %q", name, clip(c.Command, 50)), "it knows "+strings.Join(x.Commands, ", "))
	}
	if !x.Available {
		return &Error{http.StatusConflict, name + " is not there: " + x.Words, "look at its wires; it is tried again and again"}
	}
	a.opt.Publish(&edge.Message{Topic: x.Command, Payload: []byte(word), QoS: 1, Accepted: time.Now()})
	return answer(w, struct{}{})
}
