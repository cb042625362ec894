package bus

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"tidegate/hw/internal/chip"
)

// Write prints what was found for people, with the lines for the configuration
// at the end.
func (f *Found) Write(out io.Writer) error {
	w := bufio.NewWriter(out)
	if f.Machine != "" {
		fmt.Fprintf(w, "%s\n\n", f.Machine)
	}
	f.writeI2C(w)
	f.writeOthers(w)
	f.writeGPIO(w)
	if len(f.Missing) > 0 {
		fmt.Fprintln(w, "Not there, and what would bring it")
		for _, m := range f.Missing {
			fmt.Fprintf(w, "  %s: %s\n", m.Bus, m.Hint)
		}
		fmt.Fprintln(w)
	}
	f.writeConfig(w)
	return w.Flush()
}

func (f *Found) writeI2C(w io.Writer) {
	if len(f.I2C) == 0 {
		return
	}
	fmt.Fprintln(w, "I2C")
	for _, b := range f.I2C {
		words := []string{"  " + b.Name}
		if b.Adapter != "" {
			words = append(words, b.Adapter)
		}
		if len(b.Aliases) > 0 {
			words = append(words, "also "+strings.Join(b.Aliases, ", "))
		}
		fmt.Fprintln(w, strings.Join(words, "  "))
		b.writeChips(w)
	}
	fmt.Fprintln(w)
}

func (b I2CBus) writeChips(w io.Writer) {
	for _, note := range b.Notes {
		fmt.Fprintf(w, "    %s\n", note)
	}
	for _, c := range b.Chips {
		fmt.Fprintf(w, "    0x%02x  %s\n", c.Address, c.words())
	}
	switch {
	case b.Error != "":
		fmt.Fprintf(w, "    %s\n", b.Error)
	case b.Alone != "":
		fmt.Fprintf(w, "    %s: left alone; to ask: tidegate hw scan %s\n", b.Alone, b.Name)
	case len(b.Chips) == 0:
		fmt.Fprintln(w, "    nobody answers")
	}
}

func (c Chip) words() string {
	switch {
	case c.Driver != "":
		return "in use by the kernel's driver " + c.Driver
	case len(c.Is) > 0:
		return strings.Join(c.Is, " or ")
	case len(c.MayBe) > 0:
		return "may be " + strings.Join(c.MayBe, " or ")
	}
	return "unknown"
}

func (f *Found) writeOthers(w io.Writer) {
	title := func(n int, words string) {
		if n > 0 {
			fmt.Fprintln(w, words)
		}
	}
	row := func(name, what, err string) {
		if err != "" {
			what = strings.TrimPrefix(what+": "+err, ": ")
		}
		fmt.Fprintf(w, "  %s  %s\n", name, what)
	}
	title(len(f.SPI), "SPI (what is there cannot be asked)")
	free := "free, for " + strings.Join(kindsOn(chip.SPI), " or ")
	for _, d := range f.SPI {
		switch {
		case d.Driver != "":
			row(d.Name, "in use by the kernel's driver "+d.Driver, d.Error)
		case d.Error != "":
			row(d.Name, "", d.Error)
		default:
			row(d.Name, free, "")
		}
	}
	title(len(f.SPI), "")
	title(len(f.OneWire), "1-Wire")
	for _, d := range f.OneWire {
		row(d.Name, d.What, d.Error)
	}
	title(len(f.OneWire), "")
	title(len(f.PWM), "PWM")
	for _, c := range f.PWM {
		row(c.Name, fmt.Sprintf("%s, %d channels", c.Device, c.Channels), c.Error)
	}
	title(len(f.PWM), "")
}

func kindsOn(b chip.Bus) (names []string) {
	for _, k := range chip.Kinds() {
		if k.Bus == b {
			names = append(names, k.Name)
		}
	}
	return names
}

func (f *Found) writeGPIO(w io.Writer) {
	if len(f.GPIO) == 0 {
		return
	}
	fmt.Fprintln(w, "GPIO")
	for _, c := range f.GPIO {
		if c.Error == "" {
			fmt.Fprintf(w, "  %s  %s, %d lines\n", c.Name, c.Label, len(c.Lines))
		} else {
			fmt.Fprintf(w, "  %s  %s\n", c.Name, c.Error)
		}
		for i, l := range c.Lines {
			if l.Used {
				fmt.Fprintf(w, "    %d  %s  used by %s\n", i, or(l.Name, "-"), or(l.Consumer, "the kernel"))
			}
		}
	}
	fmt.Fprintln(w)
}

func or(s, instead string) string {
	if s == "" {
		return instead
	}
	return s
}

// writeConfig prints tables that a configuration can take as they are.
func (f *Found) writeConfig(w io.Writer) {
	if len(f.Sensors) == 0 {
		fmt.Fprintln(w, "No sensor found that a configuration could have.")
		return
	}
	fmt.Fprintln(w, "# For the configuration; the names are yours to choose.")
	for _, s := range f.Sensors {
		fmt.Fprintf(w, "\n[[hw.sensor]]\nkind = %q", s.Kind)
		switch {
		case len(s.Or) > 0:
			fmt.Fprintf(w, " # or %s: they cannot be told apart", strings.Join(s.Or, ", "))
		case !s.Sure:
			fmt.Fprint(w, " # perhaps: it cannot be asked")
		}
		fmt.Fprintf(w, "\nname = %q\n", s.Name)
		if s.Device != "" {
			fmt.Fprintf(w, "device = %q\n", s.Device)
		} else {
			fmt.Fprintf(w, "bus = %q\naddress = 0x%02x\n", s.Bus, s.Address)
		}
	}
}
