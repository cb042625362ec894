package chip

// ownKinds are the kinds whose drivers are ours, because periph has none.
func ownKinds() []Kind {
	return []Kind{
		sht3x(),
		sht4x(),
		htu21(),
		si7021(),
		mcp3008Input(),
		max31855Kind(),
		bme680Kind(),
		ina226Kind(),
		ds18b20Kind(),
	}
}
