// OpenSSL 3's libcrypto and libssl, with functions for what they offer as macros.
#pragma once
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <openssl/ssl.h>

// A place for data of our own in each SSL_CTX, freed with it.
static inline int vta_ssl_ctx_index(CRYPTO_EX_free *end) { return SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, end); }
// Has decrypted records wiped once they are read.
static inline void vta_ssl_ctx_wipe_plaintext(SSL_CTX *c) { SSL_CTX_set_options(c, SSL_OP_CLEANSE_PLAINTEXT); }
// What OpenSSL offers as macros for filters between TLS and a socket.
static const int vta_bio_type_filter = BIO_TYPE_FILTER;
static inline void vta_bio_retry_read(BIO *b) { BIO_set_retry_read(b); }
static inline void vta_bio_forget_retry(BIO *b) { BIO_clear_retry_flags(b); }
// A distinguished name as RFC 2253 writes it.
static inline int vta_x509_name_print(BIO *b, const X509_NAME *n) { return X509_NAME_print_ex(b, n, 0, XN_FLAG_RFC2253); }
