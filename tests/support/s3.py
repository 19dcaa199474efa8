"""An object store that speaks the S3 protocol, on a free port of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
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
