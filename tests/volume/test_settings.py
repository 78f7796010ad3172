import base64
import hashlib
import json
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from roost.errors import CorruptRecord, InvalidArgument, NewerFormat, Unsupported
from roost.volume.settings import (
    VolumeSettings,
    check_opening,
    decode_settings,
    encode_settings,
    hide_secrets,
    later_version,
    new_settings,
    open_secrets,
    seal_secrets,
)

# Recorded: juicefs 1.4.2 format, row `format` of jfs_setting.
RECORDED = (
    '{\n"Name": "golden",\n"UUID": "6f08c3f8-110b-4064-bd78-7cd7a9a78e32",\n"Storage": "file",\n'
    '"Tiers": {\n"0": {\n"ID": 0,\n"StorageClass": "",\n"Tag": ""\n}\n},\n'
    '"Bucket": "/data/blob/",\n"BlockSize": 4096,\n"Compression": "none",\n'
    '"EncryptAlgo": "aes256gcm-rsa",\n"TrashDays": 1,\n"MetaVersion": 1,\n'
    '"MinClientVersion": "1.1.0-A",\n"DirStats": true,\n"EnableACL": false\n}'
)
SETTINGS = decode_settings(RECORDED)


def test_recorded_settings_are_written_back_byte_for_byte() -> None:
    assert encode_settings(SETTINGS) == RECORDED


def test_new_settings_have_the_recorded_form() -> None:
    made = new_settings("golden", bucket="/data/blob")
    assert encode_settings(replace(made, uuid=SETTINGS.uuid)) == RECORDED


def test_unknown_fields_survive() -> None:
    document = json.loads(RECORDED)
    document["RangerService"] = "a<b"
    document["Future"] = {"x": [1, 2]}
    document["Tiers"]["1"] = {"ID": 1, "StorageClass": "IA", "Tag": ""}
    written = encode_settings(decode_settings(json.dumps(document)))
    assert json.loads(written) == document


def test_few_fields_are_enough_and_absent_ones_are_off() -> None:
    few = decode_settings('{"Name":"few","UUID":"u","Storage":"file","BlockSize":64}')
    assert (few.trash_days, few.dir_stats, few.codec, few.block_bytes) == (0, False, "", 65536)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"Name":"x"}', '{"Name":"x","UUID":"u","BlockSize":"4096"}'],
)
def test_broken_settings_are_damage(text: str) -> None:
    with pytest.raises(CorruptRecord):
        decode_settings(text)


def test_a_newer_metadata_version_is_refused_by_number() -> None:
    with pytest.raises(NewerFormat, match="version 2"):
        decode_settings(RECORDED.replace('"MetaVersion": 1', '"MetaVersion": 2'))


@pytest.mark.parametrize(
    ("least", "opens"),
    [
        ("1.1.0-A", True),
        ("1.4.2", True),
        ("1.4.2-A", True),
        ("1.4.2+build", True),
        ("1.4.3", False),
        ("1.5", False),
        ("2", False),
    ],
)
def test_the_least_client_version_decides(least: str, opens: bool) -> None:
    settings = replace(SETTINGS, min_client_version=least)
    if opens:
        check_opening(settings, read_only=True)
    else:
        with pytest.raises(Unsupported, match=least) as refusal:
            check_opening(settings, read_only=True)
        assert "--min-client-version" in refusal.value.hint


def test_the_latest_client_version_decides() -> None:
    check_opening(replace(SETTINGS, max_client_version="1.4.2"), read_only=True)
    with pytest.raises(Unsupported, match=r"1\.4\.1") as refusal:
        check_opening(replace(SETTINGS, max_client_version="1.4.1"), read_only=True)
    assert "--max-client-version" in refusal.value.hint


def test_a_change_log_forbids_writing_but_not_reading() -> None:
    settings = replace(SETTINGS, change_log=True)
    check_opening(settings, read_only=True)
    with pytest.raises(Unsupported):
        check_opening(settings, read_only=False)


@pytest.mark.parametrize("name", ["ab", "-abc", "abc-", "Abc", "a" * 64, "a_b"])
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidArgument):
        new_settings(name)


@pytest.mark.parametrize(("asked", "made"), [(1, 64), (100, 64), (5000, 4096), (1 << 20, 16384)])
def test_block_sizes_become_powers_of_two_in_range(asked: int, made: int) -> None:
    assert new_settings("abc", block_kib=asked).block_kib == made


def sealed(uuid: str, text: str) -> str:
    key = hashlib.md5(uuid.encode()).digest()
    nonce = bytes(range(12))
    return base64.b64encode(nonce + AESGCM(key).encrypt(nonce, text.encode(), None)).decode()


def test_encrypted_secrets_are_opened_with_the_uuid() -> None:
    stored: VolumeSettings = replace(
        SETTINGS, secret_key=sealed(SETTINGS.uuid, "s3cret"), key_encrypted=True
    )
    assert open_secrets(stored).secret_key == "s3cret"
    with pytest.raises(CorruptRecord):
        open_secrets(replace(stored, uuid="another"))


def test_sealing_is_undone_by_opening_and_leaves_what_a_dump_left_out() -> None:
    plain = replace(SETTINGS, secret_key="hush", session_token="removed", encrypt_key="pem")
    sealed = seal_secrets(plain)
    assert sealed.key_encrypted
    assert "hush" not in encode_settings(sealed)
    assert sealed.session_token == "removed"
    assert open_secrets(sealed) == plain
    assert seal_secrets(sealed) == sealed, "not twice"
    assert seal_secrets(SETTINGS) == SETTINGS, "nothing to seal"


def test_secrets_are_hidden_where_settings_are_shown() -> None:
    hidden = hide_secrets(replace(SETTINGS, secret_key="hush", encrypt_key="pem"))
    assert (hidden.secret_key, hidden.session_token, hidden.encrypt_key) == (
        "removed",
        "",
        "removed",
    )


@pytest.mark.parametrize("tiers", ["[]", '{"0": 1}', '{"1": {"ID": 2}}', '{"0": {"ID": "x"}}'])
def test_broken_tiers_are_damage(tiers: str) -> None:
    document = json.loads(RECORDED)
    document["Tiers"] = json.loads(tiers)
    with pytest.raises(CorruptRecord, match="Tiers"):
        decode_settings(json.dumps(document))


def test_versions_are_compared_by_number_and_a_release_is_later_than_its_candidates() -> None:
    assert later_version("1.9.0", "1.10.0-A") == "1.10.0-A"
    assert later_version("1.1.0-A", "1.1.0") == "1.1.0"
    assert later_version("", "1.0.0") == "1.0.0"
    with pytest.raises(InvalidArgument):
        later_version("", "new")


def test_secrets_do_not_show_in_logs() -> None:
    secret = replace(SETTINGS, secret_key="hush", session_token="hush", encrypt_key="hush")
    assert "hush" not in repr(secret)
