package chip

// periphKinds are the kinds that periph has drivers for. Where one of those
// cannot be made right from outside, the driver is ours, and its file says
// why.
func periphKinds() []Kind {
	return []Kind{
		bme280Kind(),
		bmp280Kind(),
		bmp180Kind(),
		aht20Kind(),
		mcp9808Kind(),
		tmp102Kind(),
		hdc302xKind(),
		scd4xKind(),
		sgp30Kind(),
		ccs811Kind(),
		bh1750Kind(),
		ina219Kind(),
		ads1015Kind(),
		ads1115Kind(),
		ds2482Kind(),
		hx711Kind(),
	}
}
