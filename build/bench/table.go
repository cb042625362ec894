package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// render prints one line per column of every figure: the medians, the ratio of
// the medians, and the range of the ratios of the single rounds.
func render(o options, results []result) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "figure\t\t%s\t%s\tratio\trange\tnull\t\n", o.subject.name, o.peer.name)
	for _, r := range results {
		rounds := min(len(r.subject), len(r.peer))
		for i, c := range r.figure.columns {
			if rounds == 0 {
				continue
			}
			a, p, n := pickColumn(r.subject[:rounds], i), pickColumn(r.peer[:rounds], i), pickColumn(r.null, i)
			name := ""
			if i == 0 {
				name = r.figure.name
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", name, c.name+arrow(c), c.show(a), c.show(p), ratio(c, a, p), spread(c, a, p), c.show(n))
		}
	}
	w.Flush() // into memory
	b.WriteString("\nMedians; ratio: of the medians; range: of the ratios of the rounds, each broker's turn next to the other's.\n")
	b.WriteString("^: more is better. Of lost and the like: the sum of all rounds.\n")
	for _, r := range results {
		fmt.Fprintf(&b, "  %-9s %s, %d rounds\n", r.figure.name, r.figure.about, min(len(r.subject), len(r.peer)))
	}
	b.WriteString(noise(results))
	b.WriteString(calibration(results))
	return b.String()
}

const calibrationText = `Generator and broker share %.0f CPUs. The null sink acknowledges and copies, and does nothing else.
Well above 1 the generator holds nobody back; near 1 or below it holds the better broker back, and the true ratio is larger.
`

func pickColumn(rounds [][]float64, i int) (values []float64) {
	for _, r := range rounds {
		values = append(values, r[i])
	}
	return values
}

func arrow(c column) string {
	if c.up {
		return " ^"
	}
	return ""
}

func (c column) show(values []float64) string {
	if len(values) == 0 {
		return ""
	}
	n := median(values)
	if c.count {
		n = sum(values)
	}
	return strconv.FormatFloat(n, 'f', c.decimal, 64)
}

func ratio(c column, a, b []float64) string {
	if c.count || median(b) == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", median(a)/median(b))
}

func spread(c column, a, b []float64) string {
	if c.count || slices.Contains(b, 0) {
		return ""
	}
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = a[i] / b[i]
	}
	return fmt.Sprintf("%.2f-%.2f", slices.Min(ratios), slices.Max(ratios))
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(values))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

func sum(values []float64) (total float64) {
	for _, v := range values {
		total += v
	}
	return total
}

// noise says how much of the machine others took meanwhile.
func noise(results []result) string {
	var all []float64
	for _, r := range results {
		all = append(all, r.others...)
	}
	if len(all) == 0 {
		return ""
	}
	return fmt.Sprintf("Everything else on this machine took %.0f %% of its CPU meanwhile, in the worst turn %.0f %%.\n", 100*median(all), 100*slices.Max(all))
}

// calibration says how far the generator itself is from its limits: what it
// reaches against a broker that does nothing, next to the best of the two.
func calibration(results []result) string {
	var b strings.Builder
	for _, r := range results {
		if len(r.null) == 0 || len(r.subject) == 0 || len(r.peer) == 0 || !r.figure.flat {
			continue
		}
		best := max(median(pickColumn(r.subject, 0)), median(pickColumn(r.peer, 0)))
		if best == 0 {
			continue
		}
		fmt.Fprintf(&b, "  %-9s the generator took %2.0f %% of the CPU, and reaches %.1f times the better broker against the null sink\n",
			r.figure.name, 100*median(r.share), median(pickColumn(r.null, 0))/best)
	}
	if b.Len() == 0 {
		return ""
	}
	return fmt.Sprintf(calibrationText, cores) + b.String()
}
