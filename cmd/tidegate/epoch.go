package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"tidegate/internal/whole"
)

// The boot epoch is a counter of starts. With it the id of a message (gateway,
// epoch, sequence) never comes twice, although the sequence begins again at
// every start; a consumer drops what it has seen before, so an epoch that came
// back would make it drop good messages.
//
// The file has two slots, a page each, written in turn and in place: a torn
// write leaves the other slot, and a full disk cannot refuse to write what is
// allocated already.
//
//	slot: version 0x01 | epoch, 8 bytes | CRC-32C of these 9 bytes | zeros to 4096

const (
	epochName    = "epoch"
	epochVersion = 1
	slotSize     = 4096
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// floorName is a file with the least epoch that may be used, as digits. It comes
// with a backup that was restored: the gateway that it was made of has used what
// is below.
const floorName = "epoch-floor"

// epochFloor returns 0 when there is no floor, or none that can be read.
func epochFloor(dir string) uint64 {
	text, err := os.ReadFile(filepath.Join(dir, floorName))
	if err != nil {
		return 0
	}
	floor, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0
	}
	return floor
}

// lastEpoch is the epoch of the last start, 0 when there is none.
func lastEpoch(dir string) uint64 {
	data, err := os.ReadFile(filepath.Join(dir, epochName))
	if err != nil {
		return 0
	}
	last, _ := newest(data)
	return last
}

// nextEpoch returns the epoch of this start, and has stored it when it returns.
func nextEpoch(dir string, now time.Time) (uint64, error) {
	name := filepath.Join(dir, epochName)
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return makeEpoch(dir, now)
	}
	if err != nil {
		return 0, err
	}
	last, slot := newest(data)
	if last == 0 {
		aside := fmt.Sprintf("%s.corrupt-%d", name, now.Unix())
		if err := os.Rename(name, aside); err != nil {
			return 0, err
		}
		return makeEpoch(dir, now)
	}
	epoch := max(last+1, epochFloor(dir))
	return epoch, writeSlot(name, 1-slot, epoch)
}

// makeEpoch begins a new file. Its first epoch comes from the clock, in
// minutes, so that a gateway whose card was replaced begins above what it had
// used; a file that was set aside as damaged adds 2^32, so that after damage it
// does so whatever the clock says.
func makeEpoch(dir string, now time.Time) (uint64, error) {
	damaged, err := filepath.Glob(filepath.Join(dir, epochName+".corrupt-*"))
	if err != nil {
		return 0, err
	}
	since := now.Sub(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC))
	epoch := max(uint64(max(since/time.Minute, 1))+uint64(len(damaged))<<32, epochFloor(dir))
	return epoch, whole.Write(filepath.Join(dir, epochName), whole.Bytes(append(encodeSlot(epoch), make([]byte, slotSize)...)))
}

// newest returns the highest epoch of the slots that can be read, and its slot;
// 0 when there is none.
func newest(data []byte) (epoch uint64, slot int) {
	for i := range 2 {
		if len(data) < (i+1)*slotSize {
			break
		}
		s := data[i*slotSize:]
		sum := binary.BigEndian.Uint32(s[9:13])
		if e := binary.BigEndian.Uint64(s[1:9]); s[0] == epochVersion && sum == crc32.Checksum(s[:9], castagnoli) && e > epoch {
			epoch, slot = e, i
		}
	}
	return epoch, slot
}

func encodeSlot(epoch uint64) []byte {
	s := make([]byte, slotSize)
	s[0] = epochVersion
	binary.BigEndian.PutUint64(s[1:9], epoch)
	binary.BigEndian.PutUint32(s[9:13], crc32.Checksum(s[:9], castagnoli))
	return s
}

func writeSlot(name string, slot int, epoch uint64) (err error) {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.WriteAt(encodeSlot(epoch), int64(slot)*slotSize); err != nil {
		return err
	}
	return f.Sync()
}
