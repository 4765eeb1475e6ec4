package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
)

// disk keeps records in a file: a header that says what they were made with, and
// behind it one record after the other, each with a checksum and the key of its
// picture. An interrupted run leaves no record that could be taken for another:
// all are checked before they are used again, and again when they are read.
type disk struct {
	f    *os.File
	size int // of a record without what is added to it
	keys []uint64
	buf  []byte
}

const (
	diskHeader  = 4096
	diskTrailer = 16 // key, checksum, nothing
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// diskBytes is what the file takes when it is full.
func diskBytes(records, size int) int64 {
	return diskHeader + int64(records)*int64(size+diskTrailer)
}

// openDisk opens or makes the file for records with these keys. have tells which
// are in it.
func openDisk(path string, header []byte, size int, keys []uint64) (d *disk, have []bool, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, nil, err
	}
	d = &disk{f: f, size: size, keys: keys, buf: make([]byte, size+diskTrailer)}
	have = make([]bool, len(keys))
	if sameHeader(f, header) {
		for i := range keys {
			have[i] = d.read(i) == nil
		}
		return d, have, nil
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt(header, 0)
	}
	if err != nil {
		d.close(true)
		return nil, nil, err
	}
	return d, have, nil
}

func (d *disk) at(i int) int64 { return diskHeader + int64(i)*int64(len(d.buf)) }

// read reads a record into buf.
func (d *disk) read(i int) error {
	if _, err := d.f.ReadAt(d.buf, d.at(i)); errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: record %d is cut off", d.f.Name(), i)
	} else if err != nil {
		return err
	}
	data, tail := d.buf[:d.size], d.buf[d.size:]
	if binary.LittleEndian.Uint64(tail) != d.keys[i] || binary.LittleEndian.Uint32(tail[8:]) != crc32.Checksum(data, castagnoli) {
		return fmt.Errorf("%s: record %d is damaged", d.f.Name(), i)
	}
	return nil
}

func (d *disk) get(i int, parts [][]byte) error {
	if err := d.read(i); err != nil {
		return err
	}
	scatter(parts, d.buf)
	return nil
}

func (d *disk) put(i int, parts [][]byte) error {
	gather(d.buf[:d.size], parts)
	tail := d.buf[d.size:]
	binary.LittleEndian.PutUint64(tail, d.keys[i])
	binary.LittleEndian.PutUint32(tail[8:], crc32.Checksum(d.buf[:d.size], castagnoli))
	_, err := d.f.WriteAt(d.buf, d.at(i))
	return err
}

func (d *disk) close(remove bool) error {
	err := d.f.Close()
	if remove {
		err = os.Remove(d.f.Name())
		_ = os.Remove(filepath.Dir(d.f.Name())) // where nothing else is in it
	}
	return err
}
