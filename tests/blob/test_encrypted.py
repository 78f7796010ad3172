"""Encrypted objects: JuiceFS's envelope to the byte, and every way in which one can be wrong."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from roost.blob.encrypted import EncryptedStore, Envelopes, open_key
from roost.blob.memory import MemoryStore
from roost.blob.store import BlobStore
from roost.errors import CorruptRecord, InvalidArgument, Unsupported
from roost.testing.blob_suite import BlobStoreSuite

GOLDEN = Path(__file__).with_name("golden")
LOCKED = (GOLDEN / "locked-key.pem").read_text()
KEY = open_key(LOCKED, "secret")
UUIDS = {
    "aes256gcm-rsa": "7e418b9a-600a-4085-89a4-5adc192d4fb4",
    "chacha20-rsa": "b2a536f0-13c0-4692-802f-a3345f2ef770",
}


class TestEncrypted(BlobStoreSuite):
    overhead_bytes = 3 + 256 + 12 + 16

    @pytest.fixture
    def store(self) -> BlobStore:
        return EncryptedStore(MemoryStore(), Envelopes(KEY, ""))


@pytest.mark.parametrize("algorithm", UUIDS)
def test_a_recorded_envelope_of_juicefs_opens(algorithm: str) -> None:
    envelope = (GOLDEN / f"{algorithm}.envelope").read_bytes()
    assert Envelopes(KEY, algorithm).open(envelope, "x") == UUIDS[algorithm].encode()


@pytest.mark.parametrize("algorithm", UUIDS)
def test_an_envelope_has_the_recorded_form(algorithm: str) -> None:
    recorded = (GOLDEN / f"{algorithm}.envelope").read_bytes()
    made = Envelopes(KEY, algorithm).seal(UUIDS[algorithm].encode())
    assert made[:3] == recorded[:3] == bytes([1, 0, 12])
    assert len(made) == len(recorded) == 3 + 256 + 12 + 36 + 16
    assert made[3:] != recorded[3:], "a key and a nonce of its own for each object"


@settings(max_examples=30, deadline=None)
@given(data=st.binary(max_size=3000))
def test_what_is_sealed_opens(data: bytes) -> None:
    envelopes = Envelopes(KEY, "")
    assert envelopes.open(envelopes.seal(memoryview(data)), "x") == data


def test_a_change_of_any_byte_is_damage_that_names_the_object() -> None:
    envelopes = Envelopes(KEY, "")
    good = envelopes.seal(b"data")
    for at in [*range(3), 3, 100, 258, 259, 270, *range(271, len(good))]:
        bad = bytearray(good)
        bad[at] ^= 0x40
        with pytest.raises(CorruptRecord, match="chunks/1"):
            envelopes.open(bytes(bad), "chunks/1")


def test_a_cut_or_empty_object_is_damage() -> None:
    envelopes = Envelopes(KEY, "")
    good = envelopes.seal(b"data")
    for size in [0, 1, 2, 3, 100, 259, 271, 286, len(good) - 1]:
        with pytest.raises(CorruptRecord):
            envelopes.open(good[:size], "chunks/1")


def test_another_key_opens_nothing() -> None:
    other = rsa.generate_private_key(65537, 2048)
    with pytest.raises(CorruptRecord, match="does not open"):
        Envelopes(other, "").open(Envelopes(KEY, "").seal(b"data"), "chunks/1")


def test_the_other_algorithm_opens_nothing() -> None:
    with pytest.raises(CorruptRecord, match="changed"):
        Envelopes(KEY, "chacha20-rsa").open(Envelopes(KEY, "").seal(b"data"), "chunks/1")


@pytest.mark.parametrize("passphrase", ["", "wrong"])
def test_a_locked_key_asks_for_its_passphrase(passphrase: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        open_key(LOCKED, passphrase)
    assert "JFS_RSA_PASSPHRASE" in refusal.value.hint


def test_a_passphrase_that_nothing_asks_for_does_not_matter() -> None:
    plain = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    assert open_key(plain, "secret").private_numbers() == KEY.private_numbers()


def test_other_keys_and_algorithms_are_refused() -> None:
    curve = ec.generate_private_key(ec.SECP256R1())
    pem = curve.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    with pytest.raises(Unsupported, match="RSA"):
        open_key(pem, "")
    with pytest.raises(InvalidArgument):
        open_key("no key at all", "")
    with pytest.raises(Unsupported, match="sm4gcm"):
        Envelopes(KEY, "sm4gcm")
