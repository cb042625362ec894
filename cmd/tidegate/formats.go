package main

import (
	"fmt"
	"log/slog"

	"tidegate/cmd/tidegate/internal/update"
	"tidegate/internal/advice"
	"tidegate/internal/formats"
)

// stores are what the data directory holds that other software may have written
// in another form.
var stores = []formats.Store{
	{Name: "edge", Files: []string{"edge.db", "edge.db.clean"}},
	{Name: "spool", Files: []string{"uplink-*"}},
}

// enterFormats puts aside what this software cannot read, before anything opens
// it. While this software is on trial it stores nothing that the one in the
// other slot could not read.
func enterFormats(dir string, sys update.System, log *slog.Logger) error {
	limit, err := sys.Limit()
	if err != nil {
		log.Warn("nothing is known of the software in the other slot", "err", err)
	}
	_, moved, err := formats.Enter(dir, stores, formats.Ours(), limit)
	for _, what := range moved {
		log.Warn("stored by other software", "what", what)
	}
	if err != nil {
		return fmt.Errorf("data directory %s: %w", dir, advice.Disk(err, dir))
	}
	return nil
}
