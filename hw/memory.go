package hw

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"tidegate/hw/internal/discovery"
)

// memory is what Home Assistant was told, kept in the state folder, so that
// what leaves the configuration while the gateway is off can be taken back. It
// is written when it changes, which is when somebody changes the configuration.
type memory struct {
	Version   int               `json:"version"`
	Announced map[string]string `json:"announced"` // payload by topic
	// Gone are the topics taken back last. They are taken back once more at the
	// next start, because a power cut may have kept it from the broker's disk.
	Gone []string `json:"gone,omitempty"`
}

const (
	memoryFile    = "homeassistant.json"
	memoryVersion = 1
)

// recall reads the memory of the last run. One that cannot be read is none:
// all is announced anew.
func recall(dir string, log *slog.Logger) memory {
	m := memory{Version: memoryVersion, Announced: map[string]string{}}
	if dir == "" {
		return m
	}
	path := filepath.Join(dir, memoryFile)
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m
	}
	var read memory
	if err == nil {
		err = json.Unmarshal(content, &read)
	}
	if err == nil && read.Version != memoryVersion {
		err = fmt.Errorf("version %d, want %d", read.Version, memoryVersion)
	}
	if err != nil {
		log.Warn("what Home Assistant was told before is not known", "path", path, "err", err)
		return m
	}
	if read.Announced == nil {
		read.Announced = m.Announced
	}
	return read
}

// remembers says whether there is a memory of an earlier run.
func remembers(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, memoryFile))
	return dir != "" && err == nil
}

func (m *memory) payloads() map[string][]byte {
	all := make(map[string][]byte, len(m.Announced))
	for topic, payload := range m.Announced {
		all[topic] = []byte(payload)
	}
	return all
}

// replace remembers what is, and what of the changes takes something back.
func (m *memory) replace(is, changes []discovery.Message) {
	m.Announced, m.Gone = make(map[string]string, len(is)), nil
	for _, a := range is {
		m.Announced[a.Topic] = string(a.Payload)
	}
	for _, c := range changes {
		if len(c.Payload) == 0 {
			m.Gone = append(m.Gone, c.Topic)
		}
	}
}

// save writes the memory to the disk for good.
func (m *memory) save(dir string) error {
	if dir == "" {
		return nil
	}
	content, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(dir, memoryFile), content)
}

// replaceFile puts content in the place of a file: a power cut leaves the old
// content or the new one.
func replaceFile(path string, content []byte) error {
	f, err := os.Create(path + ".tmp")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
