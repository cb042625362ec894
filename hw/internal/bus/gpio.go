package bus

import "tidegate/hw/internal/line"

// kernelGPIO lists the GPIO chips in a folder of devices. The error is of
// those that could not be opened.
func kernelGPIO(dev string) ([]GPIOChip, error) {
	chips, err := line.Chips{Dev: dev}.List()
	all := []GPIOChip{}
	for _, c := range chips {
		g := GPIOChip{Name: c.Name, Label: c.Label, Lines: []GPIOLine{}}
		lines, err := c.Info()
		if err != nil {
			g.Error = err.Error()
		}
		for _, l := range lines {
			g.Lines = append(g.Lines, GPIOLine{Name: l.Name, Used: l.Used, Consumer: l.Consumer})
		}
		all = append(all, g)
	}
	return all, err
}
