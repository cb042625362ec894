package schema

import (
	"slices"
	"strings"
)

// kind says whether a value may stand behind a key.
type kind func(v any) bool

func text(v any) bool { s, ok := v.(string); return ok && s != "" }

func topic(v any) bool {
	s, ok := v.(string)
	return ok && s != "" && !strings.ContainsAny(s, "+#\x00")
}

func nameOrNull(v any) bool { return v == nil || text(v) }

func number(v any) bool { _, ok := v.(float64); return ok }

func natural(v any) bool { n, ok := v.(float64); return ok && n >= 0 && n == float64(int(n)) }

func truth(v any) bool { _, ok := v.(bool); return ok }

func list(v any) bool { l, ok := v.([]any); return ok && len(l) > 0 }

func table(v any) bool { _, ok := v.(object); return ok }

func oneOf(all ...string) kind {
	return func(v any) bool { s, ok := v.(string); return ok && slices.Contains(all, s) }
}

var (
	rootKeys = map[string]kind{
		"device": table, "origin": table, "components": table, "availability": list, "availability_mode": text,
		"availability_topic": topic, "state_topic": topic, "command_topic": topic, "qos": natural, "encoding": text,
	}
	deviceKeys = map[string]kind{
		"identifiers": list, "connections": list, "name": text, "manufacturer": text, "model": text, "model_id": text,
		"hw_version": text, "sw_version": text, "serial_number": text, "suggested_area": text, "configuration_url": text,
		"via_device": text,
	}
	originKeys       = map[string]kind{"name": text, "sw_version": text, "support_url": text}
	availabilityKeys = map[string]kind{"topic": topic, "payload_available": text, "payload_not_available": text, "value_template": text}
	// commonKeys are of every platform.
	commonKeys = map[string]kind{
		"platform": text, "unique_id": text, "name": nameOrNull, "device_class": text, "icon": text,
		"entity_category": oneOf("diagnostic", "config"), "enabled_by_default": truth, "qos": natural,
		"state_topic": topic, "value_template": text, "json_attributes_topic": topic,
	}
)

// platform is what a component of it may and must have, and its device classes
// with their units; no list of units where it has none.
type platform struct {
	keys     map[string]kind
	required []string
	classes  map[string][]string
}

var platforms = map[string]platform{
	"sensor": {
		keys: map[string]kind{
			"unit_of_measurement": text, "state_class": oneOf("measurement", "measurement_angle", "total", "total_increasing"),
			"suggested_display_precision": natural, "expire_after": natural, "force_update": truth, "options": list,
		},
		required: []string{"state_topic"},
		classes:  sensorUnits,
	},
	"binary_sensor": {
		keys: map[string]kind{
			"payload_on": text, "payload_off": text, "expire_after": natural, "off_delay": natural, "force_update": truth,
		},
		required: []string{"state_topic"},
		classes: classes("battery", "battery_charging", "carbon_monoxide", "cold", "connectivity", "door", "garage_door",
			"gas", "heat", "light", "lock", "moisture", "motion", "moving", "occupancy", "opening", "plug", "power",
			"presence", "problem", "running", "safety", "smoke", "sound", "tamper", "update", "vibration", "window"),
	},
	"event": {
		keys:     map[string]kind{"event_types": list},
		required: []string{"state_topic", "event_types"},
		classes:  classes("button", "doorbell", "motion"),
	},
	"switch": {
		keys: map[string]kind{
			"command_topic": topic, "command_template": text, "payload_on": text, "payload_off": text,
			"state_on": text, "state_off": text, "optimistic": truth, "retain": truth,
		},
		required: []string{"command_topic"},
		classes:  classes("outlet", "switch"),
	},
	"valve": {
		keys: map[string]kind{
			"command_topic": topic, "command_template": text, "payload_open": text, "payload_close": text,
			"payload_stop": text, "state_open": text, "state_closed": text, "reports_position": truth,
			"optimistic": truth, "retain": truth,
		},
		required: []string{"command_topic"},
		classes:  classes("water", "gas"),
	},
	"light": {
		keys: map[string]kind{
			"schema": oneOf("basic", "json", "template"), "command_topic": topic, "brightness": truth, "brightness_scale": natural,
			"supported_color_modes": list, "optimistic": truth, "retain": truth, "transition": truth, "effect": truth,
			"payload_on": text, "payload_off": text, "state_value_template": text, "on_command_type": oneOf("last", "first", "brightness"),
			"brightness_state_topic": topic, "brightness_command_topic": topic, "brightness_value_template": text,
		},
		required: []string{"command_topic"},
	},
	"number": {
		keys: map[string]kind{
			"command_topic": topic, "command_template": text, "min": number, "max": number, "step": number,
			"mode": oneOf("auto", "box", "slider"), "unit_of_measurement": text, "optimistic": truth, "retain": truth,
		},
		required: []string{"command_topic"},
		classes:  sensorUnits,
	},
}

