"""Models in a bucket: the contract, and what a bucket and the way to it do wrong."""

from __future__ import annotations

import hashlib
import json
import logging
import socket
import subprocess
import sys
import threading

import pytest

from kale_serve_lab.errors import (
    DaemonMissingDependency,
    DigestMismatch,
    Forbidden,
    InvalidConfig,
    NotFound,
    StoreFull,
    Unauthorized,
    UpstreamFailed,
)
from kale_serve_lab.stores.parts import PART
from kale_serve_lab.stores.s3 import S3Publisher
from kale_serve_lab.stores.s3_client import s3_settings
from tests.stores.publishing_contract import (
    DIGEST,
    OTHER,
    Boom,
    PublishingContract,
    Teller,
    modelled,
    never,
    noise,
)
from tests.stores.s3_server import KEY
from tests.stores.s3_site import SECRET


class TestS3(PublishingContract):
    @pytest.fixture
    def site(self, bucket):
        return bucket

    def test_the_address_names_bucket_and_folder_and_the_clusters_names_come_along(self, site, tmp_path):
        publisher = site.publisher(secret="bucket-key", service_account="models")
        model = modelled(tmp_path / "m", a=b"1")
        found = publisher.publish(model.folder, DIGEST, "plain", model.entries, Teller(), never)
        assert found.uri == f"s3://{site.bucket}/team/a/{DIGEST}/plain"
        assert (found.secret, found.service_account, found.volume) == ("bucket-key", "models", None)

    def test_what_kserve_downloads_holds_no_manifest(self, site, tmp_path):
        self.publish(site, modelled(tmp_path / "m", a=b"1"))
        prefix = f"team/a/{DIGEST}/plain"
        assert [one["Key"] for one in site.keys(prefix)] == [f"{prefix}/a"]
        assert len(site.keys()) == 2

    def test_parts_that_are_there_are_not_sent_again(self, site, tmp_path, way):
        model = modelled(tmp_path / "m", big=noise(6 * PART))
        with pytest.raises(Boom):
            self.publish(site, model, tell=Teller(fail_at=3))
        assert len(site.uploads()) == 1
        before = way.sent()
        assert before >= 3 * PART
        self.publish(site, model)
        # Those that were on the way when it was cut may have arrived too.
        assert way.sent() - before <= 3 * PART + 10_000
        assert site.uploads() == []
        assert site.files(DIGEST, "plain") == model.content

    def test_a_part_that_was_damaged_is_sent_again(self, site, tmp_path, way):
        model = modelled(tmp_path / "m", big=noise(3 * PART))
        key = f"team/a/{DIGEST}/plain/big"
        upload = site.client.create_multipart_upload(Bucket=site.bucket, Key=key)["UploadId"]
        for number in (1, 2):
            site.client.upload_part(
                Bucket=site.bucket, Key=key, UploadId=upload, PartNumber=number, Body=noise(PART, 50 + number)
            )
        self.publish(site, model)
        assert site.files(DIGEST, "plain") == model.content
        assert site.uploads() == []

    def test_cancelling_drops_the_parts(self, site, tmp_path):
        from kale_serve_lab.errors import Cancelled

        model = modelled(tmp_path / "m", big=noise(8 * PART))
        teller = Teller()
        with pytest.raises(Cancelled):
            self.publish(site, model, tell=teller, cancelled=lambda: len(teller.told) > 1)
        assert site.uploads() == []
        assert site.keys() == []

    def test_an_upload_that_ends_under_it_is_begun_anew(self, site, tmp_path, way):
        model = modelled(tmp_path / "m", big=noise(6 * PART))
        done = []

        def tell(*_):
            if not done and site.uploads():
                done.extend(site.uploads())
                # S3's own answer, in the place of which this server fails.
                way.fault(f"^PUT .*uploadId={done[0][1]}", (404, "NoSuchUpload"), times=float("inf"))
                site.client.abort_multipart_upload(Bucket=site.bucket, Key=done[0][0], UploadId=done[0][1])

        self.publish(site, model, tell=tell)
        assert done
        assert site.files(DIGEST, "plain") == model.content

    def test_uploads_that_a_crash_left_are_dropped_and_no_others(self, site, tmp_path):
        publisher = site.publisher()
        ours = f"team/a/{OTHER}/plain/x"
        for key in (ours, "team/b/x", "team/a/notes/x"):
            site.client.create_multipart_upload(Bucket=site.bucket, Key=key)
        # This server says of each upload that it began in 2010.
        assert publisher.abort_orphans(older_than_seconds=100 * 365 * 86_400) == 0
        assert len(site.uploads()) == 3
        assert publisher.abort_orphans() == 1
        assert ours not in {key for key, _ in site.uploads()}

    def test_bytes_that_change_on_the_way_are_found_and_not_kept(self, site, tmp_path, way):
        def flip(body):
            return body[:-1] + bytes([body[-1] ^ 1]) if body else body

        for content in ({"a": b"weights"}, {"big": noise(2 * PART)}):
            model = modelled(tmp_path / next(iter(content)), **content)
            name = next(iter(content))
            rule = way.fault(rf"^PUT .*/plain/{name}", flip)
            with pytest.raises(DigestMismatch, match=name):
                self.publish(site, model)
            assert rule.hits == 1
            self.publish(site, model)
            assert site.files(DIGEST, "plain") == model.content

    @pytest.mark.parametrize("act", ["cut", "lost", (503, "SlowDown"), (500, "InternalError")], ids=str)
    @pytest.mark.parametrize(
        "match", ["^PUT .*partNumber=2", "^POST .*uploads", "^HEAD ", "^GET .*manifest", "^POST .*uploadId"]
    )
    def test_a_fault_that_passes_is_tried_again(self, site, tmp_path, way, match, act):
        model = modelled(tmp_path / "m", a=b"1", big=noise(2 * PART))
        rule = way.fault(match, act)
        self.publish(site, model)
        assert rule.hits == 1
        assert site.files(DIGEST, "plain") == model.content

    @pytest.mark.parametrize("match", ["^PUT .*partNumber=3", "^PUT .*/a", "^PUT .*manifest"])
    def test_after_a_fault_that_stays_what_is_whole_is_kept(self, site, tmp_path, way, match):
        model = modelled(tmp_path / "m", a=b"1", big=noise(4 * PART))
        rule = way.fault(match, "cut", times=float("inf"))
        with pytest.raises(UpstreamFailed, match="broke|Nothing answers") as caught:
            self.publish(site, model)
        assert caught.value.hint == "Serve again; what was sent is kept." or "endpoint" in caught.value.hint
        assert site.publisher().published() == []
        rule.times = 0
        self.publish(site, model)
        assert site.files(DIGEST, "plain") == model.content

    @pytest.mark.parametrize(
        ("act", "kind", "words"),
        [
            ((400, "ExpiredToken"), Unauthorized, "have expired"),
            ((403, "AccessDenied"), Forbidden, "s3:PutObject"),
            ((403, "InvalidAccessKeyId"), Unauthorized, "does not take the access key"),
            ((403, "SignatureDoesNotMatch"), Unauthorized, "AWS_SECRET_ACCESS_KEY"),
            ((403, "RequestTimeTooSkewed"), UpstreamFailed, "clock"),
            ((404, "NoSuchBucket"), NotFound, "There is no bucket"),
            ((400, "AuthorizationHeaderMalformed", {"x-amz-bucket-region": "eu-west-1"}), InvalidConfig, "eu-west-1"),
            ((507, "XMinioStorageFull"), StoreFull, "7 bytes are needed"),
            ((400, "BadDigest"), DigestMismatch, "is not what was sent"),
            ((503, "SlowDown"), UpstreamFailed, "too busy"),
            ((418, "Teapot"), UpstreamFailed, "Teapot"),
        ],
        ids=lambda value: value[1] if isinstance(value, tuple) else "",
    )  # fmt: skip
    def test_refusals_are_told_in_words(self, site, tmp_path, way, act, kind, words, caplog):
        caplog.set_level(logging.DEBUG, "kale_serve_lab")
        model = modelled(tmp_path / "m", a=b"weights")
        way.fault("^PUT ", act, times=float("inf"))
        with pytest.raises(kind) as caught:
            self.publish(site, model)
        assert type(caught.value) is kind
        assert words in str(caught.value)
        assert caught.value.hint
        assert caught.value.subject.startswith(f"s3://{site.bucket}")
        shown = json.dumps(caught.value.to_json()) + "".join(
            record.getMessage() for record in caplog.records if record.name.startswith("kale_serve_lab")
        )
        assert SECRET not in shown
        assert KEY not in shown

    @pytest.mark.parametrize(
        ("match", "action"),
        [
            ("^HEAD /models-.*/plain", "s3:GetObject and s3:ListBucket"),
            ("^POST .*uploads", "s3:PutObject"),
            ("^GET .*manifest", "s3:GetObject"),
        ],
        ids=["head", "begin", "read"],
    )  # fmt: skip
    def test_a_missing_right_is_named(self, site, tmp_path, way, match, action):
        way.fault(match, (403, "AccessDenied"), times=float("inf"))
        with pytest.raises(Forbidden) as caught:
            self.publish(site, modelled(tmp_path / "m", big=noise(PART + 1)))
        assert caught.value.details["action"] == action

    def test_without_the_rights_to_list_it_publishes_all_the_same(self, site, tmp_path, way):
        way.fault("^GET /models-[0-9]+[?]", (403, "AccessDenied"), times=float("inf"))
        model = modelled(tmp_path / "m", a=b"1", big=noise(PART + 1))
        self.publish(site, model)
        assert site.files(DIGEST, "plain") == model.content

    def test_a_server_that_keeps_no_checksums_is_read_back(self, site, tmp_path, way, server):
        model = modelled(tmp_path / "m", a=b"1", big=noise(PART + 1))
        for name in ("a", "big"):
            data = model.content[name]
            site.client.put_object(Bucket=site.bucket, Key=f"team/a/{DIGEST}/plain/{name}", Body=data)
        before = way.sent()
        self.publish(site, model)
        assert way.sent() - before < 5_000
        assert site.files(DIGEST, "plain") == model.content

    def test_check_says_what_is_well_and_leaves_nothing(self, site):
        assert "can be written and read" in site.publisher().check()[0]
        assert site.keys() == []

    def test_check_names_a_bucket_that_is_not_there(self, site):
        with pytest.raises(NotFound, match="There is no bucket no-such-bucket"):
            site.publisher(url="s3://no-such-bucket/x").check()

    def test_what_is_there_is_listed(self, site, tmp_path):
        model = modelled(tmp_path / "m", a=b"12")
        self.publish(site, model)
        self.publish(site, model, OTHER, "kale")
        found = {(one.digest, one.view, one.size) for one in site.publisher().published()}
        assert found == {(DIGEST, "plain", 2), (OTHER, "kale", 2)}

    def test_a_bucket_without_a_prefix(self, site, tmp_path):
        model = modelled(tmp_path / "m", a=b"1")
        publisher = site.publisher(url=f"s3://{site.bucket}")
        publisher.publish(model.folder, DIGEST, "plain", model.entries, Teller(), never)
        assert publisher.uri(DIGEST, "plain") == f"s3://{site.bucket}/{DIGEST}/plain"
        assert len(publisher.published()) == 1
        publisher.remove(DIGEST, "plain")
        assert site.keys() == []

    def test_no_thread_stays(self, site, tmp_path):
        before = {thread for thread in threading.enumerate() if thread.name.startswith("publish")}
        self.publish(site, modelled(tmp_path / "m", a=b"1"))
        assert {thread for thread in threading.enumerate() if thread.name.startswith("publish")} == before


