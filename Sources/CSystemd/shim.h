// libsystemd: service notifications and the journal.
#pragma once
// Without this, sd_journal_sendv is a macro that adds the place in a C file that called it.
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <sys/uio.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-journal.h>
