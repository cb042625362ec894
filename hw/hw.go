package hw

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"periph.io/x/conn/v3/physic"
)

// Options is what the rest of the gateway gives the hardware.
type Options struct {
	Log    *slog.Logger
	Submit func(*Message) // takes a reading like the PUBLISH of a device; called from one goroutine per sensor
}

// Hardware is everything wired to the Pi.
type Hardware struct {
	opt      Options
	sensors  []*reader
	readings atomic.Int64
	errors   atomic.Int64
}

// Stats counts since New.
type Stats struct {
	Sensors  int   `json:"sensors"`
	Readings int64 `json:"readings"`
	Errors   int64 `json:"errors"` // readings that a sensor could not give
}

// sensor is a driver. Sense fills the fields of env that it measures and may
// block for as long as the bus does; Halt frees the bus. periph's
// physic.SenseEnv has both.
type sensor interface {
	Sense(env *physic.Env) error
	Halt() error
}

// New checks the configuration and finds the sensors; Run reads them.
func New(cfg Config, opt Options) (*Hardware, error) {
	if problems := cfg.Check(); len(problems) > 0 {
		errs := make([]error, len(problems))
		for i, p := range problems {
			errs[i] = errors.New("hw." + p.String())
		}
		return nil, errors.Join(errs...)
	}
	h := &Hardware{opt: opt}
	for _, c := range cfg.Sensor {
		c = c.withDefaults()
		h.sensors = append(h.sensors, &reader{SensorConfig: c, sensor: newSimulated(c)})
	}
	return h, nil
}

// Run reads every sensor until ctx ends, and halts them.
func (h *Hardware) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make([]error, len(h.sensors))
	for i, r := range h.sensors {
		wg.Go(func() { errs[i] = h.read(ctx, r) })
	}
	<-ctx.Done() // even when there are no sensors
	wg.Wait()
	return errors.Join(errs...)
}

// Stats may be called at any time.
func (h *Hardware) Stats() Stats {
	return Stats{Sensors: len(h.sensors), Readings: h.readings.Load(), Errors: h.errors.Load()}
}

// reader is one sensor and how its readings are published.
type reader struct {
	SensorConfig
	sensor sensor
}

func (h *Hardware) read(ctx context.Context, r *reader) error {
	log := h.opt.Log.With("sensor", r.Name, "topic", r.Topic)
	log.Info("reading "+r.Kind+" sensor", "simulated", r.Kind == simulatedKind, "wave", string(r.Wave), "every", r.Every.Std())
	tick := time.NewTicker(r.Every.Std())
	defer tick.Stop()
	failing := false
	for {
		m, err := r.message()
		if err != nil {
			h.errors.Add(1)
		} else {
			h.readings.Add(1)
			h.opt.Submit(m)
		}
		if failing != (err != nil) {
			failing = err != nil
			logChange(log, err)
		}
		select {
		case <-ctx.Done():
			if err := r.sensor.Halt(); err != nil {
				return fmt.Errorf("halt sensor %s: %w", r.Name, err)
			}
			return nil
		case <-tick.C:
		}
	}
}

// logChange writes one line when a sensor goes away and one when it is back.
func logChange(log *slog.Logger, err error) {
	if err != nil {
		log.Warn("sensor does not answer", "err", err)
		return
	}
	log.Info("sensor answers again")
}

// message takes one reading: {"value":21.4,"unit":"°C","simulated":true}.
func (r *reader) message() (*Message, error) {
	var env physic.Env
	if err := r.sensor.Sense(&env); err != nil {
		return nil, err
	}
	p := make([]byte, 0, 64)
	p = append(p, `{"value":`...)
	p = strconv.AppendFloat(p, units[r.Unit].read(&env), 'f', r.Decimals, 64)
	p = append(p, `,"unit":"`...)
	p = append(p, r.Unit...)
	p = append(p, '"')
	if r.Kind == simulatedKind {
		p = append(p, `,"simulated":true`...)
	}
	p = append(p, '}')
	return &Message{Topic: r.Topic, Payload: p, Accepted: time.Now(), QoS: 1}, nil
}
