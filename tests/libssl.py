"""OpenSSL's library through ctypes, for what Python's ssl does not have: pre-shared keys and messages out of turn."""

import ctypes
import select
import socket

from secure import KEY

V1_2, V1_3 = 0x0303, 0x0304
# Numbers of openssl/ssl.h.
SET_MIN, SET_MAX, CLEAR_MODE, AUTO_RETRY, UPDATE_REQUESTED = 123, 124, 78, 4, 1

library, cryptography = ctypes.CDLL("libssl.so.3"), ctypes.CDLL("libcrypto.so.3")
library.SSL_ctrl.restype = ctypes.c_long
for function in ("TLS_client_method", "SSL_CTX_new", "SSL_new"):
    getattr(library, function).restype = ctypes.c_void_p
PSK_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_uint,
                                ctypes.c_void_p, ctypes.c_uint)


@PSK_CALLBACK
def give_key(_ssl, _hint, identity, _room, key, _key_room):
    ctypes.memmove(identity, b"test\0", 5)
    ctypes.memmove(key, bytes.fromhex(KEY), 32)
    return 32


class Offer:
    """What a client offers: one version of TLS, a key or none, and cipher suites of TLS 1.2."""

    def __init__(self, version, psk=False, ciphers=None):
        self.context = ctypes.c_void_p(library.SSL_CTX_new(ctypes.c_void_p(library.TLS_client_method())))
        for what in (SET_MIN, SET_MAX):
            library.SSL_CTX_ctrl(self.context, what, ctypes.c_long(version), None)
        if ciphers:
            assert library.SSL_CTX_set_cipher_list(self.context, ciphers.encode()) == 1
        if psk:
            library.SSL_CTX_set_psk_client_callback(self.context, give_key)


class Link:
    """A client's connection; without an offer it is plain."""

    def __init__(self, port, offer=None):
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(None)
        self.ssl = None
        if offer:
            self.ssl = ctypes.c_void_p(library.SSL_new(offer.context))
            library.SSL_set_fd(self.ssl, self.socket.fileno())
            assert library.SSL_connect(self.ssl) == 1, "no handshake"

    def update_key(self):
        """Says that it has a new key, and wants one of the broker's too. False once the broker has gone."""
        assert library.SSL_key_update(self.ssl, UPDATE_REQUESTED) == 1
        return library.SSL_do_handshake(self.ssl) == 1

    def take_in(self):
        """Takes note of a message that has come, if one has, and is no data."""
        if select.select([self.socket], [], [], 0)[0]:
            library.SSL_ctrl(self.ssl, CLEAR_MODE, ctypes.c_long(AUTO_RETRY), None)
            library.SSL_read(self.ssl, ctypes.create_string_buffer(1), 1)

    def renegotiate(self):
        """Wants another handshake. False if it gets none."""
        assert library.SSL_renegotiate(self.ssl) == 1
        return library.SSL_do_handshake(self.ssl) == 1

    def send(self, data):
        if self.ssl:
            assert library.SSL_write(self.ssl, data, len(data)) == len(data)
        else:
            self.socket.sendall(data)

    def receive(self, count):
        data = b""
        while len(data) < count:
            if self.ssl:
                buffer = ctypes.create_string_buffer(count - len(data))
                size = library.SSL_read(self.ssl, buffer, len(buffer))
                assert size > 0, "the broker has gone"
                data += buffer.raw[:size]
            else:
                part = self.socket.recv(count - len(data))
                assert part, "the broker has gone"
                data += part
        return data

    def close(self):
        if self.ssl:
            library.SSL_shutdown(self.ssl)
            library.SSL_free(self.ssl)
            # What failed here is not to be taken for a failure of Python's own connections.
            cryptography.ERR_clear_error()
        self.socket.close()
