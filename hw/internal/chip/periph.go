package chip

// periphKinds are the kinds whose drivers are periph's.
func periphKinds() []Kind { return nil }
