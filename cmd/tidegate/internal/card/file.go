package card

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
)

// state is what outlives the gateway. Uptime and Written are counters of the
// boot, as they were when it was stored.
type state struct {
	Boot    string `json:"boot"`
	Uptime  int64  `json:"uptime"`
	Written int64  `json:"written"`
	Today   Span   `json:"today"`
	LastDay Span   `json:"last_day"`
	Total   Span   `json:"total"`
	Days    int64  `json:"days"`
	Seq     uint64 `json:"seq"` // of the store
}

// The file has two pages, written in turn and in place: a torn write leaves the
// other page, and nothing of the file system around them changes.
//
//	page: version 0x01 | CRC-32C of what follows, 4 bytes | length, 2 bytes | JSON | zeros to 4096
const (
	fileName    = "card-account"
	fileVersion = 1
	page        = 4096
	head        = 7
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type file struct {
	name string
	seq  uint64 // of the newest page
}

// load returns the newest state; the zero state when there is none.
func (f *file) load() (state, error) {
	data, err := os.ReadFile(f.name)
	if errors.Is(err, fs.ErrNotExist) {
		return state{}, nil
	}
	if err != nil {
		return state{}, err
	}
	var newest state
	for i := 0; i+page <= min(len(data), 2*page); i += page {
		if s, ok := decode(data[i : i+page]); ok && s.Seq > newest.Seq {
			newest = s
		}
	}
	f.seq = newest.Seq
	if newest.Seq == 0 {
		return state{}, fmt.Errorf("%s cannot be read", f.name)
	}
	return newest, nil
}

// store is on the card when it returns.
func (f *file) store(s state) (err error) {
	s.Seq = f.seq + 1
	w, err := os.OpenFile(f.name, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if f.seq == 0 { // both pages have their place on the disk from now on
		if _, err := w.WriteAt(make([]byte, 2*page), 0); err != nil {
			return err
		}
	}
	if _, err := w.WriteAt(s.encode(), int64(s.Seq%2)*page); err != nil {
		return err
	}
	f.seq = s.Seq
	return w.Sync()
}

func (s state) encode() []byte {
	text, err := json.Marshal(s)
	if err != nil || len(text) > page-head {
		return make([]byte, page) // cannot be: it is numbers and a boot id
	}
	b := make([]byte, page)
	b[0] = fileVersion
	binary.BigEndian.PutUint16(b[5:], uint16(len(text)))
	copy(b[head:], text)
	binary.BigEndian.PutUint32(b[1:], crc32.Checksum(b[5:], castagnoli))
	return b
}

// decode refuses what no account could have stored.
func decode(b []byte) (state, bool) {
	var s state
	n := int(binary.BigEndian.Uint16(b[5:]))
	if b[0] != fileVersion || binary.BigEndian.Uint32(b[1:]) != crc32.Checksum(b[5:], castagnoli) || head+n > len(b) {
		return s, false
	}
	if json.Unmarshal(b[head:head+n], &s) != nil {
		return state{}, false
	}
	return s, true
}
