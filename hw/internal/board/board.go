// Package board reads the Pi itself: how warm it is, whether its power supply
// holds, how busy and how full it is, and what its card has suffered.
//
//	/sys, /proc (or a folder that looks like them) ---> Board.Read(out)
//
// Nothing here needs root or a group. What a machine does not tell is absent:
// its value is NaN, and that is no error. Files stay open and are read with one
// call each, so a reading allocates nothing; what was absent is looked for
// again now and then, because kernel modules load when they like.
//
// Which kernel tells what:
//
//	cpu_temperature  every kernel: the thermal zone of the CPU, else hwmon
//	under_voltage    Pi 1 to 4: Linux 4.19 and newer (module raspberrypi-hwmon,
//	                 "rpi_volt"); Pi 5: the kernel of Raspberry Pi OS. It looks
//	                 every 2 s, and a dip between two looks counts.
//	throttled        the kernel of Raspberry Pi OS only (get_throttled; the first
//	                 reading since boot leaves one warning in the kernel's log)
//	card_wear,       eMMC of version 5.0 and newer; SD cards say nothing
//	card_worn_out
//	wifi_signal      kernels with wireless extensions, which Raspberry Pi OS and
//	                 Debian have; the driver must report dBm
//
// Caveats: memory is what the kernel thinks it can give without swapping;
// card_written is what this boot wrote to the whole disk that holds the state
// folder, not what the gateway wrote; where that disk cannot be told (overlay,
// network), it is the first card of the machine.
package board

import (
	"errors"
	"math"
	"os"
	"path/filepath"

	"tidegate/internal/disk"
)

// The quantities, in the order of Read.
const (
	CPUTemperature  = iota // °C
	UnderVoltage           // 1 while, or within 2 s after, the supply is too low; else 0
	Throttled              // 1 while the firmware holds the clock down (heat or low supply); else 0
	Load                   // processes running or waiting, mean of one minute
	MemoryAvailable        // MiB
	Uptime                 // s since the kernel started
	DiskFree               // MiB that the gateway's user can still write in the state folder
	CardWear               // % of the flash's rated life used, at most; steps of 10; 110 is beyond it
	CardWornOut            // 1 when the card's spare blocks run out (80 % used); else 0
	CardWritten            // MiB since boot
	WiFiSignal             // dBm, of the first interface that is connected
	Count
)

// again is after how many readings what was absent is looked for once more.
const again = 60

// Board is the machine that we run on. Its methods are called by one goroutine
// at a time.
type Board struct {
	root    string // "/", or a folder that looks like it
	folder  string // state folder of the gateway, in root
	disk    string // that holds folder, as in /sys/block; "" when unknown
	sources []source
	state   *os.File // the state folder; nil when absent
	turn    int
	buf     [4096]byte
}

// source is one file of the kernel and the quantities that it gives.
type source struct {
	find  func(*Board) string // its path in root; "" when there is none
	value func(b []byte, out []float64)
	file  *os.File // nil while absent
}

// Open finds what the machine tells. root is "" or "/" on a real one; folder is
// the gateway's state folder, "" for the root of the file system. It never
// fails: what is not there is absent in every reading.
func Open(root, folder string) *Board {
	b := &Board{root: filepath.Join("/", root), folder: filepath.Join("/", folder), sources: []source{
		{find: cpuTemperature, value: milliCelsius},
		{find: lowVoltage, value: alarm},
		{find: at("sys/devices/platform/soc/soc:firmware/get_throttled"), value: firmwareFlags},
		{find: at("proc/loadavg"), value: loadAverage},
		{find: at("proc/meminfo"), value: memoryAvailable},
		{find: at("proc/uptime"), value: uptime},
		{find: ofDisk("device/life_time"), value: lifeTime},
		{find: ofDisk("device/pre_eol_info"), value: spareBlocks},
		{find: ofDisk("stat"), value: sectorsWritten},
		{find: at("proc/net/wireless"), value: wireless},
	}}
	b.look()
	return b
}

// Read fills out, which has Count elements.
func (b *Board) Read(out []float64) error {
	if len(out) != Count {
		return errors.New("a reading of the board has another number of quantities")
	}
	if b.turn++; b.turn%again == 0 {
		b.look()
	}
	for i := range out {
		out[i] = math.NaN()
	}
	for i := range b.sources {
		s := &b.sources[i]
		if content := s.read(b.buf[:]); content != nil {
			s.value(content, out)
		}
	}
	out[DiskFree] = b.diskFree()
	return nil
}

// Halt closes all files.
func (b *Board) Halt() error {
	var errs []error
	for i := range b.sources {
		if f := b.sources[i].file; f != nil {
			errs = append(errs, f.Close())
			b.sources[i].file = nil
		}
	}
	if b.state != nil {
		errs = append(errs, b.state.Close())
		b.state = nil
	}
	return errors.Join(errs...)
}

// look opens what is absent.
func (b *Board) look() {
	if b.disk == "" {
		b.disk = disk.Of(b.root, b.folder)
	}
	for i := range b.sources {
		s := &b.sources[i]
		if s.file == nil {
			if path := s.find(b); path != "" {
				s.file, _ = os.Open(path) // nil: still absent
			}
		}
	}
	if b.state == nil {
		b.state, _ = os.Open(filepath.Join(b.root, b.folder))
	}
}

// read returns the content of the file, in buf; nil when it cannot be read, and
// then it is looked for again.
func (s *source) read(buf []byte) []byte {
	if s.file == nil {
		return nil
	}
	n, _ := s.file.ReadAt(buf, 0) // a whole file ends with io.EOF
	if n == 0 {
		s.file.Close()
		s.file = nil
		return nil
	}
	return buf[:n]
}
