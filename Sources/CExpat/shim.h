// Expat, for the XML that STS answers with.
#pragma once
#include <expat.h>
