"""From settings to the store of a volume."""

from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from roost.errors import InvalidArgument, Unsupported
from roost.volume.settings import REMOVED, Tier, VolumeSettings, new_settings, seal_secrets
from roost.volume.storage import place_of, volume_store

KEY = rsa.generate_private_key(65537, 2048)
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.fixture
def settings(tmp_path: Path) -> VolumeSettings:
    return new_settings("photos", bucket=f"{tmp_path}/")


def test_objects_lie_below_the_volumes_name(settings: VolumeSettings, tmp_path: Path) -> None:
    volume_store(settings).put("chunks/x", b"data")
    assert (tmp_path / "photos/chunks/x").read_bytes() == b"data"


def test_an_encrypted_volume_stores_nothing_in_the_open(
    settings: VolumeSettings, tmp_path: Path
) -> None:
    store = volume_store(replace(settings, encrypt_key=PEM))
    store.put("chunks/x", b"data")
    assert store.get("chunks/x") == b"data"
    stored = (tmp_path / "photos/chunks/x").read_bytes()
    assert len(stored) == 287 + 4
    assert b"data" not in stored


def test_sealed_secrets_are_opened(settings: VolumeSettings) -> None:
    sealed = seal_secrets(replace(settings, encrypt_key=PEM))
    assert sealed.key_encrypted
    assert PEM not in sealed.encrypt_key
    volume_store(sealed).put("a", b"x")
    assert volume_store(replace(settings, encrypt_key=PEM)).get("a") == b"x"


def test_the_passphrase_is_taken_from_the_environment(settings: VolumeSettings) -> None:
    locked = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pass"))
    encrypted = replace(settings, encrypt_key=locked.decode())
    volume_store(encrypted, environment={"JFS_RSA_PASSPHRASE": "pass"}).put("a", b"x")
    with pytest.raises(InvalidArgument):
        volume_store(encrypted, environment={})


@pytest.mark.parametrize("secret", ["secret_key", "session_token", "encrypt_key"])
def test_a_secret_that_a_dump_left_out_is_asked_for(settings: VolumeSettings, secret: str) -> None:
    lacking = replace(settings, **{secret: REMOVED})
    with pytest.raises(InvalidArgument, match="removed") as refusal:
        volume_store(lacking)
    assert "roost config" in refusal.value.hint


def test_an_encryption_that_is_not_served_is_refused_by_name(settings: VolumeSettings) -> None:
    with pytest.raises(Unsupported, match="sm4gcm"):
        volume_store(replace(settings, encrypt_key=PEM, encrypt_algo="sm4gcm"))


def test_a_tier_says_where_new_objects_go(settings: VolumeSettings) -> None:
    tiers = (Tier(0, "STANDARD"), Tier(2, "IA", "team=a"))
    stored = replace(settings, tiers=tiers, upload_mbps=10)
    assert place_of(stored).storage_class == "STANDARD"
    assert (place_of(stored, 2).storage_class, place_of(stored, 2).tag) == ("IA", "team=a")
    assert place_of(stored, 1).storage_class == "STANDARD", "an unknown tier is the default one"
    assert place_of(stored).upload_mbps == 10
    legacy = replace(settings, storage_class="OLD")
    assert place_of(legacy).storage_class == "OLD"
