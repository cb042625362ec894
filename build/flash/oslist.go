package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// osList is what Raspberry Pi Imager reads with --repo, or by a double click on
// a file named *.rpi-imager-manifest. Its fields are those that Imager's
// doc/json-schema/os-list-schema.json requires, and some that say more.
type osList struct {
	Imager struct {
		Devices []imagerDevice `json:"devices"`
	} `json:"imager"`
	OSes []osEntry `json:"os_list"`
}

// imagerDevice is a choice under "Raspberry Pi device".
type imagerDevice struct {
	Name         string   `json:"name"`
	Description  string   `json:"description"`
	Tags         []string `json:"tags"`
	MatchingType string   `json:"matching_type"`
	Architecture string   `json:"architecture"`
}

type osEntry struct {
	Name         string   `json:"name"`
	Description  string   `json:"description"`
	Icon         string   `json:"icon"` // "": Imager shows none
	URL          string   `json:"url"`
	ExtractSize  int64    `json:"extract_size"` // bytes
	ExtractSum   string   `json:"extract_sha256"`
	DownloadSize int64    `json:"image_download_size"` // bytes
	ReleaseDate  string   `json:"release_date"`        // 2006-01-02
	InitFormat   string   `json:"init_format"`         // none: Imager asks for nothing and writes nothing of its own
	Devices      []string `json:"devices"`
	Architecture string   `json:"architecture"`
}

// imagerDevices are the machines that the image is for, by Imager's own tags: a
// Zero 2 W counts as a Pi 3 there.
func imagerDevices() []imagerDevice {
	device := func(name, description, tag string) imagerDevice {
		return imagerDevice{name, description, []string{tag}, "inclusive", "armv8"}
	}
	return []imagerDevice{
		device("Raspberry Pi 4", "Models B, 400, Compute Module 4", "pi4-64bit"),
		device("Raspberry Pi 3", "Models A+, B, B+, Compute Module 3", "pi3-64bit"),
		device("Raspberry Pi Zero 2 W", "Zero 2 W", "pi3-64bit"),
	}
}

// list writes the os_list of an image:
//
//	flash list -image FILE [-url URL] [-version TEXT] [-date DAY] [-o FILE]
func list(ctx context.Context, args []string, out, errs io.Writer) error {
	flags := flag.NewFlagSet("flash list", flag.ContinueOnError)
	flags.SetOutput(errs)
	file := flags.String("image", "dist/tidegate.img.xz", "the image: raw, .xz, .zst or .gz")
	url := flags.String("url", "", "where Imager finds the image; empty: on this machine")
	version := flags.String("version", "", "the version, for the name")
	date := flags.String("date", "", "the day of the release, as 2006-01-02; empty: that of the file")
	to := flags.String("o", "", "the file to write; empty: standard output")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return errors.New("list takes flags alone")
	}
	l, err := newList(ctx, *file, *url, *version, *date)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	if *to == "" {
		_, err = out.Write(text)
		return err
	}
	return os.WriteFile(*to, text, 0o644)
}

func newList(ctx context.Context, file, url, version, date string) (osList, error) {
	var l osList
	info, err := os.Stat(file)
	if err != nil {
		return l, fmt.Errorf("%w; make image builds one", err)
	}
	img, err := readImage(ctx, file, nil, &progress{out: io.Discard, now: time.Now})
	if err != nil {
		return l, err
	}
	if url == "" {
		if file, err = filepath.Abs(file); err != nil {
			return l, err
		}
		url = "file://" + file
	}
	if date == "" {
		date = info.ModTime().UTC().Format(time.DateOnly)
	}
	if _, err := time.Parse(time.DateOnly, date); err != nil {
		return l, err
	}
	name := "Tidegate"
	if version != "" {
		name += " " + version
	}
	l.Imager.Devices = imagerDevices()
	l.OSes = []osEntry{{
		Name: name, Description: "MQTT edge gateway: a broker for the home, with an uplink that loses nothing. Put tidegate.toml and wifi.txt on the partition TIDEGATE afterwards",
		URL: url, ExtractSize: img.size, ExtractSum: img.sum, DownloadSize: info.Size(), ReleaseDate: date,
		InitFormat: "none", Devices: []string{"pi3-64bit", "pi4-64bit"}, Architecture: "armv8",
	}}
	return l, nil
}
