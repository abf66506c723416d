// libcurl, with typed calls for its variadic functions, which Swift does not import.
#pragma once
// By its place, not on a search path: every target that comes by this module finds the same one.
#include "../../../.libraries/include/libcurl.h"
#include <malloc.h>
#include <string.h>
#include <sys/socket.h>

// The source that libcurl was built from, and the patches on it, with a blank between any two.
const char *vta_libcurl_source(void);
const char *vta_libcurl_patches(void);

// Memory that libcurl frees is wiped first: its copies of headers, requests and replies hold tokens.
static inline void vta_wiping_free(void *p) {
    if (p) {
        explicit_bzero(p, malloc_usable_size(p));
        free(p);
    }
}
static inline void *vta_wiping_realloc(void *p, size_t size) {
    if (!p) return malloc(size);
    size_t old = malloc_usable_size(p);
    void *moved = malloc(size);
    if (!moved) return NULL;
    memcpy(moved, p, old < size ? old : size);
    vta_wiping_free(p);
    return moved;
}
// To be called before any other of libcurl's functions, once.
static inline CURLcode vta_global_init(void) {
    return curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, vta_wiping_free, vta_wiping_realloc, strdup, calloc);
}

// Sockets that children of this process do not inherit.
static inline curl_socket_t vta_open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *a) {
    (void)context;
    (void)purpose;
    return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}
static inline CURLcode vta_easy_close_on_exec(CURL *h) { return curl_easy_setopt(h, CURLOPT_OPENSOCKETFUNCTION, vta_open_socket); }

static inline CURLcode vta_easy_set_long(CURL *h, CURLoption o, long v) { return curl_easy_setopt(h, o, v); }
static inline CURLcode vta_easy_set_size(CURL *h, CURLoption o, curl_off_t v) { return curl_easy_setopt(h, o, v); }
static inline CURLcode vta_easy_set_string(CURL *h, CURLoption o, const char *v) { return curl_easy_setopt(h, o, v); }
static inline CURLcode vta_easy_set_pointer(CURL *h, CURLoption o, const void *v) { return curl_easy_setopt(h, o, v); }
static inline CURLcode vta_easy_set_list(CURL *h, CURLoption o, struct curl_slist *v) { return curl_easy_setopt(h, o, v); }
// Lends `length` bytes at `bytes` for as long as the handle has them.
static inline CURLcode vta_easy_lend_blob(CURL *h, CURLoption o, const void *bytes, size_t length) {
    struct curl_blob blob = { (void *)bytes, length, CURL_BLOB_NOCOPY };
    return curl_easy_setopt(h, o, &blob);
}
static inline CURLcode vta_easy_set_receiver(CURL *h, CURLoption o, size_t (*f)(char *, size_t, size_t, void *)) { return curl_easy_setopt(h, o, f); }
static inline CURLcode vta_easy_set_tls_hook(CURL *h, CURLcode (*f)(CURL *, void *, void *), void *context) {
    CURLcode c = curl_easy_setopt(h, CURLOPT_SSL_CTX_FUNCTION, f);
    return c != CURLE_OK ? c : curl_easy_setopt(h, CURLOPT_SSL_CTX_DATA, context);
}
static inline CURLcode vta_easy_set_progress(CURL *h, int (*f)(void *, curl_off_t, curl_off_t, curl_off_t, curl_off_t), void *context) {
    CURLcode c = curl_easy_setopt(h, CURLOPT_XFERINFOFUNCTION, f);
    if (c == CURLE_OK) c = curl_easy_setopt(h, CURLOPT_XFERINFODATA, context);
    return c != CURLE_OK ? c : curl_easy_setopt(h, CURLOPT_NOPROGRESS, 0L);
}
static inline CURLcode vta_easy_get_long(CURL *h, CURLINFO i, long *v) { return curl_easy_getinfo(h, i, v); }
static inline CURLcode vta_easy_get_size(CURL *h, CURLINFO i, curl_off_t *v) { return curl_easy_getinfo(h, i, v); }
static inline CURLMcode vta_multi_set_socket(CURLM *m, int (*f)(CURL *, curl_socket_t, int, void *, void *), void *context) {
    CURLMcode c = curl_multi_setopt(m, CURLMOPT_SOCKETFUNCTION, f);
    return c != CURLM_OK ? c : curl_multi_setopt(m, CURLMOPT_SOCKETDATA, context);
}
static inline CURLMcode vta_multi_set_timer(CURLM *m, int (*f)(CURLM *, long, void *), void *context) {
    CURLMcode c = curl_multi_setopt(m, CURLMOPT_TIMERFUNCTION, f);
    return c != CURLM_OK ? c : curl_multi_setopt(m, CURLMOPT_TIMERDATA, context);
}
static inline CURLMcode vta_multi_set_long(CURLM *m, CURLMoption o, long v) { return curl_multi_setopt(m, o, v); }
// The union of a finished transfer's message, taken apart.
static inline CURLcode vta_message_result(const CURLMsg *m) { return m->data.result; }
