// Package schema judges discovery messages by what Home Assistant publishes of
// them: which keys there are, which of them a platform needs, which device
// classes exist and which units and state classes each allows. Only tests use
// it.
//
// The facts are those of Home Assistant 2026.8: units and classes from its
// developer documentation (entities, state of 19 August 2026), keys from its
// MQTT integration. They are written down by hand for what is used here; a
// message with anything else is refused, even if Home Assistant would take it.
package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// object is a JSON object.
type object = map[string]any

// faults collects what is wrong.
type faults []error

func (f *faults) add(wrong bool, format string, args ...any) {
	if wrong {
		*f = append(*f, fmt.Errorf(format, args...))
	}
}

var topics = regexp.MustCompile(`^[^+#]+/device/[a-zA-Z0-9_-]+/[a-zA-Z0-9_-]+/config$`)

// Check returns everything that Home Assistant would refuse or ignore in the
// message that announces a device.
func Check(topic string, payload []byte) error {
	var f faults
	f.add(!topics.MatchString(topic), "topic %q: a level has other characters than a-z, A-Z, 0-9, _ and -", topic)
	var root object
	if err := json.Unmarshal(payload, &root); err != nil {
		return errors.Join(append(f, err)...)
	}
	f.keys("message", root, rootKeys, []string{"device", "origin", "components"})
	device, _ := root["device"].(object)
	f.keys("device", device, deviceKeys, []string{"identifiers", "name"})
	ids, _ := device["identifiers"].([]any)
	f.add(len(ids) == 0, "device: no identifiers")
	origin, _ := root["origin"].(object)
	f.keys("origin", origin, originKeys, []string{"name"})
	f.availability(root)
	components, _ := root["components"].(object)
	f.add(len(components) == 0, "no components")
	seen := map[any]string{}
	for key, c := range components {
		c, _ := c.(object)
		f.component(key, c)
		other, twice := seen[c["unique_id"]]
		f.add(twice, "%s and %s: one unique_id", key, other)
		seen[c["unique_id"]] = key
	}
	return errors.Join(f...)
}

// keys judges which keys an object has. Every value must be of the kind that
// the table names.
func (f *faults) keys(what string, o object, known map[string]kind, required []string) {
	for _, key := range required {
		_, is := o[key]
		f.add(!is, "%s: no %s", what, key)
	}
	for key, v := range o {
		k, is := known[key]
		f.add(!is, "%s: unknown key %s", what, key)
		f.add(is && !k(v), "%s: %s = %v", what, key, v)
	}
}

func (f *faults) availability(root object) {
	all, _ := root["availability"].([]any)
	for _, a := range all {
		a, _ := a.(object)
		f.keys("availability", a, availabilityKeys, []string{"topic"})
	}
	mode, said := root["availability_mode"]
	f.add(said && !slices.Contains([]any{"all", "any", "latest"}, mode), "availability_mode = %v", mode)
}

func (f *faults) component(key string, c object) {
	platform, _ := c["platform"].(string)
	p, known := platforms[platform]
	if !known {
		f.add(true, "%s: platform %q", key, platform)
		return
	}
	what := platform + " " + key
	all := map[string]kind{}
	for _, table := range []map[string]kind{commonKeys, p.keys} {
		for k, v := range table {
			all[k] = v
		}
	}
	f.keys(what, c, all, append([]string{"platform", "unique_id"}, p.required...))
	if class, said := c["device_class"].(string); said {
		units, exists := p.classes[class]
		f.add(!exists, "%s: there is no device class %q", what, class)
		unit, _ := c["unit_of_measurement"].(string)
		f.add(exists && units != nil && !slices.Contains(units, unit), "%s: device class %s has no unit %q", what, class, unit)
		f.statistics(what, platform, class, c["state_class"])
	}
	f.template(what, c)
}

// statistics judges the state class of a sensor by its device class.
func (f *faults) statistics(what, platform, class string, state any) {
	if platform != "sensor" {
		return
	}
	allowed, special := stateClasses[class]
	if !special {
		allowed = []any{"measurement"}
	}
	f.add(state != nil && !slices.Contains(allowed, state), "%s: device class %s has no state class %v", what, class, state)
}

// template judges the braces and quotes of a template, which is all that can be
// said without running it.
func (f *faults) template(what string, c object) {
	t, said := c["value_template"].(string)
	if !said {
		return
	}
	_, err := json.Marshal(t)
	wrong := strings.Count(t, "{{") != 1 || strings.Count(t, "}}") != 1 || strings.Count(t, "'")%2 != 0 || strings.Contains(t, "%!")
	f.add(err != nil || wrong, "%s: template %s", what, t)
}
