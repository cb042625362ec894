package power

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// Server serves a Disk as a network block device, NBD, to one client after the
// other. It speaks the fixed newstyle negotiation with simple replies
// (https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md).
type Server struct {
	disk *Disk
	l    net.Listener
}

// Listen binds a socket of the local machine at a path. Nothing is served until
// Run.
func Listen(path string, d *Disk) (*Server, error) {
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("serve a disk: %w", err)
	}
	return &Server{disk: d, l: l}, nil
}

// Run serves until ctx ends and returns when all connections are closed. A
// client that goes away is no error; one that breaks the protocol is.
func (s *Server) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer context.AfterFunc(ctx, func() { s.l.Close() })()
	errs := make(chan error, 1)
	for {
		c, err := s.l.Accept()
		if err != nil {
			s.l.Close()
			if ctx.Err() == nil {
				return err
			}
			select {
			case err := <-errs:
				return err
			default:
				return nil
			}
		}
		wg.Go(func() {
			defer c.Close()
			defer context.AfterFunc(ctx, func() { c.Close() })()
			var wrong protocolError
			if err := s.serve(c); errors.As(err, &wrong) {
				select {
				case errs <- err:
				default:
				}
			}
		})
	}
}

// protocolError is what a client did that NBD does not have.
type protocolError string

func (e protocolError) Error() string { return "nbd: " + string(e) }

// Numbers of the protocol that are used here.
const (
	magicServer, magicOption, magicOptionReply = 0x4e42444d41474943, 0x49484156454f5054, 0x0003e889045565a9
	magicRequest, magicReply                   = 0x25609513, 0x67446698

	flagFixedNewstyle, flagNoZeroes = 1, 2

	optExportName, optAbort, optInfo, optGo = 1, 2, 6, 7
	repAck, repInfo, repUnsupported         = 1, 3, 1<<31 + 1
	infoExport, infoBlockSize               = 0, 3

	hasFlags, sendFlush, sendFUA, sendTrim, sendZeroes = 1, 4, 8, 32, 64

	cmdRead, cmdWrite, cmdDisconnect, cmdFlush, cmdTrim, cmdZeroes = 0, 1, 2, 3, 4, 6
	forceUnitAccess                                                = 1 // flag of a request

	eio, einval = 5, 22
)

// mostBytes bounds one request; QEMU sends 32 MiB at most.
const mostBytes = 64 << 20

const transmission = hasFlags | sendFlush | sendFUA | sendTrim | sendZeroes

// session is one connection.
type session struct {
	*Server
	r *bufio.Reader
	w *bufio.Writer
}

func (s *Server) serve(c net.Conn) error {
	x := &session{s, bufio.NewReaderSize(c, 256<<10), bufio.NewWriterSize(c, 256<<10)}
	if err := x.negotiate(); err != nil {
		return err
	}
	for {
		if err := x.request(); err != nil {
			return err
		}
		if x.r.Buffered() == 0 {
			if err := x.w.Flush(); err != nil {
				return err
			}
		}
	}
}

// send writes numbers, in the order of the network.
func (x *session) send(fields ...any) {
	for _, f := range fields {
		binary.Write(x.w, binary.BigEndian, f) // the writer keeps its error for Flush
	}
}

// negotiate returns when the client may send requests.
func (x *session) negotiate() error {
	x.send(uint64(magicServer), uint64(magicOption), uint16(flagFixedNewstyle|flagNoZeroes))
	if err := x.w.Flush(); err != nil {
		return err
	}
	var flags uint32
	if err := binary.Read(x.r, binary.BigEndian, &flags); err != nil {
		return err
	}
	for {
		var o struct {
			Magic        uint64
			Option, Size uint32
		}
		if err := binary.Read(x.r, binary.BigEndian, &o); err != nil {
			return err
		}
		if o.Magic != magicOption || o.Size > 1<<16 {
			return protocolError("this is no option")
		}
		if _, err := x.r.Discard(int(o.Size)); err != nil { // there is one export, whatever its name
			return err
		}
		done := x.answer(o.Option)
		if o.Option == optExportName && flags&flagNoZeroes == 0 {
			x.w.Write(make([]byte, 124))
		}
		if err := x.w.Flush(); err != nil {
			return err
		}
		if o.Option == optAbort {
			return io.EOF
		}
		if done {
			return nil
		}
	}
}

// answer answers one option; true when it is the last.
func (x *session) answer(option uint32) (done bool) {
	reply := func(kind, size uint32) {
		x.send(uint64(magicOptionReply), option, kind, size)
	}
	switch option {
	case optExportName:
		x.send(uint64(x.disk.size), uint16(transmission))
		return true
	case optInfo, optGo:
		reply(repInfo, 12)
		x.send(uint16(infoExport), uint64(x.disk.size), uint16(transmission))
		reply(repInfo, 14)
		x.send(uint16(infoBlockSize), uint32(sector), uint32(blockSize), uint32(mostBytes))
		reply(repAck, 0)
		return option == optGo
	case optAbort:
		reply(repAck, 0)
	default:
		reply(repUnsupported, 0)
	}
	return false
}

// request carries out one request and answers it.
func (x *session) request() error {
	var q struct {
		Magic       uint32
		Flags, Kind uint16
		Handle, At  uint64
		Size        uint32
	}
	if err := binary.Read(x.r, binary.BigEndian, &q); err != nil {
		return err
	}
	if q.Magic != magicRequest || q.Size > mostBytes {
		return protocolError("this is no request")
	}
	if q.Kind == cmdDisconnect {
		return io.EOF
	}
	var data []byte
	if q.Kind == cmdWrite {
		data = make([]byte, q.Size)
		if _, err := io.ReadFull(x.r, data); err != nil {
			return err
		}
	}
	code := uint32(einval)
	if end := q.At + uint64(q.Size); end >= q.At && end <= uint64(x.disk.size) {
		data, code = x.carryOut(q.Kind, q.Flags, int64(q.At), int64(q.Size), data)
	}
	x.send(uint32(magicReply), code, q.Handle)
	if q.Kind == cmdRead && code == 0 {
		x.w.Write(data)
	}
	return nil
}

func (x *session) carryOut(kind, flags uint16, at, size int64, data []byte) (answer []byte, code uint32) {
	force := flags&forceUnitAccess != 0
	var err error
	switch kind {
	case cmdRead:
		answer = make([]byte, size)
		err = x.disk.read(at, answer)
	case cmdWrite:
		err = x.disk.write(at, data, force)
	case cmdZeroes:
		err = x.disk.write(at, make([]byte, size), force)
	case cmdTrim:
		err = x.disk.trim(at, size)
	case cmdFlush:
		x.w.Flush() // what was answered before is not held up by it
		err = x.disk.flush()
	default:
		return nil, einval
	}
	if err != nil {
		return nil, eio
	}
	return answer, 0
}