// classes are device classes without units.
func classes(all ...string) map[string][]string {
	m := map[string][]string{}
	for _, c := range all {
		m[c] = nil
	}
	return m
}

// spaced splits a list of units, which have no blanks but "fl. oz.", not used
// here.
func spaced(units string) []string { return strings.Fields(units) }

var (
	pressures = spaced("cbar bar hPa mmHg inHg inH₂O kPa mbar Pa psi mPa")
	energies  = spaced("J kJ MJ GJ mWh Wh kWh MWh GWh TWh cal kcal Mcal Gcal")
	volumes   = spaced("L mL gal m³ ft³ CCF MCF")
	sizes     = spaced("bit kbit Mbit Gbit B kB MB GB TB PB EB ZB YB KiB MiB GiB TiB PiB EiB ZiB YiB")
	rates     = spaced("bit/s kbit/s Mbit/s Gbit/s B/s kB/s MB/s GB/s KiB/s MiB/s GiB/s")
	density   = []string{"µg/m³"}
	// sensorUnits are the device classes of sensors with the units that each
	// allows; "" stands for none.
	sensorUnits = map[string][]string{
		"absolute_humidity":                {"g/m³", "mg/m³"},
		"apparent_power":                   {"mVA", "VA", "kVA"},
		"aqi":                              {""},
		"atmospheric_pressure":             pressures,
		"battery":                          {"%"},
		"carbon_dioxide":                   {"ppm"},
		"carbon_monoxide":                  {"ppb", "ppm", "µg/m³", "mg/m³"},
		"conductivity":                     {"S/cm", "mS/cm", "µS/cm"},
		"current":                          {"A", "mA", "µA"},
		"data_rate":                        rates,
		"data_size":                        sizes,
		"distance":                         spaced("km m cm mm mi nmi yd in"),
		"duration":                         spaced("d h min s ms µs"),
		"energy":                           energies,
		"energy_storage":                   energies,
		"frequency":                        spaced("mHz Hz kHz MHz GHz"),
		"gas":                              spaced("L m³ ft³ CCF MCF"),
		"humidity":                         {"%"},
		"illuminance":                      {"lx"},
		"irradiance":                       {"W/m²", "BTU/(h⋅ft²)"},
		"moisture":                         {"%"},
		"nitrogen_dioxide":                 {"ppb", "ppm", "µg/m³"},
		"ozone":                            {"ppb", "ppm", "µg/m³"},
		"ph":                               {""},
		"pm1":                              density,
		"pm25":                             density,
		"pm4":                              density,
		"pm10":                             density,
		"power":                            spaced("mW W kW MW GW TW"),
		"power_factor":                     {"%", ""},
		"precipitation":                    spaced("cm in mm"),
		"precipitation_intensity":          spaced("in/d in/h mm/d mm/h"),
		"pressure":                         pressures,
		"radon":                            {"Bq/m³", "pCi/L"},
		"reactive_energy":                  {"varh", "kvarh"},
		"reactive_power":                   {"mvar", "var", "kvar"},
		"signal_strength":                  {"dB", "dBm"},
		"sound_pressure":                   {"dB", "dBA"},
		"speed":                            spaced("ft/s in/d in/h in/s km/h kn m/s mph mm/d mm/h mm/s"),
		"sulphur_dioxide":                  {"ppb", "µg/m³"},
		"temperature":                      {"°C", "°F", "K"},
		"temperature_delta":                {"°C", "°F", "K"},
		"volatile_organic_compounds":       {"µg/m³", "mg/m³"},
		"volatile_organic_compounds_parts": {"ppm", "ppb"},
		"voltage":                          spaced("V mV µV kV MV"),
		"volume":                           volumes,
		"volume_flow_rate":                 spaced("m³/h m³/min m³/s ft³/min L/h L/min L/s gal/d gal/h gal/min mL/s"),
		"volume_storage":                   volumes,
		"water":                            spaced("L gal m³ ft³ CCF MCF"),
		"weight":                           spaced("kg g mg µg oz lb st"),
		"wind_direction":                   {"°"},
		"wind_speed":                       spaced("ft/s km/h kn m/s mph"),
	}
)

// stateClasses are those that sensors of a device class may have, where that is
// not "measurement" alone.
var stateClasses = map[string][]any{
	"data_size":       {"measurement", "total", "total_increasing"},
	"distance":        {"measurement", "total", "total_increasing"},
	"duration":        {"measurement", "total", "total_increasing"},
	"energy":          {"total", "total_increasing"},
	"gas":             {"total", "total_increasing"},
	"precipitation":   {"measurement", "total", "total_increasing"},
	"reactive_energy": {"total", "total_increasing"},
	"volume":          {"total", "total_increasing"},
	"water":           {"total", "total_increasing"},
	"weight":          {"measurement", "total", "total_increasing"},
	"wind_direction":  {"measurement_angle"},
}
