package metrics

import "tidegate/cmd/tidegate/internal/card"

func (w *writer) gateway(n Now) {
	info(w, "info", "The gateway: its version, and its id in the cloud.", "version", n.Version, "gateway", n.Gateway)
	gauge(w, "uptime_seconds", "Time since the gateway started. It does not jump when the clock is set.", n.Uptime.Seconds())
	gauge(w, "boot_epoch", "How many times the gateway has started with this data directory.", n.Epoch)
	gauge(w, "listeners", "Addresses on which devices can connect.", n.Listeners)

	counter(w, "wear_written_bytes_total", "Bytes that the gateway gave to the card since its start.", n.Wear.Written)
	counter(w, "wear_commits_total", "Commits with which it did so.", n.Wear.Commits)
	gauge(w, "wear_budget_left_ratio", "What is left of the bytes that may go to the card in haste, 0 to 1. At 0 devices wait seconds for acknowledgements while the cloud is away.", n.Wear.Left)
}

// card tells the account of the card, which outlives the process.
func (w *writer) card(s card.Stats) {
	info(w, "card_info", "The disk that the account of the card is about; empty when it is not known.", "disk", s.Disk)
	flag(w, "card_account_trouble", "1 while the account of the card cannot be stored.", s.Err != "")
	gauge(w, "card_last_day_number", "How many whole days of 24 hours of operation the account has.", s.Days)
	for _, span := range []struct {
		name string
		card.Span
	}{{"today", s.Today}, {"last_day", s.LastDay}, {"total", s.Total}} {
		gauge(w, "card_observed_seconds", "Time of operation in a span of the account: today, the last whole day of 24 hours, or all of it.", span.Seconds, "span", span.name)
		gauge(w, "card_written_bytes", "Bytes that everything on the machine wrote to the disk in a span of the account.", span.Written, "span", span.name)
		gauge(w, "card_own_written_bytes", "Bytes of these that the gateway wrote.", span.Ours, "span", span.name)
	}
	if s.LifeUsed != nil {
		gauge(w, "card_life_used_ratio", "How much of its life an eMMC says it has used, in steps of a tenth. Absent for what does not say.", float64(*s.LifeUsed)/100)
	}
	flag(w, "card_spares_low", "1 when the card says that it is near its end.", s.SparesLow)
}
