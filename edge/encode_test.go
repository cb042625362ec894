package edge

import (
	"bytes"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"
)

// SUBACK and UNSUBACK are as mochi's codec has them, at both versions and for each
// length of the length.
func TestSubackIsMochis(t *testing.T) {
	for _, n := range []int{1, 2, 124, 125, 126, 16_000, 17_000} {
		for _, v := range []byte{4, 5} {
			for _, kind := range []byte{packets.Suback, packets.Unsuback} {
				reasons := make([]byte, n)
				for i := range reasons {
					reasons[i] = byte(i % 3)
				}
				pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: kind}, ProtocolVersion: v, PacketID: 0x1234, ReasonCodes: reasons}
				var want bytes.Buffer
				encode := pk.SubackEncode
				if kind == packets.Unsuback {
					encode = pk.UnsubackEncode
				}
				if err := encode(&want); err != nil {
					t.Fatal(err)
				}
				if got := suback(kind, v == 5, 0x1234, reasons); !bytes.Equal(got, want.Bytes()) {
					t.Errorf("%s, version %d, %d reasons: got % x..., want % x...", packets.PacketNames[kind], v, n, got[:6], want.Bytes()[:6])
				}
			}
		}
	}
}
