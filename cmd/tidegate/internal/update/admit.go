package update

import (
	"fmt"
)

// Permit is what may be done that is refused otherwise.
type Permit struct {
	Downgrade bool // an older version, the same, or one that cannot be compared
}

// admit says why a bundle must not be installed, or nil. written is the
// versions in which the gateway's stores are.
func (s System) admit(b Bundle, written map[string]int, p Permit) error {
	if b.Compatible != s.Compatible {
		return fmt.Errorf("the bundle is for %q, and this gateway is %q", b.Compatible, s.Compatible)
	}
	if err := s.upward(b.Version, p); err != nil {
		return err
	}
	if b.Formats == nil {
		return fmt.Errorf("the bundle does not say which stored forms its software reads, so it might not read what this gateway has stored")
	}
	if err := b.Formats.Reads(written); err != nil {
		return fmt.Errorf("version %s would lose what waits here: %w", b.Version, err)
	}
	return nil
}

// upward refuses what is not newer than what runs.
func (s System) upward(version string, p Permit) error {
	if p.Downgrade {
		return nil
	}
	is, comparable := newer(version, s.Version)
	switch {
	case version == s.Version:
		return fmt.Errorf("version %s is running already; -downgrade installs it again", version)
	case !comparable:
		return fmt.Errorf("nobody can say whether %s is newer than %s, which is running; -downgrade allows it", version, s.Version)
	case !is:
		return fmt.Errorf("version %s is older than %s, which is running; -downgrade allows it", version, s.Version)
	}
	return nil
}
