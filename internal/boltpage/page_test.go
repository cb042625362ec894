package boltpage

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
)

// boltFile returns a file of bbolt's with a bucket of 2 rows and one of 300, of
// which one takes many pages.
func boltFile(t testing.TB) []byte {
	path := filepath.Join(t.TempDir(), "db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{PageSize: Size, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	put := func(tx *bbolt.Tx) (err error) {
		for name, rows := range map[string]int{"small": 2, "large": 300} {
			b, e := tx.CreateBucketIfNotExists([]byte(name))
			err = errors.Join(err, e)
			for i := range rows {
				err = errors.Join(err, b.Put(fmt.Append(nil, i), fmt.Append(make([]byte, i/299*2*Size), name, i)))
			}
		}
		return err
	}
	err = errors.Join(db.Update(put), db.Update(put), db.Close())
	file, e := os.ReadFile(path)
	if err := errors.Join(err, e); err != nil {
		t.Fatal(err)
	}
	return file
}

// FuzzPages puts one page of the fuzzer's into a file: one meta is always
// whole, Scan finds values where they stand, and all that Walk finds, which is
// all when nothing was changed.
func FuzzPages(f *testing.F) {
	whole := boltFile(f)
	pages := len(whole) / Size
	for id := range pages {
		f.Add(uint8(id), whole[id*Size:(id+1)*Size])
		f.Add(uint8(id), make([]byte, Size))
	}
	f.Fuzz(func(t *testing.T, id uint8, b []byte) {
		file := bytes.Clone(whole)
		copy(file[int(id)%pages*Size:][:Size], b)
		r, size := bytes.NewReader(file), int64(len(file))
		if newest, err := Newest(r, size); newest.Root == 0 {
			t.Errorf("no meta: %v", err)
		}
		scanned := make(map[string]bool)
		Scan(r, size, func(p Page) {
			p.Rows(func(key, value []byte, offset int64) {
				if offset < 0 || offset+int64(len(value)) > size || !bytes.Equal(file[offset:offset+int64(len(value))], value) {
					t.Fatalf("value at %d is not there", offset)
				}
				scanned[string(key)+string(value)] = true
			})
		})
		rows := 0
		err := Walk(r, size, func(_, key, value []byte) error {
			if rows++; !scanned[string(key)+string(value)] {
				t.Errorf("the scan does not find row %q", key)
			}
			return nil
		}, func([]byte, uint64) error { return nil })
		if bytes.Equal(file, whole) && (err != nil || rows != 302) {
			t.Errorf("got %d rows, %v, want 302", rows, err)
		}
	})
}
