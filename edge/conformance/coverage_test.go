package conformance

import (
	"fmt"
	"strings"
	"testing"
)

// untested says why a statement that binds servers has no test.
var untested = map[string]string{
	"3.2.2-9":  "the broker has every QoS",
	"3.2.2-10": "the broker has every QoS",
	"3.2.2-12": "the broker has every QoS",
	"3.2.2-13": "the broker retains",
	"3.15.2-2": "no AUTH is ever sent",
	"3.15.2-3": "no AUTH is ever sent",
	"4.2-1":    "TCP",
	"4.12.0-2": "no enhanced authentication",
	"4.12.0-5": "no enhanced authentication",
	"4.12.1-2": "no enhanced authentication",
	"1.5.5-1":  "the client of every test fails at others",
}

// untested311 is the same for MQTT 3.1.1.
var untested311 = map[string]string{
	"3.3.5-2": "the permissions' own tests",
	"3.8.3-2": "the broker has wildcards",
	"4.8.0-2": "says what may be done",
	"7.0.0-1": "edge and uplink are tested apart",
	"7.0.0-2": "clients of other makers are tested in edge",
	"7.1.1-1": "TCP",
}

// TestStatements prints every statement with what covers it, and fails when one
// that binds servers has neither a test nor a reason.
func TestStatements(t *testing.T) {
	for _, version := range []struct {
		name, digit string
		list        []statement
		reasons     map[string]string
	}{{"MQTT 5", "5", mqtt5(), untested}, {"MQTT 3.1.1", "4", mqtt311(), untested311}} {
		by := coverage(t, version.digit)
		var out strings.Builder
		tested, client, reasoned := 0, 0, 0
		for _, s := range version.list {
			number := s.number
			if version.digit == "4" {
				number = s.like
			}
			why := ""
			switch names := by[number]; {
			case len(names) > 0:
				why = "tested: " + strings.Join(names, "; ")
				tested++
			case s.who == 'c':
				why = "binds clients only"
				client++
			case version.reasons[s.number] != "":
				why = version.reasons[s.number]
				reasoned++
			default:
				t.Errorf("MQTT-%s of %s has neither a test nor a reason: %s", s.number, version.name, s.says)
			}
			fmt.Fprintf(&out, "\n%-9s %c  %s\n             %s", s.number, s.who, s.says, why)
		}
		t.Logf("%s: %d statements; %d tested, %d bind clients only, %d not tested for the reason given%s",
			version.name, len(version.list), tested, client, reasoned, out.String())
	}
}

// coverage returns the names of the tests by the numbers they carry, and fails
// on numbers that are none.
func coverage(t *testing.T, version string) map[string][]string {
	known := map[string]bool{}
	for _, s := range mqtt5() {
		known[s.number] = true
	}
	by := map[string][]string{}
	for _, c := range checks() {
		for number := range strings.FieldsSeq(c.numbers) {
			if !known[number] {
				t.Errorf("%s: no statement MQTT-%s", c.name, number)
			}
			if strings.Contains(c.versions, version) {
				by[number] = append(by[number], c.name)
			}
		}
	}
	return by
}
