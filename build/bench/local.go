package main

import (
	"errors"
	"fmt"
	"time"

	"tidegate/build/bench/load"
)

// payload is the size of payloads in bytes.
const payload = 256

// flat is what a figure that goes flat out yields: flatColumns.
func (r *run) flat(m measured, report load.Report, err error) ([]float64, error) {
	high, err2 := peak(r.broker.cmd.Process.Pid)
	return []float64{m.perSecond, m.cpu, gone(report), high}, errors.Join(err, err2)
}

// gone is what did not arrive although it should: at QoS 0 everything sent.
func gone(r load.Report) float64 { return float64(r.Lost + r.Missing) }

func (r *run) fanIn(qos byte) ([]float64, error) {
	if err := r.subscribe(r.broker.addr, 1, qos, nil); err != nil {
		return nil, err
	}
	return r.flat(r.steady(load.FleetConfig{Clients: 50, QoS: qos, Window: 20, Size: payload}))
}

func (r *run) flood() ([]float64, error) {
	if err := r.subscribe(r.broker.addr, 1, 0, nil); err != nil {
		return nil, err
	}
	return r.flat(r.all(load.FleetConfig{Clients: 50, QoS: 0, Count: r.scaled(100_000), Size: payload}))
}

func (r *run) fanOut(qos byte) ([]float64, error) {
	if err := r.subscribe(r.broker.addr, 200, qos, nil); err != nil {
		return nil, err
	}
	return r.flat(r.steady(load.FleetConfig{QoS: 1, Window: 20, Size: payload}))
}

func (r *run) paced() ([]float64, error) {
	if err := r.subscribe(r.broker.addr, 1, 1, nil); err != nil {
		return nil, err
	}
	m, report, err := r.steady(load.FleetConfig{Clients: 50, QoS: 1, Window: 20, Rate: 5000, Size: payload})
	return []float64{m.perSecond, m.cpu, gone(report)}, err
}

func (r *run) oneToOne() ([]float64, error) {
	if err := r.subscribe(r.broker.addr, 1, 1, nil); err != nil {
		return nil, err
	}
	m, report, err := r.steady(load.FleetConfig{QoS: 1, Rate: 1000, Size: payload})
	return []float64{micro(report.Latency.Quantile(0.5)), micro(report.Latency.Quantile(0.99)), m.cpu, gone(report)}, err
}

func micro(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func milli(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// crowd connects n idle clients. It lets the broker rest for a second before it
// looks at its memory, so that what it needed for a moment only can go.
func (r *run) crowd(n int) ([]float64, error) {
	if err := r.sleep(time.Second); err != nil {
		return nil, err
	}
	empty, err := resident(r.broker.cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	for done := 0; done < n; done += 500 { // no more than a listener's queue holds
		if err := r.idle(r.broker.addr, done, min(500, n-done)); err != nil {
			return nil, fmt.Errorf("%d clients: %w", n, err)
		}
	}
	if err := r.sleep(time.Second); err != nil {
		return nil, err
	}
	full, err := resident(r.broker.cmd.Process.Pid)
	return []float64{milli(r.broker.ready), empty, (full - empty) * 1000 / float64(n)}, err
}

// retained publishes a retained message on each of many topics, then measures
// how they come to somebody new.
func (r *run) retained() ([]float64, error) {
	const topics = 50_000
	fleet := load.NewFleet(load.FleetConfig{
		Client: load.Client{Addrs: []string{r.broker.addr}}, Clients: 10, Topics: topics / 10, QoS: 1, Retain: true, Count: topics, Size: payload,
	}, r.ledger)
	if err := fleet.Run(r.ctx); err != nil {
		return nil, err
	}
	begin, err := r.read()
	if err != nil {
		return nil, err
	}
	if err := r.subscribe(r.broker.addr, 1, 0, nil); err != nil {
		return nil, err
	}
	if err := r.drained(60 * time.Second); err != nil {
		return nil, err
	}
	end, err := r.read()
	if err != nil {
		return nil, err
	}
	report := r.ledger.Report()
	end.at = begin.at.Add(report.Last - report.First) // not what SUBSCRIBE and the look at /proc took
	m, err := r.per(float64(report.Received), begin, end)
	return r.flat(m, report, err)
}

// growing measures the same traffic in front of ever more subscriptions, held
// by as many clients each time; messages in a row go to different ones.
func (r *run) growing() ([]float64, error) {
	const clients, wild = 100, 10
	exact, wildcard := r.ledger.Consumer(), r.ledger.Consumer()
	var subs []*load.Subscriber
	var values []float64
	var lost float64
	for _, n := range []int{100, 1000, 10_000, 100_000} {
		for i := range clients + wild {
			c := load.SubscriberConfig{
				Client:   load.Client{Addrs: []string{r.broker.addr}, ID: fmt.Sprintf("bench-sub-%d-%d", n, i)},
				Consumer: exact,
			}
			if i >= clients {
				c.Consumer = wildcard
			}
			for k := range n / clients {
				topic := fmt.Sprintf("bench/%d/%d/%d", n, i/10, i%10+10*k)
				if i >= clients {
					topic = fmt.Sprintf("bench/%d/+/%d", n, i-clients+wild*k)
				}
				c.Filters = append(c.Filters, load.Filter{Topic: topic})
			}
			sub := load.NewSubscriber(c)
			r.goes(sub.Run)
			subs = append(subs, sub)
		}
		if err := r.ready(subs); err != nil {
			return nil, err
		}
		r.subs = subs
		m, report, err := r.steady(load.FleetConfig{
			Client: load.Client{ID: fmt.Sprintf("bench-%d-", n)}, Clients: 10, Topics: n / 10, QoS: 1, Size: payload,
			Topic: func(publisher, topic int) string { return fmt.Sprintf("bench/%d/%d/%d", n, publisher, topic) },
		})
		if err != nil {
			return nil, err
		}
		values, lost = append(values, m.cpu), gone(report)
	}
	return append(values, lost), nil
}

// storm has subscriptions change all the time while messages flow.
func (r *run) storm() ([]float64, error) {
	if err := r.subscribe(r.broker.addr, 200, 0, nil); err != nil {
		return nil, err
	}
	const churning = 10
	var churns []*load.Churn
	for i := range churning {
		churn := &load.Churn{
			Client:  load.Client{Addrs: []string{r.broker.addr}, ID: fmt.Sprintf("bench-churn-%d", i)},
			Filters: []string{fmt.Sprintf("bench/%d", i), fmt.Sprintf("bench/%d/#", i+churning), fmt.Sprintf("bench/+/x%d", i), "other/+"},
		}
		r.goes(churn.Run)
		churns = append(churns, churn)
	}
	changes := func() (n int64) {
		for _, c := range churns {
			n += c.Changes()
		}
		return n
	}
	begin, at := changes(), time.Now()
	_, report, err := r.steady(load.FleetConfig{QoS: 1, Rate: 200, Size: payload})
	rate := float64(changes()-begin) / time.Since(at).Seconds()
	return []float64{micro(report.Latency.Quantile(0.5)), micro(report.Latency.Quantile(0.99)), micro(report.Latency.Max()), rate, gone(report)}, err
}
