//go:build image

package power

import (
	"bytes"
	"strconv"
	"strings"
	"testing"
)

// A block of the card under a file of the spool cannot be read any more. What
// was in it is lost, and nothing else; it is said, and the gateway goes on.
func TestReadError(t *testing.T) {
	h := newHouse(t, 64, "")
	h.consume()
	h.publish(500, 1000)
	eventually(t, "there is a backlog", func() bool { return h.ledger.Acked() > 1000 })
	h.cut(Drop, true)
	if err := h.inspect(); err != nil {
		t.Fatal(err)
	}
	number := h.rows("/tidegate/uplink-cloud/00000001.spool")
	h.disk.Break(number*blockSize, blockSize)
	mark := h.machine.Mark()
	must(t, h.back())
	h.open()
	h.worksAtHome()
	h.finish()
	h.away.setOnline(true)
	if _, err := h.machine.WaitAfter(within(t), mark, "damaged spool file was set aside", "00000001.spool"); err != nil {
		t.Fatal(err)
	}
	const most = blockSize / 1000 // messages in a block
	eventually(t, "the rest has arrived", func() bool { return h.cloud.Lost() <= most })
	r := h.cloud.Report()
	t.Log(r)
	if r.Disorder > 0 || r.Foreign > 0 {
		t.Error("in wrong order, or damaged")
	}
}

// rows returns the number of a block of the disk that holds messages of a file.
func (h *house) rows(file string) int64 {
	h.t.Helper()
	var found []int64
	for word := range strings.FieldsSeq(h.run("debugfs", "-R", "blocks "+file, h.dir+"/image")) {
		number, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			continue // what the program says about itself
		}
		block := make([]byte, blockSize)
		must(h.t, h.disk.read(number*blockSize, block))
		if bytes.Contains(block, []byte("tgl\x01")) {
			found = append(found, number)
		}
	}
	if len(found) < 10 {
		h.t.Fatalf("%s has %d blocks with messages", file, len(found))
	}
	return found[len(found)/2]
}
