package board

import (
	"bytes"
	"math"
	"strconv"

	"tidegate/internal/disk"
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

func lifeTime(b []byte, out []float64) {
	if percent, ok := disk.Wear(b); ok {
		out[CardWear] = float64(percent)
	}
}

func spareBlocks(b []byte, out []float64) {
	if low, ok := disk.SparesLow(b); ok {
		out[CardWornOut] = flag(low)
	}
}

func sectorsWritten(b []byte, out []float64) {
	if n, ok := disk.Written(b); ok {
		out[CardWritten] = float64(n) / mebi
	}
}

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
