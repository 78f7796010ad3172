"""Objects encrypted before they leave this process, in JuiceFS's envelope.

offset  bytes       field
0       2           length n of the wrapped key, big-endian
2       1           length m of the nonce (12)
3       n           a fresh random key of 32 bytes, by RSA-OAEP (SHA-256, label "keys")
3+n     m           nonce
3+n+m   the rest    ciphertext and its tag of 16 bytes; AES-256-GCM or ChaCha20-Poly1305

Nobody can tell from the outside whether an object was exchanged for another of the same volume:
names are not part of what is authenticated.  That is the format's.
Source: the volume format reference, section 5.6; JuiceFS pkg/object/encrypt.go.
"""

import os
import struct
from collections.abc import Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from typing_extensions import Buffer

from roost.blob.store import BlobInfo, BlobStore
from roost.errors import CorruptRecord, InvalidArgument, Unsupported

_HEAD = struct.Struct(">HB")
_KEY_BYTES = 32
_NONCE_BYTES = 12
_TAG_BYTES = 16
_PADDING = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), b"keys")


def open_key(pem: str, passphrase: str) -> RSAPrivateKey:
    """Return the RSA private key of a PEM text; the passphrase is looked at if it is locked.

    Raises InvalidArgument: no such key, or the passphrase is missing or wrong; Unsupported for
    another kind of key.
    """
    try:
        key = load_pem_private_key(pem.encode(), passphrase.encode() or None)
    except TypeError as error:
        if not passphrase:
            raise InvalidArgument(
                "the volume's encryption key is locked by a passphrase",
                hint="Set it in the environment as JFS_RSA_PASSPHRASE.",
            ) from error
        return open_key(pem, "")  # a passphrase that nothing asks for
    except ValueError as error:
        raise InvalidArgument(
            "the volume's encryption key cannot be read",
            hint="It must be a PEM private key; JFS_RSA_PASSPHRASE holds its passphrase.",
        ) from error
    if not isinstance(key, RSAPrivateKey):
        raise Unsupported("the volume's encryption key is not an RSA key")
    return key


class Envelopes:
    """Seals and opens the bytes of objects with one RSA key.  Safe from several threads."""

    def __init__(self, key: RSAPrivateKey, algorithm: str) -> None:
        """`algorithm`: aes256gcm-rsa, also if empty, or chacha20-rsa.  Raises Unsupported."""
        if algorithm not in ("", "aes256gcm-rsa", "chacha20-rsa"):
            raise Unsupported(f"encryption {algorithm!r}")
        self._key = key
        self._public = key.public_key()
        self._is_chacha = algorithm == "chacha20-rsa"

    def seal(self, data: Buffer) -> bytes:
        """Return the envelope of `data`."""
        key, nonce = os.urandom(_KEY_BYTES), os.urandom(_NONCE_BYTES)
        wrapped = self._public.encrypt(key, _PADDING)
        body = self._cipher(key).encrypt(nonce, memoryview(data), None)
        return b"".join((_HEAD.pack(len(wrapped), len(nonce)), wrapped, nonce, body))

    def open(self, envelope: bytes, where: str) -> bytes:
        """Undo `seal`.  Raises CorruptRecord, naming `where`, for anything else."""
        if len(envelope) < _HEAD.size:
            raise CorruptRecord(where, "too short for an encrypted object")
        key_bytes, nonce_bytes = _HEAD.unpack_from(envelope)
        body_at = _HEAD.size + key_bytes + nonce_bytes
        if nonce_bytes != _NONCE_BYTES or len(envelope) < body_at + _TAG_BYTES:
            raise CorruptRecord(where, "not an encrypted object")
        wrapped = envelope[_HEAD.size : _HEAD.size + key_bytes]
        nonce = envelope[_HEAD.size + key_bytes : body_at]
        try:
            key = self._key.decrypt(wrapped, _PADDING)
        except ValueError as error:
            raise CorruptRecord(
                where,
                "its key does not open with the volume's",
                hint="It was written by another volume, or it is damaged.",
            ) from error
        if len(key) != _KEY_BYTES:
            raise CorruptRecord(where, f"its key has {len(key)} bytes")
        try:
            return self._cipher(key).decrypt(nonce, memoryview(envelope)[body_at:], None)
        except InvalidTag as error:
            raise CorruptRecord(where, "the encrypted bytes were changed") from error

    def _cipher(self, key: bytes) -> AESGCM | ChaCha20Poly1305:
        return ChaCha20Poly1305(key) if self._is_chacha else AESGCM(key)


class EncryptedStore:
    """`BlobStore` whose objects lie encrypted in `inner`.

    `head` and `list` tell the sizes of envelopes.  A range costs the whole object.
    """

    def __init__(self, inner: BlobStore, envelopes: Envelopes) -> None:
        self._inner = inner
        self._envelopes = envelopes

    @property
    def name(self) -> str:
        """As in BlobStore."""
        return self._inner.name

    def put(self, key: str, data: Buffer) -> None:
        """As in BlobStore."""
        self._inner.put(key, self._envelopes.seal(data))

    def put_if_absent(self, key: str, data: Buffer) -> None:
        """As in BlobStore."""
        self._inner.put_if_absent(key, self._envelopes.seal(data))

    def get(self, key: str) -> bytes:
        """As in BlobStore.  Raises CorruptRecord if the object does not open."""
        return self._envelopes.open(bytes(self._inner.get(key)), f"{self.name}{key}")

    def get_range(self, key: str, offset: int, size_bytes: int) -> bytes:
        """As in BlobStore and `get`."""
        return self.get(key)[offset : offset + size_bytes]

    def head(self, key: str) -> BlobInfo:
        """As in BlobStore."""
        return self._inner.head(key)

    def delete(self, key: str) -> None:
        """As in BlobStore."""
        self._inner.delete(key)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """As in BlobStore."""
        return self._inner.list(prefix)
