"""A bucket for a test, as fixtures: `bucket` and the proxy before it, `way`."""

from __future__ import annotations

import itertools

import pytest

from kale_serve_lab.stores.s3 import S3Publisher
from kale_serve_lab.stores.s3_client import s3_settings
from tests.stores.s3_server import KEY, moto, proxy

__all__ = ["SECRET", "S3Site", "bucket", "server", "way"]

SECRET = "kale-test-secret-never-shown"
_numbers = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with moto(tmp_path_factory.mktemp("moto") / "log") as port:
        yield port


@pytest.fixture
def way(server, monkeypatch, tmp_path):
    """A proxy to the bucket, and an environment with credentials for it only."""
    for name in (
        "AWS_PROFILE",
        "AWS_SESSION_TOKEN",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_CA_BUNDLE",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    with proxy(server) as found:
        yield found


class S3Site:
    kind = "s3"

    def __init__(self, way, server, bucket):
        import boto3

        self.way = way
        self.bucket = bucket
        self.settings = {"url": f"s3://{bucket}/team/a", "endpoint": way.url, "region": "us-east-1"}
        self.client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{server}", region_name="us-east-1")
        self.client.create_bucket(Bucket=bucket)
        self.made = []

    def publisher(self, **more):
        self.made.append(S3Publisher(s3_settings(**{**self.settings, **more}), attempts=3))
        return self.made[-1]

    def keys(self, prefix=""):
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [one for page in pages for one in page.get("Contents", ())]

    def files(self, digest, view):
        # As KServe's storage initializer lists: no slash at the end.
        prefix = f"team/a/{digest}/{view}"
        return {
            one["Key"][len(prefix) :].lstrip("/"): self.client.get_object(Bucket=self.bucket, Key=one["Key"])[
                "Body"
            ].read()
            for one in self.keys(prefix)
        }

    def state(self):
        uploads = self.uploads()
        return [(one["Key"], one["ETag"], one["LastModified"]) for one in self.keys()], uploads

    def uploads(self):
        found = self.client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", ())
        return sorted((one["Key"], one["UploadId"]) for one in found)

    def damage(self, digest, view, path):
        key = f"team/a/{digest}/{view}/{path}"
        data = bytearray(self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read())
        data[0] ^= 1
        self.client.put_object(Bucket=self.bucket, Key=key, Body=bytes(data))

    def close(self):
        for publisher in self.made:
            publisher.close()
        for key, upload in self.uploads():
            self.client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload)
        for one in self.keys():
            self.client.delete_object(Bucket=self.bucket, Key=one["Key"])
        self.client.close()


@pytest.fixture
def bucket(way, server):
    site = S3Site(way, server, f"models-{next(_numbers)}")
    yield site
    site.close()
