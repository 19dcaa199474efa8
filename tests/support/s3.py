"""An object store that speaks the S3 protocol, on a free port of this machine."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock
from urllib.request import Request, urlopen

import boto3
from moto.server import ThreadedMotoServer


@contextmanager
def object_store(bucket: str) -> Iterator[str]:
    """Yields the address of a store with one empty bucket; credentials and address are in the environment meanwhile."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    settings = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": address,
    }
    try:
        # The libraries behind the server keep their buckets as long as the process lives.
        urlopen(Request(f"{address}/moto-api/reset", method="POST"), timeout=10).close()
        with mock.patch.dict(os.environ, settings):
            boto3.client("s3", endpoint_url=address).create_bucket(Bucket=bucket)
            yield address
    finally:
        server.stop()


@dataclass(frozen=True)
class Guarded:
    """A store that checks signatures, and the only key that it knows, which is in the environment."""

    address: str
    key: str
    secret: str

    def client(self) -> Any:
        """One that may do everything, whatever the environment says."""
        return boto3.client(
            "s3", endpoint_url=self.address, aws_access_key_id=self.key, aws_secret_access_key=self.secret
        )


@contextmanager
def guarded_store(bucket: str) -> Iterator[Guarded]:
    """As `object_store`, but nobody gets in without the key."""
    with object_store(bucket) as address:
        users = boto3.client("iam", endpoint_url=address)
        users.create_user(UserName="rayton")
        made = users.create_access_key(UserName="rayton")["AccessKey"]
        everything = {"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}], "Version": "2012-10-17"}
        users.put_user_policy(UserName="rayton", PolicyName="all", PolicyDocument=json.dumps(everything))
        found = Guarded(address, made["AccessKeyId"], made["SecretAccessKey"])
        keys = {"AWS_ACCESS_KEY_ID": found.key, "AWS_SECRET_ACCESS_KEY": found.secret}
        _requests_without_signature(address, "0")
        try:
            with mock.patch.dict(os.environ, keys):
                yield found
        finally:
            _requests_without_signature(address, "inf")


def _requests_without_signature(address: str, most: str) -> None:
    headers = {"Content-Type": "text/plain"}
    urlopen(Request(f"{address}/moto-api/reset-auth", most.encode(), headers, method="POST"), timeout=10).close()
