package sim

import "testing"

// Checksums are what a chip of ours could get wrong together with a driver, so
// they are held to the examples of the makers.
func TestChecksums(t *testing.T) {
	// Maxim, application note 27, "Understanding and Using Cyclic Redundancy Checks".
	if got, want := maxim([]byte{0x02, 0x1c, 0xb8, 0x01, 0, 0, 0}), byte(0xa2); got != want {
		t.Errorf("1-Wire: got %#x, want %#x", got, want)
	}
	// Sensirion, SHT3x-DIS, table 20.
	if got, want := sensirion(0xbeef)[2], byte(0x92); got != want {
		t.Errorf("Sensirion: got %#x, want %#x", got, want)
	}
}

func TestBus(t *testing.T) {
	b := NewBus()
	if err := b.Plug(0x76, "bme280"); err != nil {
		t.Fatal(err)
	}
	id := make([]byte, 1)
	if !b.Write(0x76, []byte{0xd0}) || !b.Read(0x76, id) || id[0] != 0x60 {
		t.Errorf("got identity %#x, want 0x60", id)
	}
	b.Unplug(0x76)
	if b.Read(0x76, id) {
		t.Error("a chip that was taken away answers")
	}
	if err := b.Plug(0x76, "bme820"); err == nil {
		t.Error("a chip that does not exist was plugged in")
	}
}
