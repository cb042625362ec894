package hw

import (
	"reflect"
)

// followSensors lets the sensors that a new configuration leaves as they are go
// on as they are: with their chip open, on their grid, and without a word about
// having been away. old must have stopped when h runs.
func (h *Hardware) followSensors(old *Hardware) {
	h.follows = true
	old.followed.Store(true)
	before := map[string]*sensor{}
	for _, p := range old.parts {
		if r, ok := p.(*reader); ok {
			for _, s := range r.all() {
				before[s.Name] = s
			}
		}
	}
	for _, p := range h.parts {
		if r, ok := p.(*reader); ok {
			for _, s := range r.sensors {
				if was := before[s.Name]; was != nil && reflect.DeepEqual(was.SensorConfig, s.SensorConfig) {
					was.stays.Store(true)
					s.before = was
				}
			}
		}
	}
}

// resume puts what went on in the place of what would begin anew.
func (r *reader) resume() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, s := range r.sensors {
		if was := s.before; was != nil && was.left.Load() {
			was.stays.Store(false)
			was.left.Store(false)
			r.sensors[i] = was
		}
		s.before = nil
	}
}

// all may be called at any time.
func (r *reader) all() []*sensor {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*sensor(nil), r.sensors...)
}
