package spool

// ring is a FIFO of entries that grows by doubling and allocates nothing while
// it has room.
type ring struct {
	buf  []*Entry // length a power of two, or 0
	head int
	n    int
}

func (r *ring) at(i int) *Entry { return r.buf[(r.head+i)&(len(r.buf)-1)] }

// front returns the oldest entry, nil if there is none.
func (r *ring) front() *Entry {
	if r.n == 0 {
		return nil
	}
	return r.buf[r.head]
}

func (r *ring) push(e *Entry) {
	if r.n == len(r.buf) {
		r.grow()
	}
	r.buf[(r.head+r.n)&(len(r.buf)-1)] = e
	r.n++
}

func (r *ring) grow() {
	buf := make([]*Entry, max(16, 2*len(r.buf)))
	for i := range r.n {
		buf[i] = r.at(i)
	}
	r.buf, r.head = buf, 0
}

func (r *ring) pop() *Entry {
	e := r.buf[r.head]
	r.buf[r.head] = nil
	r.head = (r.head + 1) & (len(r.buf) - 1)
	r.n--
	return e
}

// remove takes out the i-th entry by moving those before it.
func (r *ring) remove(i int) *Entry {
	e, mask := r.at(i), len(r.buf)-1
	for ; i > 0; i-- {
		r.buf[(r.head+i)&mask] = r.buf[(r.head+i-1)&mask]
	}
	r.pop()
	return e
}

// insert puts e before the entries of higher sequence at the end.
func (r *ring) insert(e *Entry) {
	r.push(e)
	for i := r.n - 1; i > 0 && r.at(i-1).seq > e.seq; i-- {
		mask := len(r.buf) - 1
		r.buf[(r.head+i)&mask], r.buf[(r.head+i-1)&mask] = r.buf[(r.head+i-1)&mask], r.buf[(r.head+i)&mask]
	}
}

// list is a doubly linked list of entries in flight; an entry is in one list
// at most.
type list struct {
	first, last *Entry
	n           int
}

func (l *list) add(e *Entry) {
	e.prev, e.next = l.last, nil
	if l.last == nil {
		l.first = e
	} else {
		l.last.next = e
	}
	l.last = e
	l.n++
}

func (l *list) remove(e *Entry) {
	if e.prev == nil {
		l.first = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		l.last = e.prev
	} else {
		e.next.prev = e.prev
	}
	e.prev, e.next = nil, nil
	l.n--
}
