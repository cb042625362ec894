package chip

import (
	"errors"
	"testing"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/conntest"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"
	"periph.io/x/conn/v3/spi/spitest"
)

// spiFunc is a port with one chip that does what it is told. Like a real port
// it connects in one way.
type spiFunc func(w, r []byte) error

func (f spiFunc) Connect(speed physic.Frequency, mode spi.Mode, bits int) (spi.Conn, error) {
	if speed > 1350*physic.KiloHertz || mode != spi.Mode0 || bits != 8 {
		return nil, errors.New("that is not how this chip is connected")
	}
	return f, nil
}
func (f spiFunc) Tx(w, r []byte) error         { return f(w, r) }
func (f spiFunc) TxPackets([]spi.Packet) error { return errors.New("not used") }
func (f spiFunc) Duplex() conn.Duplex          { return conn.Full }
func (f spiFunc) String() string               { return "fake" }

// spiRecorded is a port that plays back one transfer.
func spiRecorded(w, r []byte) *spitest.Playback {
	return &spitest.Playback{Playback: conntest.Playback{Ops: []conntest.IO{{W: w, R: r}}, DontPanic: true}}
}

// readSPI plays one transfer to a chip and returns what it reads.
func readSPI(t *testing.T, k Kind, w Wiring, sent, answered []byte) ([]float64, error) {
	t.Helper()
	port := spiRecorded(sent, answered)
	w.SPI = port
	got, err := readOnce(t, k, w)
	if err := port.Close(); err != nil {
		t.Error(err)
	}
	return got, err
}
