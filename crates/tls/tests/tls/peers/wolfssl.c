/* Says a line through wolfSSL and wants it back: PORT 12|13|any cert CA-FILE, or PORT 12|13|any psk HEX-KEY
   [SUITE]. */
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static unsigned char key[64];
static unsigned key_length;

static unsigned give(WOLFSSL *ssl, const char *hint, char *identity, unsigned identity_room, unsigned char *room,
                     unsigned key_room)
{
    (void)ssl, (void)hint;
    if (identity_room < 5 || key_room < key_length)
        return 0;
    strcpy(identity, "test");
    memcpy(room, key, key_length);
    return key_length;
}

#define MUST(what) do { if (!(what)) { fprintf(stderr, "%s\n", #what); return 1; } } while (0)

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    int file, count;
    WOLFSSL_CTX *context;
    WOLFSSL *ssl;
    char answer[16], text[80];

    if (argc < 5)
        return 2;
    wolfSSL_Init();
    context = wolfSSL_CTX_new(strcmp(argv[2], "any") == 0 ? wolfSSLv23_client_method()
                              : strcmp(argv[2], "13") == 0 ? wolfTLSv1_3_client_method() : wolfTLSv1_2_client_method());
    MUST(context != NULL);
    if (strcmp(argv[3], "psk") == 0) {
        for (; key_length < sizeof key && sscanf(argv[4] + 2 * key_length, "%2hhx", &key[key_length]) == 1; key_length++)
            ;
        wolfSSL_CTX_set_psk_client_callback(context, give);
        if (argc > 5)
            MUST(wolfSSL_CTX_set_cipher_list(context, argv[5]) == WOLFSSL_SUCCESS);
    } else {
        MUST(wolfSSL_CTX_load_verify_locations(context, argv[4], NULL) == WOLFSSL_SUCCESS);
    }
    ssl = wolfSSL_new(context);
    MUST(ssl != NULL);
    if (strcmp(argv[3], "cert") == 0)
        MUST(wolfSSL_check_domain_name(ssl, "localhost") == WOLFSSL_SUCCESS);
    file = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_port = htons((unsigned short)atoi(argv[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    MUST(connect(file, (struct sockaddr *)&address, sizeof address) == 0);
    MUST(wolfSSL_set_fd(ssl, file) == WOLFSSL_SUCCESS);
    if (wolfSSL_connect(ssl) != WOLFSSL_SUCCESS) {
        fprintf(stderr, "%s\n", wolfSSL_ERR_error_string((unsigned long)wolfSSL_get_error(ssl, 0), text));
        return 1;
    }
    MUST(wolfSSL_write(ssl, "hello\n", 6) == 6);
    do {
        count = wolfSSL_read(ssl, answer, sizeof answer);
        /* It returns after a session ticket too. */
    } while (count <= 0 && wolfSSL_get_error(ssl, count) == WOLFSSL_ERROR_WANT_READ);
    if (count != 6) {
        fprintf(stderr, "read: %d\n", wolfSSL_get_error(ssl, count));
        return 1;
    }
    return memcmp(answer, "hello\n", 6) != 0;
}
