/* Says a line through mbedTLS and wants it back: PORT cert CA-FILE [SUITE] or PORT psk HEX-KEY [SUITE]. */
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>
#include <mbedtls/version.h>
#if MBEDTLS_VERSION_MAJOR >= 3
#include <psa/crypto.h>
#endif
#include <stdio.h>
#include <string.h>

#define MUST(call) do { int result = (call); if (result < 0) { \
    fprintf(stderr, "%s: -0x%04x\n", #call, -result); return 1; } } while (0)

int main(int argc, char **argv)
{
    static mbedtls_net_context net;
    static mbedtls_ssl_context ssl;
    static mbedtls_ssl_config config;
    static mbedtls_ctr_drbg_context random;
    static mbedtls_entropy_context entropy;
    static mbedtls_x509_crt ca;
    static unsigned char key[64];
    static int suites[2];
    char answer[16];
    size_t length = 0;

    if (argc < 4)
        return 2;
    mbedtls_net_init(&net);
    mbedtls_ssl_init(&ssl);
    mbedtls_ssl_config_init(&config);
    mbedtls_ctr_drbg_init(&random);
    mbedtls_entropy_init(&entropy);
    mbedtls_x509_crt_init(&ca);
#if MBEDTLS_VERSION_MAJOR >= 3
    MUST(psa_crypto_init());
#endif
    MUST(mbedtls_ctr_drbg_seed(&random, mbedtls_entropy_func, &entropy, NULL, 0));
    MUST(mbedtls_ssl_config_defaults(&config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                     MBEDTLS_SSL_PRESET_DEFAULT));
    mbedtls_ssl_conf_rng(&config, mbedtls_ctr_drbg_random, &random);
    if (strcmp(argv[2], "psk") == 0) {
        for (; length < sizeof key && sscanf(argv[3] + 2 * length, "%2hhx", &key[length]) == 1; length++)
            ;
        MUST(mbedtls_ssl_conf_psk(&config, key, length, (const unsigned char *)"test", 4));
    } else {
        MUST(mbedtls_x509_crt_parse_file(&ca, argv[3]));
        mbedtls_ssl_conf_ca_chain(&config, &ca, NULL);
    }
    if (argc > 4) {
        suites[0] = mbedtls_ssl_get_ciphersuite_id(argv[4]);
        if (suites[0] == 0)
            return 2;
        mbedtls_ssl_conf_ciphersuites(&config, suites);
    }
    MUST(mbedtls_ssl_setup(&ssl, &config));
    MUST(mbedtls_ssl_set_hostname(&ssl, "localhost"));
    MUST(mbedtls_net_connect(&net, "127.0.0.1", argv[1], MBEDTLS_NET_PROTO_TCP));
    mbedtls_ssl_set_bio(&ssl, &net, mbedtls_net_send, mbedtls_net_recv, NULL);
    MUST(mbedtls_ssl_handshake(&ssl));
    MUST(mbedtls_ssl_write(&ssl, (const unsigned char *)"hello\n", 6));
    MUST(mbedtls_ssl_read(&ssl, (unsigned char *)answer, sizeof answer));
    return memcmp(answer, "hello\n", 6) != 0;
}
