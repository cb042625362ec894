package chip

import (
	"time"

	"tidegate/hw/internal/board"
)

// boardKinds is the Pi itself, which is a sensor without a bus.
func boardKinds() []Kind {
	return []Kind{{
		Name:  "pi",
		Title: "Raspberry Pi",
		Bus:   Board,
		Quantities: []Quantity{
			board.CPUTemperature:  {Name: "cpu_temperature", Unit: "°C", Class: "temperature", Resolution: 0.1, Low: -40, High: 125},
			board.UnderVoltage:    {Name: "under_voltage", Class: "problem", Resolution: 1, High: 1},
			board.Throttled:       {Name: "throttled", Class: "problem", Resolution: 1, High: 1},
			board.Load:            {Name: "load", Resolution: 0.01, High: 1e4},
			board.MemoryAvailable: {Name: "memory_available", Unit: "MiB", Class: "data_size", Resolution: 1, High: 1e7},
			board.Uptime:          {Name: "uptime", Unit: "s", Class: "duration", Resolution: 1, High: 1e10, Total: true},
			board.DiskFree:        {Name: "disk_free", Unit: "MiB", Class: "data_size", Resolution: 1, High: 1e10},
			board.CardWear:        {Name: "card_wear", Unit: "%", Resolution: 10, High: 110},
			board.CardWornOut:     {Name: "card_worn_out", Class: "problem", Resolution: 1, High: 1},
			board.CardWritten:     {Name: "card_written", Unit: "MiB", Class: "data_size", Resolution: 1, High: 1e12, Total: true},
			board.WiFiSignal:      {Name: "wifi_signal", Unit: "dBm", Class: "signal_strength", Resolution: 1, Low: -120, High: 0},
		},
		Every:     time.Second,
		Takes:     100 * time.Millisecond,
		Pins:      "none",
		Datasheet: "Linux: Documentation/ABI, hwmon, block/stat; JESD84-B51 (eMMC)",
		Open:      func(w Wiring) (Sensor, error) { return board.Open(w.Root, w.Folder), nil },
	}}
}
