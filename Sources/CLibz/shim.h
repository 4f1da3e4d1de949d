#include <zlib.h>
// A macro that Swift cannot import: autodetection of gzip and zlib is windowBits 47, raw deflate -15.
static inline int carrel_inflate_init(z_stream *stream, int window_bits) { return inflateInit2(stream, window_bits); }
