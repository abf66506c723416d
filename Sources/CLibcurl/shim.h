// libcurl, with typed calls for its variadic options, which Swift does not import.
#pragma once
#include <curl/curl.h>

static inline CURLcode vta_easy_set_long(CURL *h, CURLoption o, long v) { return curl_easy_setopt(h, o, v); }
static inline CURLcode vta_easy_set_size(CURL *h, CURLoption o, curl_off_t v) { return curl_easy_setopt(h, o, v); }
static inline CURLcode vta_easy_set_string(CURL *h, CURLoption o, const char *v) { return curl_easy_setopt(h, o, v); }
static inline CURLcode vta_easy_set_pointer(CURL *h, CURLoption o, void *v) { return curl_easy_setopt(h, o, v); }
static inline CURLcode vta_easy_set_list(CURL *h, CURLoption o, struct curl_slist *v) { return curl_easy_setopt(h, o, v); }
static inline CURLcode vta_easy_set_write(CURL *h, CURLoption o, size_t (*v)(char *, size_t, size_t, void *)) { return curl_easy_setopt(h, o, v); }
static inline CURLcode vta_easy_get_long(CURL *h, CURLINFO i, long *v) { return curl_easy_getinfo(h, i, v); }
static inline CURLcode vta_easy_get_size(CURL *h, CURLINFO i, curl_off_t *v) { return curl_easy_getinfo(h, i, v); }
static inline CURLcode vta_easy_get_string(CURL *h, CURLINFO i, char **v) { return curl_easy_getinfo(h, i, v); }
static inline CURLcode vta_easy_get_pointer(CURL *h, CURLINFO i, void **v) { return curl_easy_getinfo(h, i, v); }
static inline CURLMcode vta_multi_set_socket(CURLM *m, int (*f)(CURL *, curl_socket_t, int, void *, void *), void *context) {
    CURLMcode c = curl_multi_setopt(m, CURLMOPT_SOCKETFUNCTION, f);
    return c != CURLM_OK ? c : curl_multi_setopt(m, CURLMOPT_SOCKETDATA, context);
}
static inline CURLMcode vta_multi_set_timer(CURLM *m, int (*f)(CURLM *, long, void *), void *context) {
    CURLMcode c = curl_multi_setopt(m, CURLMOPT_TIMERFUNCTION, f);
    return c != CURLM_OK ? c : curl_multi_setopt(m, CURLMOPT_TIMERDATA, context);
}
static inline CURLMcode vta_multi_set_long(CURLM *m, CURLMoption o, long v) { return curl_multi_setopt(m, o, v); }
