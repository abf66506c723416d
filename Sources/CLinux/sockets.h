// Socket calls that glibc's headers show only to programs that ask for GNU extensions.
#pragma once
#include <sys/socket.h>

int accept4(int socket, struct sockaddr *address, socklen_t *length, int flags);

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>

// A stream socket's address in the file system; 0, or -1 with ENAMETOOLONG for a path of more than 107 bytes.
static inline int vta_unix_address(struct sockaddr_un *address, const char *path) {
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    if (strlen(path) >= sizeof address->sun_path) { errno = ENAMETOOLONG; return -1; }
    memcpy(address->sun_path, path, strlen(path));
    return 0;
}

static inline int vta_unix_bind(int socket, const char *path) {
    struct sockaddr_un address;
    if (vta_unix_address(&address, path) != 0) return -1;
    return bind(socket, (const struct sockaddr *)&address, sizeof address);
}

static inline int vta_unix_connect(int socket, const char *path) {
    struct sockaddr_un address;
    if (vta_unix_address(&address, path) != 0) return -1;
    return connect(socket, (const struct sockaddr *)&address, sizeof address);
}

// Who was at the other end when the connection was made: struct ucred, which is for _GNU_SOURCE only.
struct vta_peer { pid_t process; uid_t user; gid_t group; };

static inline int vta_peer_of(int socket, struct vta_peer *peer) {
    socklen_t length = sizeof *peer;
    return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, peer, &length);
}

// The peer's supplementary groups; their number, or -1: with ERANGE where there are more than `capacity`.
static inline int vta_peer_groups(int socket, gid_t *groups, int capacity) {
    socklen_t length = (socklen_t)capacity * sizeof *groups;
    if (getsockopt(socket, SOL_SOCKET, 59 /* SO_PEERGROUPS, Linux 4.13 */, groups, &length) != 0) return -1;
    return (int)(length / sizeof *groups);
}

#include <stdint.h>
#include <sys/ioctl.h>

// Bytes that a TCP connection has received since it was made; -1 for what is not TCP, and before Linux 4.1.
static inline int64_t vta_bytes_received(int socket) {
    // struct tcp_info of linux/tcp.h, which cannot stand beside netinet/tcp.h: tcpi_bytes_received is its bytes 128 to 135.
    unsigned char info[136];
    socklen_t length = sizeof info;
    if (getsockopt(socket, 6 /* IPPROTO_TCP */, 11 /* TCP_INFO */, info, &length) != 0 || length < sizeof info) return -1;
    int64_t count;
    memcpy(&count, info + 128, sizeof count);
    return count;
}

// Bytes that wait to be read; -1 with errno.
static inline int vta_bytes_waiting(int socket) {
    int count = 0;
    return ioctl(socket, FIONREAD, &count) == 0 ? count : -1;
}

// Sends a datagram to a unix socket by its path, or its abstract name after '@', and never waits: -1 with EAGAIN where the
// other side takes no more.
static inline ssize_t vta_send_datagram(int socket, const char *name, const void *bytes, size_t count) {
    struct sockaddr_un address;
    if (vta_unix_address(&address, name) != 0) return -1;
    socklen_t length = sizeof address;
    if (*name == '@') {
        address.sun_path[0] = 0;
        length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
    }
    return sendto(socket, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)&address, length);
}
