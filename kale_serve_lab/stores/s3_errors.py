"""What a bucket refused, in words: boto3's exceptions as errors of ours. Decided by class and code, never by text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kale_serve_lab.errors import (
    DigestMismatch,
    Forbidden,
    InvalidConfig,
    KaleServeError,
    NotFound,
    StoreFull,
    Unauthorized,
    UpstreamFailed,
)

# What IAM calls the right for a call of ours.
ACTIONS = {
    "HeadBucket": "s3:ListBucket",
    "ListObjectsV2": "s3:ListBucket",
    "GetObject": "s3:GetObject",
    # Without s3:ListBucket S3 answers 403 also for an object that is not there.
    "HeadObject": "s3:GetObject and s3:ListBucket",
    "PutObject": "s3:PutObject",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "ListParts": "s3:ListMultipartUploadParts",
    "DeleteObject": "s3:DeleteObject",
    "DeleteObjects": "s3:DeleteObject",
}
_ENVIRONMENT = (
    "They come from your own environment, as boto3 looks for them: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
    "~/.aws/credentials, AWS_PROFILE, or the machine's role."
)
_DENIED = {"AccessDenied", "403", "Forbidden", "AllAccessDisabled", "AccountProblem"}
_KEYS = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "InvalidSecurity"}
_OLD = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
_REGION = {
    "301",
    "PermanentRedirect",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "307",
    "TemporaryRedirect",
}
_BUSY = {"SlowDown", "503", "ServiceUnavailable", "RequestLimitExceeded", "Throttling", "TooManyRequests"}
_FULL = {
    "XMinioStorageFull",
    "XMinioAdminBucketQuotaExceeded",
    "QuotaExceeded",
    "InsufficientStorage",
    "507",
}
_DAMAGED = {"BadDigest", "XAmzContentSHA256Mismatch", "InvalidDigest", "XAmzContentChecksumMismatch"}


_BY_NAME = " Its addressing is virtual: the bucket's own name below it must be known too; else set --addressing path."


@dataclass(frozen=True)
class Place:
    """What the words name: the bucket, the endpoint (None: AWS), the region, bytes that were to be sent.

    `by_name`: the bucket is asked for by a name below the endpoint's.
    """

    bucket: str
    endpoint: str | None = None
    region: str | None = None
    need: int = 0
    by_name: bool = False

    @property
    def server(self) -> str:
        """Who was asked."""
        return self.endpoint or "AWS"


def code_of(error: BaseException) -> str:
    """The code of an answer that refused; empty where no answer came."""
    response = getattr(error, "response", None)
    found = response.get("Error") if isinstance(response, Mapping) else None
    return str(found.get("Code", "")) if isinstance(found, Mapping) else ""


def is_missing(error: BaseException) -> bool:
    """Whether it says that the object is not there."""
    return code_of(error) in {"404", "NoSuchKey", "NotFound"}


def told(error: Exception, place: Place, call: str, key: str | None = None) -> KaleServeError:
    """The error for what boto3 raised at a `call` (`PutObject`) for a key."""
    from botocore.exceptions import ClientError

    what = f"s3://{place.bucket}" + (f"/{key}" if key else "")
    if isinstance(error, ClientError):
        return _refused(error, place, call, what)
    return _unanswered(error, place, call, what)


def _refused(error: Any, place: Place, call: str, what: str) -> KaleServeError:
    code = code_of(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    facts = {"call": call, "code": code, "status": status}
    text = " ".join(str(error.response.get("Error", {}).get("Message", "")).split())[:300]
    if code == "NoSuchBucket" or (call == "HeadBucket" and is_missing(error)):
        return NotFound(
            f"There is no bucket {place.bucket} at {place.server}.",
            subject=what,
            hint="Make it, or name another one by `kale-serve cluster set`; names of buckets are exact.",
            details=facts,
        )
    if code in _OLD:
        return Unauthorized(
            f"The credentials for {place.server} have expired.",
            subject=what,
            hint="Log in again (for instance `aws sso login`), then serve again; what was sent is kept.",
            details=facts,
        )
    if code == "RequestTimeTooSkewed":
        return UpstreamFailed(
            f"This machine's clock and that of {place.server} are too far apart.",
            subject=what,
            hint="Set this machine's clock (NTP): S3 refuses requests that are 15 minutes off.",
            details=facts,
        )
    if code in _KEYS:
        return Unauthorized(
            f"{place.server} does not take the access key ({code}).",
            subject=what,
            hint=_ENVIRONMENT,
            details=facts,
        )
    if code in _REGION or status in {301, 307}:
        region = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("x-amz-bucket-region")
        region = region or error.response.get("Error", {}).get("Region")
        return InvalidConfig(
            f"The bucket {place.bucket} is in another region than {place.region or 'the default one'}"
            + (f": in {region}." if region else "."),
            subject=what,
            hint=f"Set the store's region to {region}."
            if region
            else "Set the store's region to the bucket's.",
            details=facts,
        )
    if code in _DENIED or status == 403:
        action = ACTIONS.get(call, f"s3:{call}")
        return Forbidden(
            f"{place.server} refused {call} on {what}: {text or 'access denied'}",
            subject=what,
            hint=f"Ask for the right {action} on the bucket {place.bucket}; `kale-serve cluster check` shows which are there.",
            details={**facts, "action": action},
        )
    if code in _FULL or status == 507:
        return StoreFull(
            f"The bucket {place.bucket} is full: {place.need:,} bytes are needed. {text}".rstrip(),
            subject=what,
            hint="Ask for more room, or remove what no service uses: `kale-serve cluster prune`.",
            details={**facts, "need": place.need},
        )
    if code in _DAMAGED:
        return DigestMismatch(
            f"What reached {place.server} is not what was sent ({code}).",
            subject=what,
            hint="Something between changes the bytes, a proxy or bad memory. Serve again; look at the network if it stays so.",
            details=facts,
        )
    if code in _BUSY or status in {429, 503}:
        return UpstreamFailed(
            f"{place.server} is too busy to answer {call} ({code}), also when asked again.",
            subject=what,
            hint="Serve again in a while; what was sent is kept.",
            details=facts,
        )
    if code.isdigit() and not call.startswith("Head") and int(code) < 500:
        # S3 says why in XML, with a code in words; only HEAD has no body.
        return _no_server(place, what, facts)
    return UpstreamFailed(
        f"{place.server} refused {call} on {what}: {code} {text}".rstrip(),
        subject=what,
        hint="Run `kale-serve cluster check`.",
        details=facts,
    )


def _unanswered(error: Exception, place: Place, call: str, what: str) -> KaleServeError:
    from botocore import exceptions as of
    from botocore.parsers import ResponseParserError

    name = type(error).__name__
    facts = {"call": call, "code": name}
    text = " ".join(str(error).split())[:300]
    if isinstance(error, (of.NoCredentialsError, of.PartialCredentialsError)):
        return Unauthorized(
            f"There are no credentials for {place.server}.", subject=what, hint=_ENVIRONMENT, details=facts
        )
    if isinstance(
        error,
        (
            of.CredentialRetrievalError,
            of.TokenRetrievalError,
            of.SSOError,
            of.ProfileNotFound,
            of.ConfigParseError,
            of.RefreshWithMFAUnsupportedError,
        ),
    ):
        return Unauthorized(
            f"The credentials for {place.server} cannot be had: {text}",
            subject=what,
            hint=_ENVIRONMENT,
            details=facts,
        )
    if isinstance(error, of.SSLError):
        return UpstreamFailed(
            f"The TLS certificate of {place.server} is not trusted: {text}",
            subject=what,
            hint="Name its CA by AWS_CA_BUNDLE (a file of PEM certificates), or say http:// where it has no TLS.",
            details=facts,
        )
    if isinstance(error, (of.NoRegionError, of.InvalidRegionError)):
        return InvalidConfig(
            "The store has no region that can be meant.",
            subject=what,
            hint="Set the store's region.",
            details=facts,
        )
    if isinstance(error, of.ProxyConnectionError):
        return UpstreamFailed(
            f"The proxy on the way to {place.server} does not answer: {text}",
            subject=what,
            hint="See HTTPS_PROXY and NO_PROXY in the daemon's environment.",
            details=facts,
        )
    if isinstance(error, of.EndpointConnectionError):
        return UpstreamFailed(
            f"Nothing answers at {place.server}.",
            subject=what,
            hint="Check the store's endpoint: host, port, http or https; and that it can be reached from here."
            + (_BY_NAME if place.by_name and place.endpoint else ""),
            details=facts,
        )
    if isinstance(error, ResponseParserError):
        return _no_server(place, what, facts)
    if isinstance(error, of.HTTPClientError):
        return UpstreamFailed(
            f"The connection to {place.server} broke ({name}), also when tried again.",
            subject=what,
            hint="Serve again; what was sent is kept.",
            details=facts,
        )
    return UpstreamFailed(f"{call} on {what} failed: {name}: {text}", subject=what, details=facts)


def _no_server(place: Place, what: str, facts: Mapping[str, Any]) -> KaleServeError:
    return InvalidConfig(
        f"What answers at {place.server} is no S3 server.",
        subject=what,
        hint="Check the store's endpoint: MinIO's console has another port than its API.",
        details=facts,
    )
