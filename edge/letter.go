package edge

import "bytes"

// letter returns a Message, still empty, and a copy of body for it to point into.
// One allocation holds both unless body is long: they live equally long. The sizes
// make up, with the Message, sizes that Go's allocator has (144 to 1152 bytes).
func letter(body []byte) (*Message, []byte) {
	var m *Message
	var room []byte
	switch n := len(body); {
	case n <= 32:
		l := new(struct {
			Message
			body [32]byte
		})
		m, room = &l.Message, l.body[:]
	case n <= 64:
		l := new(struct {
			Message
			body [64]byte
		})
		m, room = &l.Message, l.body[:]
	case n <= 96:
		l := new(struct {
			Message
			body [96]byte
		})
		m, room = &l.Message, l.body[:]
	case n <= 144:
		l := new(struct {
			Message
			body [144]byte
		})
		m, room = &l.Message, l.body[:]
	case n <= 208:
		l := new(struct {
			Message
			body [208]byte
		})
		m, room = &l.Message, l.body[:]
	case n <= 304:
		l := new(struct {
			Message
			body [304]byte
		})
		m, room = &l.Message, l.body[:]
	case n <= 400:
		l := new(struct {
			Message
			body [400]byte
		})
		m, room = &l.Message, l.body[:]
	case n <= 520:
		l := new(struct {
			Message
			body [520]byte
		})
		m, room = &l.Message, l.body[:]
	case n <= 776:
		l := new(struct {
			Message
			body [776]byte
		})
		m, room = &l.Message, l.body[:]
	case n <= 1032:
		l := new(struct {
			Message
			body [1032]byte
		})
		m, room = &l.Message, l.body[:]
	default:
		return new(Message), bytes.Clone(body)
	}
	n := copy(room, body)
	return m, room[:n:n]
}
