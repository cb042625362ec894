package board

import (
	"bytes"
	"math"
	"strconv"
)

const mebi = 1 << 20

var absent = math.NaN()

// number reads the number at the start of b, which may have blanks before it
// and a colon, a point or anything else behind; NaN when there is none.
func number(b []byte) float64 {
	b = bytes.TrimLeft(b, " \t")
	end := 0
	for end < len(b) && (b[end] >= '0' && b[end] <= '9' || b[end] == '.' || end == 0 && b[end] == '-') {
		end++
	}
	v, err := strconv.ParseFloat(string(b[:end]), 64)
	if err != nil {
		return absent
	}
	return v
}

// field returns the n-th field of a line, counted from 0; nil when it has fewer.
func field(line []byte, n int) []byte {
	for {
		line = bytes.TrimLeft(line, " \t")
		end := bytes.IndexAny(line, " \t\n")
		if end < 0 {
			end = len(line)
		}
		if n == 0 || end == 0 {
			return line[:end]
		}
		line, n = line[end:], n-1
	}
}

// hex reads "0x01" or "50005"; ok says whether it is one.
func hex(b []byte) (v uint64, ok bool) {
	v, err := strconv.ParseUint(string(bytes.TrimPrefix(bytes.TrimSpace(b), []byte("0x"))), 16, 32)
	return v, err == nil
}

func flag(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

func milliCelsius(b []byte, out []float64) { out[CPUTemperature] = number(b) / 1000 }

// alarm is in0_lcrit_alarm: "0" or "1".
func alarm(b []byte, out []float64) { out[UnderVoltage] = number(b) }

// firmwareFlags is get_throttled: hexadecimal bits, now in the lower half. The
// upper half, since boot or since the last look, depends on the kernel and is
// left alone.
func firmwareFlags(b []byte, out []float64) {
	const lowSupply, capped, throttled, softLimit = 1, 2, 4, 8
	bits, ok := hex(b)
	if !ok {
		return
	}
	out[Throttled] = flag(bits&(capped|throttled|softLimit) != 0)
	if math.IsNaN(out[UnderVoltage]) {
		out[UnderVoltage] = flag(bits&lowSupply != 0)
	}
}

func loadAverage(b []byte, out []float64) { out[Load] = number(b) }

func uptime(b []byte, out []float64) { out[Uptime] = number(b) }

func memoryAvailable(b []byte, out []float64) {
	const key = "MemAvailable:"
	if i := bytes.Index(b, []byte(key)); i >= 0 {
		out[MemoryAvailable] = number(b[i+len(key):]) / 1024 // from kB, which are KiB
	}
}

// lifeTime is two estimates, for two kinds of cell, in tenths of the rated life:
// "0x01 0x02", 0 where the card does not say [JESD84-B51, 7.4.98, 7.4.99].
func lifeTime(b []byte, out []float64) {
	one, ok1 := hex(field(b, 0))
	two, ok2 := hex(field(b, 1))
	if worst := max(one, two); ok1 && ok2 && worst > 0 {
		out[CardWear] = 10 * float64(worst)
	}
}

// spareBlocks is 1 for normal, 2 for 80 % and 3 for 90 % of the spare blocks
// used, 0 where the card does not say [JESD84-B51, 7.4.97].
func spareBlocks(b []byte, out []float64) {
	if level, ok := hex(b); ok && level > 0 {
		out[CardWornOut] = flag(level > 1)
	}
}

// sectorsWritten is the seventh number of a disk's statistics, in units of 512
// bytes whatever the disk's sectors are [kernel: Documentation/block/stat.rst].
func sectorsWritten(b []byte, out []float64) { out[CardWritten] = number(field(b, 6)) * 512 / mebi }

// wireless is a table of two lines of heading and one for each interface:
// "wlan0: 0000   55.  -55.  -256 ...". A level that is not below 0 is not in
// dBm, or of an interface that is not connected.
func wireless(b []byte, out []float64) {
	for line := range bytes.Lines(b) {
		if !bytes.HasSuffix(field(line, 0), []byte(":")) {
			continue
		}
		if level := number(field(line, 3)); level < 0 {
			out[WiFiSignal] = level
			return
		}
	}
}
