// Which libcurl is inside. Compiled once more, and what has it inside linked once more, whenever tools/prepare-libraries.sh has
// made .libraries anew: the build knows the age of headers, not that of libraries.
#include "shim.h"

const char *vta_libcurl_source(void) { return LIBCURL_SOURCE; }
const char *vta_libcurl_patches(void) { return LIBCURL_PATCHES; }
