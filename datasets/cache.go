package datasets

import (
	"sync"

	"github.com/vislora/vislora/vision"
)

// Cache keeps decoded images and their masks in memory, up to a number of
// bytes. What is in stays in: an epoch reads every image once, so that to throw
// one out for the next would help neither. Several loaders may share a Cache.
type Cache struct {
	mu     sync.RWMutex
	limit  int64
	used   int64
	images map[string]*vision.Image
	masks  map[maskKey][]uint8
}

// maskKey tells masks apart: those in files, and those that are made from what
// is known about an image.
type maskKey struct{ image, mask string }

// NewCache makes a Cache for so many bytes of pixels.
func NewCache(limit int64) *Cache {
	return &Cache{limit: limit, images: map[string]*vision.Image{}, masks: map[maskKey][]uint8{}}
}

// Limit changes how many bytes there is room for. What is kept stays.
func (c *Cache) Limit(bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit = bytes
}

// get is the image of a file, nil when it is not kept. Nobody writes to it.
func (c *Cache) get(path string) *vision.Image {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.images[path]
}

// put keeps a copy of im where there is room.
func (c *Cache) put(path string, im *vision.Image) {
	n := int64(len(im.Pix))
	c.mu.Lock()
	if c.images[path] != nil || c.used+n > c.limit {
		c.mu.Unlock()
		return
	}
	c.used += n
	c.mu.Unlock()
	own := im.Clone()
	c.mu.Lock()
	if c.images[path] == nil {
		c.images[path] = own
	} else {
		c.used -= n
	}
	c.mu.Unlock()
}

// mask is the mask of a sample, nil when it is not kept. Nobody writes to it.
func (c *Cache) mask(s *Sample) []uint8 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.masks[maskKey{s.Path, s.Mask}]
}

// putMask keeps a mask, which is not copied, where there is room.
func (c *Cache) putMask(s *Sample, pix []uint8) {
	key := maskKey{s.Path, s.Mask}
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := int64(len(pix)); c.masks[key] == nil && c.used+n <= c.limit {
		c.used += n
		c.masks[key] = pix
	}
}

// Len is the number of images and, with their masks, of bytes that are kept.
func (c *Cache) Len() (images int, bytes int64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.images), c.used
}
