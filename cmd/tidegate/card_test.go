package main

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"
)

// The gateway ends a day that the machine was on, tells the home, retained, and
// keeps the account over a restart. Other counters are those of this machine.
func TestTheDayOfTheCardIsTold(t *testing.T) {
	file, dir := house(t, openHouse)
	text := `{"boot":"another","today":{"seconds":86400,"written":5000,"ours":7},"total":{"seconds":86400,"written":5000,"ours":7},"days":3,"seq":1}`
	page := make([]byte, 8192) // as internal/card says: version, CRC-32C, length, JSON
	page[0] = 1
	binary.BigEndian.PutUint16(page[5:], uint16(len(text)))
	copy(page[7:], text)
	binary.BigEndian.PutUint32(page[1:], crc32.Checksum(page[5:4096], castagnoli))
	if err := os.WriteFile(filepath.Join(dir, "card-account"), page, 0o600); err != nil {
		t.Fatal(err)
	}
	g := startGateway(t, file, dir)
	g.says(`msg="a day of the card" component=card .*days=4`)
	home := subscribe(t, g.port(), "gateway/#")
	home.says(`got gateway/card {"disk":"[a-z0-9]*","today":{"seconds":0,.*"days":4,`)
	if got := g.stats().Card.Days; got != 4 {
		t.Errorf("the status has %d days, want 4", got)
	}
	g.signal(os.Interrupt)
	if code := g.exit(); code != exitOK {
		t.Fatalf("got exit code %d: %s", code, g.out)
	}
	again := startGateway(t, file, dir)
	if got := again.stats().Card.Days; got != 4 {
		t.Errorf("after a restart: got %d days, want 4: %s", got, fmt.Sprint(again.out))
	}
}
