package discovery

// Measured is the component of a quantity that a sensor measures. Class and
// unit are as Home Assistant spells them; class "problem" makes it one that is
// there or not, its value a number that is 0 for not. Total says that it only
// grows, and now and then begins at 0 again.
func Measured(key, class, unit string, total bool, digits int) Component {
	c := Component{Key: key, Platform: Sensor, Class: class, Unit: unit}
	switch {
	case class == "problem":
		c.Platform, c.Binary = BinarySensor, true
		return c
	case total, onlyTotal[class]:
		c.StateClass = TotalIncreasing
	case class != "wind_direction": // the mean of angles is another
		c.StateClass = Measurement
	}
	c.Precision = &digits
	return c
}

// onlyTotal are the device classes of meters, which Home Assistant takes from
// counters only.
var onlyTotal = map[string]bool{"energy": true, "gas": true, "water": true, "volume": true, "reactive_energy": true}
