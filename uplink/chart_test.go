package uplink

import (
	"fmt"
	"math"
	"strings"
)

// chart is a plot with named lines; log makes its y axis logarithmic.
type chart struct {
	title, x, y string
	xs          [2]float64
	ys          [2]float64
	xticks      []float64
	yticks      []float64
	log         bool
	lines       []line
}

type line struct {
	name   string
	dashed bool
	points [][2]float64
}

const (
	chartWidth  = 300
	chartHeight = 210
	chartLeft   = 56
	chartTop    = 34
)

// svg draws charts beside each other, with one legend below. Its colours suit a
// light and a dark page.
func svg(charts []chart) string {
	var b strings.Builder
	step := chartWidth + chartLeft + 24
	lines := charts[0].lines
	width, height := step*len(charts)+8, chartTop+chartHeight+60+20*len(lines)
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">`+"\n", width, height, width, height)
	b.WriteString(chartStyle)
	fmt.Fprintf(&b, `<rect class="page" width="%d" height="%d"/>`+"\n", width, height)
	for i, c := range charts {
		fmt.Fprintf(&b, `<g transform="translate(%d %d)">`+"\n", i*step+chartLeft, chartTop)
		c.draw(&b)
		b.WriteString("</g>\n")
	}
	for i, l := range lines {
		x, y := chartLeft, chartTop+chartHeight+60+20*i
		fmt.Fprintf(&b, `<line class="%s" x1="%d" x2="%d" y1="%d" y2="%d"/><text x="%d" y="%d">%s</text>`+"\n", l.class(i), x, x+26, y-4, y-4, x+32, y, l.name)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

const chartStyle = `<style>
text{font:12px sans-serif;fill:#222}
.title{font-weight:bold}
.page{fill:#fff}
.grid{stroke:#ddd}
.line{fill:none;stroke-width:2}
.dashed{stroke-dasharray:6 4}
.c0{stroke:#0072b2}.c1{stroke:#d55e00}.c2{stroke:#009e73}.c3{stroke:#a3599b}.c4{stroke:#777}
@media (prefers-color-scheme:dark){text{fill:#ddd}.page{fill:#0d1117}.grid{stroke:#333}.c0{stroke:#56b4e9}.c1{stroke:#ff9955}.c2{stroke:#3fd0a0}.c3{stroke:#dd88cc}.c4{stroke:#999}}
</style>
`

func (l line) class(i int) string {
	class := fmt.Sprintf("line c%d", i)
	if l.dashed {
		class += " dashed"
	}
	return class
}

func (c chart) draw(b *strings.Builder) {
	fmt.Fprintf(b, `<text class="title" x="0" y="-14">%s</text>`+"\n", c.title)
	for _, v := range c.yticks {
		y := c.at(0, v)[1]
		fmt.Fprintf(b, `<line class="grid" x1="0" x2="%d" y1="%.1f" y2="%.1f"/><text x="-6" y="%.1f" text-anchor="end">%v</text>`+"\n", chartWidth, y, y, y+4, v)
	}
	for _, v := range c.xticks {
		x := c.at(v, c.ys[0])[0]
		fmt.Fprintf(b, `<line class="grid" x1="%.1f" x2="%.1f" y1="0" y2="%d"/><text x="%.1f" y="%d" text-anchor="middle">%v</text>`+"\n", x, x, chartHeight, x, chartHeight+16, v)
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", chartWidth/2, chartHeight+34, c.x)
	fmt.Fprintf(b, `<text transform="translate(-42 %d) rotate(-90)" text-anchor="middle">%s</text>`+"\n", chartHeight/2, c.y)
	for i, l := range c.lines {
		fmt.Fprintf(b, `<polyline class="%s" points="`, l.class(i))
		for _, p := range l.points {
			at := c.at(p[0], p[1])
			fmt.Fprintf(b, "%.1f,%.1f ", at[0], at[1])
		}
		b.WriteString(`"/>` + "\n")
	}
}

// at maps a point into the plot's area.
func (c chart) at(x, y float64) [2]float64 {
	low, high := c.ys[0], c.ys[1]
	y = min(max(y, low), high)
	if c.log {
		low, high, y = math.Log(low), math.Log(high), math.Log(y)
	}
	return [2]float64{
		(min(x, c.xs[1]) - c.xs[0]) / (c.xs[1] - c.xs[0]) * chartWidth,
		chartHeight - (y-low)/(high-low)*chartHeight,
	}
}