class TestAddressing:
    """Whether the bucket stands in the path or in the host's name."""

    @pytest.fixture
    def by_name(self, way, monkeypatch):
        """The server by a name below which every bucket has its own, as a wildcard in DNS gives it."""
        real = socket.getaddrinfo

        def found(host, *more, **named):
            ours = isinstance(host, str) and (host == "s3.test" or host.endswith(".s3.test"))
            return real("127.0.0.1" if ours else host, *more, **named)

        monkeypatch.setattr(socket, "getaddrinfo", found)
        return way.url.replace("127.0.0.1", "s3.test")

    @pytest.mark.parametrize(
        ("addressing", "before"), [("virtual", "/team/a/"), ("path", "/{}/team/a/"), (None, "/{}/team/a/")]
    )
    def test_it_is_published_and_read_as_is_asked(self, bucket, way, by_name, tmp_path, addressing, before):
        model = modelled(tmp_path / "m", a=b"12")
        # Without a style by path, whose bucket the server must know by that name too.
        endpoint = by_name if addressing == "virtual" else way.url
        publisher = bucket.publisher(endpoint=endpoint, addressing=addressing)
        way.asked.clear()
        placed = publisher.publish(model.folder, DIGEST, "plain", model.entries, Teller(), never)
        assert bucket.files(DIGEST, "plain") == {"a": b"12"}
        sent = [one.path for one in way.asked if one.method == "PUT"]
        assert sent
        assert all(path.startswith(before.format(bucket.bucket)) for path in sent)
        # KServe is told the same address, whatever the style.
        assert placed.uri == f"s3://{bucket.bucket}/team/a/{DIGEST}/plain"
        assert [one.digest for one in publisher.published()] == [DIGEST]
        assert "can be written and read" in publisher.check()[0]

    def test_a_name_that_leads_nowhere_is_said(self, bucket, way):
        publisher = bucket.publisher(endpoint="http://s3.invalid:1", addressing="virtual")
        with pytest.raises(UpstreamFailed) as caught:
            publisher.check()
        assert "s3.invalid" in caught.value.message
        assert "--addressing path" in caught.value.hint


