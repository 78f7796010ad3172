"""JuiceFS's spellings of buckets that speak S3."""

import pytest

from roost.blob.s3_address import s3_address, s3_keys
from roost.errors import InvalidArgument


@pytest.mark.parametrize(
    ("storage", "text", "bucket", "endpoint", "region", "in_host"),
    [
        ("s3", "https://b.s3.us-east-2.amazonaws.com", "b", "https://b.s3.us-east-2.amazonaws.com",
         "us-east-2", True),
        ("s3", "b.s3.amazonaws.com", "b", "https://b.s3.amazonaws.com", "us-east-1", True),
        ("s3", "https://b.s3-eu-west-1.amazonaws.com", "b", "https://b.s3-eu-west-1.amazonaws.com",
         "eu-west-1", True),
        ("s3", "https://s3.cn-north-1.amazonaws.com.cn/b/more", "b",
         "https://b.s3.cn-north-1.amazonaws.com.cn", "cn-north-1", True),
        ("s3", "https://b.s3.dualstack.us-west-2.amazonaws.com", "b",
         "https://b.s3.dualstack.us-west-2.amazonaws.com", "us-west-2", True),
        ("s3", "https://a.b.s3.us-east-2.amazonaws.com", "a.b",
         "https://s3.us-east-2.amazonaws.com", "us-east-2", False),
        ("s3", "b", "b", "https://b.s3.us-east-1.amazonaws.com", "us-east-1", True),
        ("s3", "https://bucket.vpce-1-2.s3.eu-west-1.vpce.amazonaws.com", "bucket",
         "https://vpce-1-2.s3.eu-west-1.vpce.amazonaws.com", "eu-west-1", False),
        ("s3", "http://127.0.0.1:9000/b/x/y", "b", "http://127.0.0.1:9000", "us-east-1", False),
        ("s3", "localhost:9000/b", "b", "https://localhost:9000", "us-east-1", False),
        ("s3", "10.0.0.1:9000/b", "b", "http://10.0.0.1:9000", "us-east-1", False),
        ("s3", "https://b.storage.example.com", "b", "https://storage.example.com", "us-east-1",
         False),
        ("s3", "https://b.s3.gra.io.cloud.ovh.net", "b", "https://s3.gra.io.cloud.ovh.net", "gra",
         False),
        ("s3", "https://n.compat.objectstorage.uk-1.oraclecloud.com/b", "b",
         "https://n.compat.objectstorage.uk-1.oraclecloud.com", "uk-1", False),
        ("minio", "10.0.0.1:9000/b", "b", "http://10.0.0.1:9000", "us-east-1", False),
        ("minio", "http://h:9000/minio/b/x?region=eu", "b", "http://h:9000", "eu", False),
        ("space", "https://b.nyc3.digitaloceanspaces.com", "b",
         "https://b.nyc3.digitaloceanspaces.com", "nyc3", True),
        ("scw", "b.s3.fr-par.scw.cloud", "b", "https://b.s3.fr-par.scw.cloud", "fr-par", True),
        ("wasabi", "https://b.s3.us-west-1.wasabisys.com", "b",
         "https://b.s3.us-west-1.wasabisys.com", "us-west-1", True),
        ("oos", "https://b.oos-hazz.ctyunapi.cn", "b", "https://oos-hazz.ctyunapi.cn", "hazz",
         False),
        ("ks3", "https://b.ks3-cn-beijing.ksyuncs.com", "b",
         "https://b.ks3-cn-beijing.ksyuncs.com", "cn-beijing", True),
        ("qiniu", "https://b.s3-cn-east-1.qiniucs.com", "b", "https://s3-cn-east-1.qiniucs.com",
         "cn-east-1", False),
        ("eos", "https://b.eos-beijing-1.cmecloud.cn", "b", "https://eos-beijing-1.cmecloud.cn",
         "us-east-1", False),
    ],
)  # fmt: skip
def test_a_spelling_names_bucket_endpoint_and_region(
    storage: str, text: str, bucket: str, endpoint: str, region: str, in_host: bool
) -> None:
    found = s3_address(storage, text, {})
    assert (found.bucket, found.endpoint, found.region) == (bucket, endpoint, region)
    assert found.bucket_in_host is in_host


def test_the_environment_names_region_and_style() -> None:
    found = s3_address("s3", "http://h:1/b", {"AWS_DEFAULT_REGION": "r2", "AWS_REGION": "r1"})
    assert found.region == "r1"
    assert s3_address("minio", "h:1/b", {"MINIO_REGION": "r3"}).region == "r3"
    styled = s3_address("s3", "http://h:1/b", {"JFS_S3_VHOST_STYLE": "1"})
    assert (styled.endpoint, styled.bucket_in_host) == ("http://b.h:1", True)


def test_options_stand_behind_the_question_mark() -> None:
    plain = s3_address("s3", "https://h:1/b", {})
    assert (plain.checksums, plain.verify_tls) == (True, True)
    optioned = s3_address(
        "s3", "https://h:1/b?disable-checksum=true&tls-insecure-skip-verify=1", {}
    )
    assert (optioned.checksums, optioned.verify_tls) == (False, False)


@pytest.mark.parametrize(
    ("storage", "text"),
    [
        ("s3", ""),
        ("s3", "/var/objects"),
        ("s3", "ftp://h/b"),
        ("s3", "http://h:port/b"),
        ("s3", "http://[::1/b"),
        ("minio", "http://h:9000"),
        ("minio", "http://h:9000/"),
        ("space", "justaname"),
    ],
)
def test_what_names_no_bucket_is_refused(storage: str, text: str) -> None:
    with pytest.raises(InvalidArgument):
        s3_address(storage, text, {})


def test_some_storages_have_keys_of_their_own_in_the_environment() -> None:
    variables = {"MINIO_ACCESS_KEY": "a", "MINIO_SECRET_KEY": "s"}
    assert s3_keys("minio", variables) == ("a", "s")
    assert s3_keys("s3", variables) == ("", "")
