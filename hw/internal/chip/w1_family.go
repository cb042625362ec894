package chip

import "strings"

// oneWireFamilies are the families of 1-Wire devices that homes have, as the
// names of their folders begin (Maxim, application note 155).
var oneWireFamilies = map[string]string{
	"00":       "noise on the wire, no device: look at the pull-up resistor of 4.7 kΩ",
	"01":       "DS2401 serial number, or iButton key",
	isDS18S20:  "DS18S20 thermometer",
	"12":       "DS2406 switch",
	"1d":       "DS2423 counter",
	"20":       "DS2450 converter",
	isDS1822:   "DS1822 thermometer",
	"26":       "DS2438 battery monitor",
	isDS18B20:  "DS18B20 thermometer",
	"29":       "DS2408 switch",
	"2d":       "DS2431 EEPROM",
	"3a":       "DS2413 switch",
	isDS1825:   "DS1825 thermometer",
	isDS28EA00: "DS28EA00 thermometer",
}

// OneWireFamily says what a device of the kernel's 1-Wire is by its name,
// "28-0316a2791bff", and whether the kind ds18b20 reads it; "" when the name
// is not that of a device.
func OneWireFamily(name string) (what string, reads bool) {
	family, serial, _ := strings.Cut(name, "-")
	if len(family) != 2 || len(serial) != 12 || strings.Trim(family+serial, "0123456789abcdef") != "" {
		return "", false
	}
	what = oneWireFamilies[family]
	if what == "" {
		what = "unknown, of family " + family
	}
	return what, isThermometer(name)
}
