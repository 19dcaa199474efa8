"""An object store of this machine, for tours that need one: it speaks the S3 protocol and keeps all in memory."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import boto3
from moto.server import ThreadedMotoServer

from triton_models.storage import open_storage

KEYS = {"AWS_ACCESS_KEY_ID": "made-up", "AWS_SECRET_ACCESS_KEY": "made-up-too", "AWS_REGION": "us-east-1"}


@contextmanager
def object_store(bucket: str) -> Iterator[str]:
    """Yields the address of a store with one empty bucket; its keys are in the environment meanwhile."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # else it prints a line for each request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint_url = f"http://{host}:{port}"
    try:
        with mock.patch.dict(os.environ, KEYS):
            boto3.client("s3", endpoint_url=endpoint_url, region_name=KEYS["AWS_REGION"]).create_bucket(Bucket=bucket)
            yield endpoint_url
    finally:
        server.stop()


def upload(endpoint_url: str, folder: Path, bucket: str, prefix: str) -> None:
    """Puts the files of a folder into a bucket."""
    store = open_storage(f"s3://{bucket}/{prefix}", endpoint_url)
    for file in folder.iterdir():
        store.write(file.name, file.read_bytes())


def download(endpoint_url: str, bucket: str, prefix: str, folder: Path) -> None:
    """Copies what lies under a prefix of a bucket into a folder."""
    store = open_storage(f"s3://{bucket}/{prefix}", endpoint_url)
    for found in store.objects(hidden=True):
        target = folder / found.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(store.read(found.path))
