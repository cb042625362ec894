package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os/exec"
	"time"

	"tidegate/cmd/tidegate/internal/control"
)

// output runs a program of the system and returns the end of what it prints.
func (s *support) output(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(s.ctx, 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).Output()
	return string(out[max(len(out)-mostPart, 0):]), err
}

// raw returns the body of an answer, indented.
func raw(ctx context.Context, c *control.Client, path string) (string, error) {
	var body json.RawMessage
	if err := c.Get(ctx, path, &body); err != nil {
		return "", err
	}
	var b bytes.Buffer
	err := json.Indent(&b, body, "", " ")
	return b.String() + "\n", err
}
