package bus

import "fmt"

// Found is what a scan saw of a machine.
type Found struct {
	Machine string          `json:"machine"` // "Raspberry Pi 4 Model B Rev 1.4"; "" when nobody says
	I2C     []I2CBus        `json:"i2c"`
	SPI     []SPIDevice     `json:"spi"`
	OneWire []OneWireDevice `json:"1-wire"`
	GPIO    []GPIOChip      `json:"gpio"`
	PWM     []PWMChip       `json:"pwm"`
	Missing []Missing       `json:"missing"` // what could be switched on
	Sensors []Sensor        `json:"sensors"` // what to put into the configuration
}

// I2CBus is one I2C bus.
type I2CBus struct {
	Name    string   `json:"name"`    // "i2c-1"
	Aliases []string `json:"aliases"` // of the device tree: "i2c1", "i2c_arm"
	Adapter string   `json:"adapter"` // as its driver calls it
	Alone   string   `json:"left-alone,omitempty"`
	Notes   []string `json:"notes"`
	Chips   []Chip   `json:"chips"`
	Error   string   `json:"error,omitempty"` // why it could not be looked at
	busy    bool     // its readings do not end
	of      string   // its node in the device tree: "/soc/i2c@7e804000"
}

// Chip is an address that answers, or that the kernel has.
type Chip struct {
	Address uint16   `json:"address"`          // 7 bits
	Driver  string   `json:"driver,omitempty"` // of the kernel that has it: "rtc-ds1307"; nothing else is known then
	Is      []string `json:"is"`               // kinds by an identity; more than one cannot be told apart
	MayBe   []string `json:"may-be"`           // kinds that answer at this address and have no identity
}

// SPIDevice is one chip select of an SPI bus.
type SPIDevice struct {
	Name   string `json:"name"`             // "spi0.0"
	Driver string `json:"driver,omitempty"` // of the kernel that has it: "mcp251x"; "" when it is free
	Error  string `json:"error,omitempty"`
}

// OneWireDevice is one device on the kernel's 1-Wire.
type OneWireDevice struct {
	Name  string `json:"name"` // "28-0316a2791bff"
	What  string `json:"what"`
	Error string `json:"error,omitempty"`
	reads bool   // by the kind ds18b20
}

// GPIOChip is one GPIO chip.
type GPIOChip struct {
	Name  string     `json:"name"`  // "gpiochip0"
	Label string     `json:"label"` // "pinctrl-bcm2711"
	Lines []GPIOLine `json:"lines"`
	Error string     `json:"error,omitempty"`
}

// GPIOLine is one line of a GPIO chip.
type GPIOLine struct {
	Name     string `json:"name,omitempty"` // "GPIO17"
	Used     bool   `json:"used"`
	Consumer string `json:"consumer,omitempty"`
}

// PWMChip is one PWM chip.
type PWMChip struct {
	Name     string `json:"name"`   // "pwmchip0"
	Device   string `json:"device"` // "fe20c000.pwm"
	Channels int    `json:"channels"`
	Error    string `json:"error,omitempty"`
}

// Missing is a bus that is not there, and what would bring it.
type Missing struct {
	Bus  string `json:"bus"`
	Hint string `json:"hint"`
}

// Sensor is what to put into the configuration for one chip.
type Sensor struct {
	Kind    string   `json:"kind"`
	Name    string   `json:"name"`
	Bus     string   `json:"bus,omitempty"`
	Address uint16   `json:"address,omitempty"`
	Device  string   `json:"device,omitempty"`
	Or      []string `json:"or"`   // other kinds that it may be
	Sure    bool     `json:"sure"` // by an identity
}

// Hidden counts what could not be looked at.
func (f *Found) Hidden() (n int) {
	count := func(err string) {
		if err != "" {
			n++
		}
	}
	for _, b := range f.I2C {
		count(b.Error)
	}
	for _, d := range f.SPI {
		count(d.Error)
	}
	for _, d := range f.OneWire {
		count(d.Error)
	}
	for _, c := range f.GPIO {
		count(c.Error)
	}
	for _, c := range f.PWM {
		count(c.Error)
	}
	return n
}

// suggest fills Sensors. The name of a sensor is its kind, with a number from
// the second one on.
func (f *Found) suggest() {
	f.Sensors = []Sensor{}
	used := map[string]int{}
	add := func(s Sensor) {
		used[s.Kind]++
		s.Name = s.Kind
		if n := used[s.Kind]; n > 1 {
			s.Name = fmt.Sprintf("%s-%d", s.Kind, n)
		}
		f.Sensors = append(f.Sensors, s)
	}
	for _, b := range f.I2C {
		for _, c := range b.Chips {
			all := c.Is
			if len(all) == 0 {
				all = c.MayBe
			}
			if len(all) > 0 {
				add(Sensor{Kind: all[0], Bus: b.Name, Address: c.Address, Or: all[1:], Sure: len(c.Is) == 1})
			}
		}
	}
	for _, d := range f.OneWire {
		if d.reads {
			add(Sensor{Kind: "ds18b20", Device: d.Name, Or: []string{}, Sure: true})
		}
	}
}
