package hw

import (
	"math"
	"strconv"
	"time"

	"tidegate/hw/internal/chip"
)

// report turns the readings of one sensor into messages.
type report struct {
	measures []measure
	plain    bool
	suffix   string // of the JSON object: what a simulated sensor says of itself
	message  Message
	atLeast  time.Duration // longest silence; 0 when every reading is published
	clock    func() (time.Time, bool)
	submit   func(*Message)

	values []float64 // as published, of this reading
	last   []float64 // of the last one published
	lastAt time.Time // its turn; zero when there is none yet
	buf    []byte
}

func newReport(c SensorConfig, k chip.Kind, opt Options) *report {
	r := &report{
		measures: measuresOf(c, k), plain: c.Payload == "plain", clock: opt.Clock, submit: opt.Submit,
		values: make([]float64, len(k.Quantities)), last: make([]float64, len(k.Quantities)),
		message: Message{
			Properties: properties(contentType(c.Payload)), QoS: byte(c.qos()),
			Retain: c.retained(), Expiry: uint32(c.Expiry.Std() / time.Second),
		},
	}
	for _, m := range r.measures {
		if m.change > 0 {
			r.atLeast = c.AtLeast.Std()
		}
	}
	if c.Kind == simulatedKind {
		r.suffix = `,"unit":` + strconv.Quote(c.Unit) + `,"simulated":true`
	}
	return r
}

func contentType(payload string) string {
	if payload == "json" {
		return "application/json"
	}
	return "text/plain"
}

// properties are those of a text of the content type, as on the wire: Payload
// Format Indicator 1 and Content Type [MQTT 5, 3.3.2.3.2 and 3.3.2.3.9].
func properties(contentType string) []byte {
	p := []byte{0x01, 1, 0x03, 0, byte(len(contentType))}
	return append(p, contentType...)
}

// forget makes the next reading one that is published.
func (r *report) forget() { r.lastAt = time.Time{} }

// take publishes the values that a chip gave at turn, if they are worth it.
func (r *report) take(raw []float64, turn time.Time) {
	some := false
	for i := range r.measures {
		r.values[i] = r.measures[i].published(raw[i])
		some = some || !math.IsNaN(r.values[i])
	}
	if !some || !r.due(turn) {
		return
	}
	copy(r.last, r.values)
	r.lastAt = turn
	if r.plain {
		r.sendPlain()
	} else {
		r.sendJSON()
	}
}

// due says whether the values moved out of a dead band, or nothing was
// published for long.
func (r *report) due(turn time.Time) bool {
	if r.atLeast == 0 || r.lastAt.IsZero() || turn.Sub(r.lastAt) >= r.atLeast {
		return true
	}
	for i := range r.measures {
		if m := &r.measures[i]; m.change > 0 && m.moved(r.last[i], r.values[i]) {
			return true
		}
	}
	return false
}

// sendJSON publishes {"temperature":21.43,"humidity":40.1,"time":"..."}. A
// quantity without a value is null, and the time is left out while nobody
// knows it.
func (r *report) sendJSON() {
	b := append(r.buf[:0], '{')
	for i := range r.measures {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = append(b, r.measures[i].Name...)
		b = append(b, `":`...)
		b = r.appendValue(b, i, "null")
	}
	b = append(b, r.suffix...)
	if now, known := r.clock(); known {
		b = append(b, `,"time":"`...)
		b = now.UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z07:00")
		b = append(b, '"')
	}
	r.buf = append(b, '}')
	r.send(r.measures[0].topic, r.buf)
}

// sendPlain publishes a number for each quantity that has one.
func (r *report) sendPlain() {
	for i := range r.measures {
		if math.IsNaN(r.values[i]) {
			continue
		}
		r.buf = r.appendValue(r.buf[:0], i, "")
		r.send(r.measures[i].topic, r.buf)
	}
}

func (r *report) appendValue(b []byte, i int, none string) []byte {
	if math.IsNaN(r.values[i]) {
		return append(b, none...)
	}
	return strconv.AppendFloat(b, r.values[i], 'f', r.measures[i].decimals, 64)
}

// send submits a copy of payload, because receivers share the message.
func (r *report) send(topic string, payload []byte) {
	m := r.message
	m.Topic, m.Accepted = topic, time.Now()
	m.Payload = append(make([]byte, 0, len(payload)), payload...)
	r.submit(&m)
}