class TestConnecting:
    def test_without_credentials_it_says_where_they_come_from(self, bucket, monkeypatch):
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        with pytest.raises(Unauthorized, match="There are no credentials") as caught:
            bucket.publisher().check()
        assert "AWS_PROFILE" in caught.value.hint

    def test_a_profile_that_is_not_there_is_named(self, bucket, monkeypatch):
        monkeypatch.setenv("AWS_PROFILE", "nobody")
        with pytest.raises(Unauthorized, match="nobody"):
            bucket.publisher().check()

    def test_an_endpoint_where_nothing_answers_is_named(self, way):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{taken.getsockname()[1]}"
            publisher = S3Publisher(s3_settings("s3://models", endpoint=url), attempts=1)
            with pytest.raises(UpstreamFailed, match="Nothing answers at") as caught:
                publisher.check()
            publisher.close()
        assert url in caught.value.message

    def test_http_where_tls_is_asked_for_is_told(self, way):
        publisher = S3Publisher(
            s3_settings("s3://models", endpoint=way.url.replace("http:", "https:")), attempts=1
        )
        with pytest.raises(UpstreamFailed, match="TLS") as caught:
            publisher.check()
        publisher.close()
        assert "AWS_CA_BUNDLE" in caught.value.hint

    def test_a_refusal_without_words_still_names_the_right(self, bucket, way):
        way.fault("^HEAD ", (403, None), times=float("inf"))
        with pytest.raises(Forbidden, match="HeadBucket") as caught:
            bucket.publisher().check()
        assert caught.value.details["action"] == "s3:ListBucket"

    def test_a_web_page_in_place_of_a_bucket_is_told(self, bucket, way, tmp_path):
        way.fault("^GET ", (404, {}, b"<html>MinIO Console"), times=float("inf"))
        with pytest.raises((UpstreamFailed, InvalidConfig), match="is no S3 server"):
            bucket.publisher().published()

    def test_without_boto3_it_says_what_to_install(self):
        code = (
            "import sys\n"
            "sys.modules['boto3'] = None\n"
            "from kale_serve_lab.errors import DaemonMissingDependency\n"
            "from kale_serve_lab.stores.s3 import S3Publisher\n"
            "from kale_serve_lab.stores.s3_client import s3_settings\n"
            "try:\n"
            "    S3Publisher(s3_settings('s3://models')).check()\n"
            "except DaemonMissingDependency as error:\n"
            "    print(error.hint)\n"
        )
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert "kale-serve-lab[s3]" in found.stdout
        assert DaemonMissingDependency.http_status == 503

    def test_boto3_is_imported_at_the_first_call_only(self):
        code = "import sys, kale_serve_lab.daemon.publishers; print('boto3' in sys.modules, 'botocore' in sys.modules)"
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert found.stdout.split() == ["False", "False"]


def test_the_digest_of_s3_for_parts_is_that_of_their_digests(tmp_path):
    import base64

    from kale_serve_lab.serving.kserve.publishing import Entry
    from kale_serve_lab.stores.parts import Stop, part_size, sources

    data = noise(2 * PART + 1)
    (found,) = sources(tmp_path, [Entry("a", data)], Stop(never, "x"))
    wanted = hashlib.sha256(
        b"".join(hashlib.sha256(data[at : at + PART]).digest() for at in range(0, len(data), PART))
    )
    assert found.composite == f"{base64.b64encode(wanted.digest()).decode()}-3"
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    for size in (0, PART, 10**9, 5 * 10**12):
        assert -(-size // part_size(size)) <= 10_000
