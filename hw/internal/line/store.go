package line

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"tidegate/internal/advice"
)

// Store keeps the record of one meter in two files that are written in turns,
// each whole: a temporary file, fsync, rename, fsync of the folder. Whatever
// happens while one is written, the other is as it was; the newer whole one
// counts.
type Store struct {
	disk disk
	dir  string
	name string
	gen  uint64 // of the newest record; its file is the one with gen's last bit
}

// SaveCost is what one Save gives the card, reckoned in blocks of ext4: the
// record, its inode and the folder, each once more in the journal.
const SaveCost = 6 * 4096

// NewStore keeps the record in dir, which is made when it is missing, in files
// that begin with name.
func NewStore(dir, name string) *Store { return &Store{disk: osDisk{}, dir: dir, name: name} }

// disk is what a store needs of a file system.
type disk interface {
	ReadFile(path string) ([]byte, error)
	Mkdir(path string) error
	Create(path string) (file, error) // empty, even if there was one
	Rename(from, to string) error
	SyncDir(path string) error
}

type file interface {
	io.WriteCloser
	Sync() error
}

// The stored form: version 1, generation, start, base and per-pulse as IEEE 754
// doubles, count, CRC-32C of all before; big-endian.
const (
	recordVersion = 1
	recordSize    = 1 + 5*8 + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func encode(gen uint64, r Record) []byte {
	b := make([]byte, 0, recordSize)
	b = append(b, recordVersion)
	for _, v := range []uint64{gen, math.Float64bits(r.Start), math.Float64bits(r.Base), math.Float64bits(r.PerPulse), r.Count} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decode(b []byte) (gen uint64, r Record, err error) {
	if len(b) > 0 && b[0] != recordVersion {
		return 0, r, fmt.Errorf("version %d is not known", b[0])
	}
	if len(b) != recordSize {
		return 0, r, fmt.Errorf("it has %d bytes, not %d", len(b), recordSize)
	}
	body := b[:recordSize-4]
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(b[recordSize-4:]) {
		return 0, r, errors.New("its checksum is wrong")
	}
	word := func(i int) uint64 { return binary.BigEndian.Uint64(body[1+8*i:]) }
	r = Record{math.Float64frombits(word(1)), math.Float64frombits(word(2)), math.Float64frombits(word(3)), word(4)}
	if v := r.total() + r.Start; math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, r, errors.New("it has no number")
	}
	return word(0), r, nil
}

func (s *Store) path(gen uint64) string {
	return filepath.Join(s.dir, fmt.Sprintf("%s.%d", s.name, gen&1))
}

// Load returns the newest record that is whole; found says whether there is
// one. An error tells of one that is not: the record is then the one before,
// and what was counted between the two is lost.
func (s *Store) Load() (r Record, found bool, err error) {
	for slot := range uint64(2) {
		path := s.path(slot)
		b, readErr := s.disk.ReadFile(path)
		if errors.Is(readErr, fs.ErrNotExist) {
			continue
		}
		if readErr != nil {
			err = errors.Join(err, advice.Disk(readErr, path))
			continue
		}
		gen, one, badErr := decode(b)
		if badErr != nil {
			err = errors.Join(err, fmt.Errorf("counter file %s is damaged: %w", path, badErr))
			continue
		}
		if !found || gen > s.gen {
			s.gen, r, found = gen, one, true
		}
	}
	return r, found, err
}

// Save writes a record in the place of the one before the newest.
func (s *Store) Save(r Record) error {
	if err := s.save(s.gen+1, r); err != nil {
		return fmt.Errorf("save counter %s: %w", s.name, advice.Disk(err, s.dir))
	}
	s.gen++
	return nil
}

func (s *Store) save(gen uint64, r Record) error {
	if err := s.disk.Mkdir(s.dir); err != nil {
		return err
	}
	temp := filepath.Join(s.dir, s.name+".tmp")
	f, err := s.disk.Create(temp)
	if err != nil {
		return err
	}
	_, err = f.Write(encode(gen, r))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := s.disk.Rename(temp, s.path(gen)); err != nil {
		return err
	}
	return s.disk.SyncDir(s.dir)
}

// osDisk is the real one.
type osDisk struct{}

func (osDisk) ReadFile(path string) ([]byte, error) { return os.ReadFile(path) }
func (osDisk) Rename(from, to string) error         { return os.Rename(from, to) }
func (osDisk) Create(path string) (file, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
}

// Mkdir makes a folder that lasts, unless it is there.
func (d osDisk) Mkdir(path string) error {
	err := os.Mkdir(path, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return d.SyncDir(filepath.Dir(path))
}

func (osDisk) SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
