// Socket calls that glibc's headers show only to programs that ask for GNU extensions.
#pragma once
#include <sys/socket.h>

int accept4(int socket, struct sockaddr *address, socklen_t *length, int flags);
