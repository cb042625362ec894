package chip

// The quantities that several chips measure, as Home Assistant names them.
// Resolution and range are the chip's.

func temperature(resolution, low, high float64) Quantity {
	return Quantity{Name: "temperature", Unit: "°C", Class: "temperature", Resolution: resolution, Low: low, High: high}
}

func humidity(resolution float64) Quantity {
	return Quantity{Name: "humidity", Unit: "%", Class: "humidity", Resolution: resolution, Low: 0, High: 100}
}

func voltage(resolution, low, high float64) Quantity {
	return Quantity{Name: "voltage", Unit: "V", Class: "voltage", Resolution: resolution, Low: low, High: high}
}

func current(resolution, low, high float64) Quantity {
	return Quantity{Name: "current", Unit: "A", Class: "current", Resolution: resolution, Low: low, High: high}
}

func power(resolution, low, high float64) Quantity {
	return Quantity{Name: "power", Unit: "W", Class: "power", Resolution: resolution, Low: low, High: high}
}

func pressure(resolution, low, high float64) Quantity {
	return Quantity{Name: "pressure", Unit: "hPa", Class: "atmospheric_pressure", Resolution: resolution, Low: low, High: high}
}

func eco2(high float64) Quantity {
	return Quantity{Name: "eco2", Unit: "ppm", Class: "carbon_dioxide", Resolution: 1, Low: 400, High: high}
}

func tvoc(high float64) Quantity {
	return Quantity{Name: "tvoc", Unit: "ppb", Class: "volatile_organic_compounds_parts", Resolution: 1, Low: 0, High: high}
}
