package main

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"time"
)

var usageLine = regexp.MustCompile(`(?m)^  tidegate ([a-z]+(?: [a-z]+)*)((?: (?:\[[^\]]+\]|[A-Z]\S*))*) +(.+)$`)

// flagLines are a flag, its value, and what it does, as -h prints them.
var flagLines = regexp.MustCompile(`(?m)^  (-\S+)(?: (\S+))?\n    \t(.*)$`)

// manual makes tidegate(1) from what `tidegate help` says, and each command with
// -h.
func manual(help []byte, flags map[string][]byte, version string, at time.Time) []byte {
	var b bytes.Buffer
	title(&b, "TIDEGATE 1", version, at)
	b.WriteString(".SH NAME\ntidegate \\- MQTT broker for the home with an uplink that loses nothing\n" +
		".SH SYNOPSIS\n.B tidegate\n.I command\n.RI [ arguments ]\n.SH DESCRIPTION\n" +
		"The service tidegate.service runs the gateway with /etc/tidegate/tidegate.toml; systemctl reload tidegate applies a change of it.\n" +
		"All other commands may be used beside it. Those that read its data need its rights: sudo.\n.SH COMMANDS\n")
	for _, m := range usageLine.FindAllSubmatch(help, -1) {
		fmt.Fprintf(&b, ".TP\n.B %s", roff(string(m[1])))
		if args := strings.TrimSpace(string(m[2])); args != "" {
			fmt.Fprintf(&b, " \\fR%s", roff(args))
		}
		fmt.Fprintf(&b, "\n%s\n", roff(string(m[3])))
		for _, f := range flagLines.FindAllSubmatch(flags[string(m[1])], -1) {
			fmt.Fprintf(&b, ".RS\n.TP\n.BI %s \" %s\"\n%s\n.RE\n", roff(string(f[1])), roff(string(f[2])), roff(string(f[3])))
		}
	}
	b.WriteString(`.SH EXIT STATUS
0: done. 1: what was asked about is wrong, or the gateway could not go on. 2: the command line is wrong, or a file could not be read.
.SH FILES
.TP
.I /etc/tidegate/tidegate.toml
The configuration; beside it the files with secrets that it names.
.TP
.I /var/lib/tidegate
What the gateway keeps: messages that wait for the cloud, retained messages, counts of meters.
.TP
.I /run/tidegate/status.sock
Gives whoever connects a line of JSON a second.
.TP
.I /run/tidegate/control.sock
Where status, top and support ask the gateway: root and the group tidegate may, without a password.
.SH SEE ALSO
.BR tidegate.toml (5),
.BR systemctl (1),
.BR journalctl (1)
`)
	return b.Bytes()
}

// manualOfConfig makes tidegate.toml(5) from `tidegate sample`.
func manualOfConfig(sample []byte, version string, at time.Time) []byte {
	var b bytes.Buffer
	title(&b, "TIDEGATE.TOML 5", version, at)
	b.WriteString(".SH NAME\ntidegate.toml \\- configuration of the Tidegate gateway\n.SH DESCRIPTION\n" +
		"Every key has a default. A key that does not exist and a value that cannot be are errors;\n" +
		".B tidegate check\nlists them all. This is the file as it is installed, and all that may stand in it:\n.PP\n.nf\n")
	for line := range strings.Lines(string(sample)) {
		b.WriteString(roff(strings.TrimRight(line, "\n")) + "\n")
	}
	b.WriteString(".fi\n.SH SEE ALSO\n.BR tidegate (1)\n")
	return b.Bytes()
}

func title(b *bytes.Buffer, name, version string, at time.Time) {
	fmt.Fprintf(b, ".TH %s %s \"Tidegate %s\"\n", name, at.Format(time.DateOnly), roff(version))
}

// roff takes from a line what would be a command to the formatter.
func roff(line string) string {
	line = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`).Replace(line)
	if strings.HasPrefix(line, ".") {
		line = `\&` + line
	}
	return line
}
