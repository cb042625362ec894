package image

// stages are the files of the Pi's own firmware: the Pi 3's and Zero 2 W's
// second stage (a Pi 4 has it in an EEPROM), and the third with its fix-ups.
var stages = []string{"bootcode.bin", "start.elf", "fixup.dat", "start4.elf", "fixup4.dat"}
